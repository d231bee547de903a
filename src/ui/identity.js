/**
 * Who this browser is: an Ed25519 key that never leaves it, and the tokens gateways gave it.
 *
 * Where WebCrypto is to be had the key is one that scripts cannot read, in IndexedDB. Elsewhere (plain http, older
 * browsers) it is a seed in local storage and our own arithmetic. The typed secret lives in session storage: it ends
 * with the tab.
 */

/** @typedef {{id: string, publicKey: string, sign: (text: string) => Promise<string>}} Identity */

const PLACE = "openclaw." + (document.documentElement.dataset.openclawControlUiBasePath || "/");

/** @param {Uint8Array} bytes */
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

/** @param {string} text */
const unbase64url = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

/** @param {Uint8Array} bytes */
const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

/** @type {Promise<Identity>|null} */
let known = null;

/** This browser's identity; made when there is none. */
export function identity() {
  return (known ||= webCrypto().catch(() => ownArithmetic()));
}

/** Forgets the key, so that the next connection is a new device. */
export async function forgetIdentity() {
  known = null;
  memory("seed", null);
  memory("device-token", null);
  await store("readwrite", (keys) => keys.clear()).catch(() => null);
}

/** @returns {Promise<Identity>} */
async function webCrypto() {
  if (!crypto.subtle || memory("seed")) throw new Error("not here");
  let pair = await store("readonly", (keys) => keys.get("device"));
  if (!pair) {
    pair = await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
    await store("readwrite", (keys) => keys.put(pair, "device"));
  }
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const id = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", raw)));
  return {
    id,
    publicKey: base64url(raw),
    sign: async (text) =>
      base64url(new Uint8Array(await crypto.subtle.sign("Ed25519", pair.privateKey, new TextEncoder().encode(text)))),
  };
}

/** @returns {Promise<Identity>} */
async function ownArithmetic() {
  const { publicKey, sha256, sign } = await import("./ed25519.js");
  let seed = memory("seed");
  if (!seed) {
    seed = base64url(crypto.getRandomValues(new Uint8Array(32)));
    memory("seed", seed);
  }
  const bytes = unbase64url(seed);
  const key = publicKey(bytes);
  return {
    id: hex(sha256(key)),
    publicKey: base64url(key),
    sign: async (text) => base64url(sign(bytes, new TextEncoder().encode(text))),
  };
}

/**
 * One step on the key store.
 * @param {"readonly"|"readwrite"} mode @param {(keys: IDBObjectStore) => IDBRequest} act @returns {Promise<any>}
 */
function store(mode, act) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(PLACE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const request = act(opening.result.transaction("keys", mode).objectStore("keys"));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    };
  });
}

/**
 * Reads, writes or (with null) removes what this browser remembers. Storage may be forbidden; then nothing is kept.
 * @param {string} name @param {string|null} [value] @returns {string|null}
 */
export function memory(name, value) {
  return kept(() => localStorage, name, value);
}

/** The same, until the tab is closed. @param {string} name @param {string|null} [value] */
export function tabMemory(name, value) {
  return kept(() => sessionStorage, name, value);
}

/** @param {() => Storage} where @param {string} name @param {string|null} [value] @returns {string|null} */
function kept(where, name, value) {
  try {
    const key = PLACE + "." + name;
    if (value === null) where().removeItem(key);
    else if (value !== undefined) where().setItem(key, value);
    return where().getItem(key);
  } catch {
    return null;
  }
}

/** The secret from the address (`#token=...`), which is then taken out of it, or the one typed before. */
export function secret() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("token") || fragment.get("password");
  if (given) {
    tabMemory("secret", given);
    fragment.delete("token");
    fragment.delete("password");
    const rest = fragment.toString();
    history.replaceState(null, "", location.pathname + location.search + (rest ? "#" + rest : ""));
  }
  return tabMemory("secret") || "";
}
