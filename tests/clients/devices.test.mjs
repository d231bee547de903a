// The reference client as a device: it pairs, comes back with its own token, and is rotated, revoked and refused.
import assert from "node:assert/strict";
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { GatewayClient } from "@openclaw/gateway-client";

import { TOKEN, proxyFrom, startGateway, until } from "./gateway.mjs";
import { startUpstream } from "./upstream.mjs";

const SCOPES = ["operator.read", "operator.write"];

let upstream;
let gateway;
let operator;

before(async () => {
  upstream = await startUpstream();
  gateway = await startGateway(upstream, {
    trustedProxies: ["127.0.0.1"],
    auth: { mode: "token", token: TOKEN, rateLimit: { maxAttempts: 3, windowMs: 60_000, lockoutMs: 60_000 } },
  });
  operator = (await open({ clientName: "gateway-client", mode: "backend", deviceIdentity: null,
    scopes: ["operator.admin", "operator.pairing", ...SCOPES] }, "")).client;
});

after(async () => {
  await operator?.stopAndWait();
  for (const proxy of proxies.values()) (await proxy).stop();
  const how = await gateway?.stop();
  await upstream?.stop();
  if (how) assert.deepEqual(how, { code: 0, signal: null }, gateway.log());
});

/** A key of its own, and where a host keeps what it is given. */
function device() {
  const { privateKey } = generateKeyPairSync("ed25519");
  const publicKey = createPublicKey(privateKey);
  const raw = publicKey.export({ type: "spki", format: "der" }).subarray(-32);
  const tokens = new Map();
  return {
    tokens,
    identity: {
      deviceId: createHash("sha256").update(raw).digest("hex"),
      privateKeyPem: privateKey.export({ type: "pkcs8", format: "pem" }),
      publicKeyPem: publicKey.export({ type: "spki", format: "pem" }),
    },
    hostDeps: {
      signDevicePayload: (pem, payload) => sign(null, Buffer.from(payload), createPrivateKey(pem)).toString("base64url"),
      publicKeyRawBase64UrlFromPem: (pem) => createPublicKey(pem).export({ type: "spki", format: "der" }).subarray(-32).toString("base64url"),
      loadDeviceAuthToken: ({ role }) => tokens.get(role) ?? null,
      storeDeviceAuthToken: ({ role, token, scopes }) => void tokens.set(role, { token, role, scopes: scopes ?? [], updatedAtMs: Date.now() }),
      clearDeviceAuthToken: ({ role }) => void tokens.delete(role),
    },
  };
}

const proxies = new Map();

/** Where the gateway is reached from an address elsewhere; empty: from its own host. */
async function reached(from) {
  if (!from) return gateway.ws;
  if (!proxies.has(from)) proxies.set(from, proxyFrom(from, gateway.port));
  return (await proxies.get(from)).ws;
}

/** Connects; resolves with the client and its hello, rejects with what the gateway says. */
async function open(options, from = "192.0.2.10") {
  const url = await reached(from);
  const seen = { closes: [], paused: [] };
  return new Promise((resolve, reject) => {
    const client = new GatewayClient({
      url,
      token: TOKEN,
      clientName: "openclaw-tui",
      mode: "ui",
      clientVersion: "suite",
      platform: "linux",
      scopes: SCOPES,
      env: {},
      ...options,
      onHelloOk: (hello) => resolve({ client, hello, ...seen }),
      onConnectError: (error) => {
        reject(error);
        void client.stopAndWait();
      },
      onClose: (code, reason) => seen.closes.push({ code, reason }),
      onReconnectPaused: (info) => seen.paused.push(info),
    });
    client.start();
  });
}

const as = (own, more = {}) => ({ deviceIdentity: own.identity, hostDeps: own.hostDeps, ...more });

/** A device from elsewhere that was approved, and its first hello. */
async function paired(own) {
  const refused = await open(as(own)).then(() => assert.fail("a stranger is let in"), (error) => error);
  assert.equal(refused.details.code, "PAIRING_REQUIRED", `${refused}`);
  assert.ok(refused.details.requestId, JSON.stringify(refused.details));
  const { pending } = await operator.request("device.pair.list", {});
  assert.ok(pending.some(({ requestId, deviceId }) => requestId === refused.details.requestId && deviceId === own.identity.deviceId));
  await operator.request("device.pair.approve", { requestId: refused.details.requestId });
  return open(as(own));
}

describe("a device of the reference client", { concurrency: true }, () => {
  test("pairs, is given a token of its own, and comes back with it alone", async () => {
    const own = device();
    const first = await paired(own);
    assert.deepEqual(first.hello.auth.scopes, SCOPES);
    const kept = own.tokens.get("operator");
    assert.equal(kept.token, first.hello.auth.deviceToken);
    await first.client.stopAndWait();
    const again = await open(as(own, { token: undefined }));
    assert.equal(again.hello.auth.role, "operator");
    assert.deepEqual(again.hello.auth.scopes, SCOPES);
    await again.client.request("health", {});
    await again.client.stopAndWait();
  });

  test("is closed when its token is rotated, forgets the old one, and is given another", async () => {
    const own = device();
    const { client, closes } = await paired(own);
    const old = own.tokens.get("operator").token;
    await operator.request("device.token.rotate", { deviceId: own.identity.deviceId, role: "operator" });
    assert.deepEqual(await until("the close", () => closes[0]), { code: 4001, reason: "gateway auth changed" });
    await client.stopAndWait();
    own.tokens.set("operator", { token: old, role: "operator", scopes: SCOPES, updatedAtMs: Date.now() });
    const refused = await open(as(own, { token: undefined }), "192.0.2.11").then(() => assert.fail("an old token"), (error) => error);
    assert.equal(refused.details.code, "AUTH_DEVICE_TOKEN_MISMATCH", `${refused}`);
    assert.equal(own.tokens.has("operator"), false);
    await (await open(as(own))).client.stopAndWait();
    assert.notEqual(own.tokens.get("operator").token, old);
    await (await open(as(own, { token: undefined }))).client.stopAndWait();
  });

  test("is closed when its token is revoked, and stays out without the gateway's", async () => {
    const own = device();
    const { client, closes } = await paired(own);
    await operator.request("device.token.revoke", { deviceId: own.identity.deviceId, role: "operator" });
    assert.equal((await until("the close", () => closes[0])).code, 4001);
    await client.stopAndWait();
    const refused = await open(as(own, { token: undefined }), "192.0.2.12").then(() => assert.fail("a revoked token"), (error) => error);
    assert.equal(refused.details.code, "AUTH_DEVICE_TOKEN_MISMATCH", `${refused}`);
  });

  test("asks for more scopes by a new request, and keeps what it has until then", async () => {
    const own = device();
    await (await paired(own)).client.stopAndWait();
    const more = [...SCOPES, "operator.approvals"];
    const refused = await open(as(own, { scopes: more })).then(() => assert.fail("scopes nobody approved"), (error) => error);
    assert.equal(refused.details.code, "PAIRING_REQUIRED");
    assert.equal(refused.details.reason, "scope-upgrade", JSON.stringify(refused.details));
    await (await open(as(own))).client.stopAndWait();
    await operator.request("device.pair.approve", { requestId: refused.details.requestId });
    const wide = await open(as(own, { scopes: more }));
    assert.deepEqual([...wide.hello.auth.scopes].sort(), [...more].sort());
    await wide.client.stopAndWait();
  });

  test("is locked out after too many wrong tokens, and only from its address", async () => {
    const from = "192.0.2.66";
    const codes = [];
    for (let round = 0; round < 4; round += 1) {
      const error = await open({ ...as(device()), token: `wrong-${round}` }, from).then(() => assert.fail("let in"), (error) => error);
      codes.push(error.details.code);
    }
    assert.deepEqual(codes.slice(0, 3), Array(3).fill("AUTH_TOKEN_MISMATCH"));
    assert.equal(codes[3], "AUTH_RATE_LIMITED");
    const right = await open(as(device()), from).then(() => assert.fail("let in"), (error) => error);
    assert.equal(right.details.code, "AUTH_RATE_LIMITED", "the right one does not help either");
    const elsewhere = await open(as(device()), "192.0.2.67").then(() => assert.fail("let in"), (error) => error);
    assert.equal(elsewhere.details.code, "PAIRING_REQUIRED");
  });

  test("is told why it is refused: its proof, its protocol, its page", async () => {
    const own = device();
    const other = device();
    const forged = { ...own.hostDeps, signDevicePayload: (_, payload) => other.hostDeps.signDevicePayload(other.identity.privateKeyPem, payload) };
    const refusals = [
      [as(own, { hostDeps: forged }), "DEVICE_AUTH_SIGNATURE_INVALID"],
      [as(own, { minProtocol: 5, maxProtocol: 5 }), "PROTOCOL_MISMATCH"],
      [as(own, { clientName: "openclaw-control-ui", mode: "webchat", origin: "https://evil.example" }), "CONTROL_UI_ORIGIN_NOT_ALLOWED"],
    ];
    for (const [options, code] of refusals) {
      const error = await open(options).then(() => assert.fail(`${code}: let in`), (error) => error);
      assert.equal(error.details?.code, code, `${error} ${JSON.stringify(error.details)}`);
    }
  });
});
