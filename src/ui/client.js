/**
 * The control protocol, version 4: one socket, requests and their answers, events.
 *
 * Comes back by itself: after a restart, a lost network, a phone that slept. What the reference asks of a client is kept
 * here: the challenge's time in the signature, silence for two ticks closes, a gap in the count of frames is reported so
 * that views read again, waiting times the gateway names are honoured, a stored device token is tried once.
 *
 * Does not know any view. Invariant: a request ends exactly once, with its answer or with an error that says why.
 */
import { identity, memory } from "./identity.js";
import { uuid } from "./dom.js";

export const SCOPES = ["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.questions",
  "operator.pairing"];

const CAPS = ["approvals", "exec-approvals", "plugin-approvals", "tool-events", "agent-kind", "task-suggestions"];

/** Milliseconds: the first pause before a new try, and the longest. */
const PAUSE = 400;
const LONGEST_PAUSE = 15000;

/** How long the gateway may take to greet. */
const GREETING = 15000;

/** Why a request or a connection failed, in the gateway's words. */
export class Refusal extends Error {
  /** @param {any} error */
  constructor(error) {
    super(error?.message || "unknown error");
    this.code = String(error?.code || "");
    /** @type {any} */
    this.details = error?.details || {};
    this.retryable = error?.retryable === true || this.details.retryable === true;
    this.retryAfterMs = Number(error?.retryAfterMs || this.details.retryAfterMs || 0);
  }
}

/**
 * `idle`, `connecting`, `ready`, `waiting` (another try at `retryAt`), `refused` (nothing happens until somebody acts).
 * @typedef {{phase: string, refusal: Refusal|null, close: {code: number, reason: string}|null, retryAt: number,
 *   tries: number, reached: boolean}} State
 */

export class Gateway {
  /** @param {string} url */
  constructor(url) {
    this.url = url;
    this.secret = "";
    /** @type {any} */
    this.hello = null;
    /** @type {State} */
    this.state = { phase: "idle", refusal: null, close: null, retryAt: 0, tries: 0, reached: false };
    /** Frames that came, for the curious. */
    this.frames = 0;
    /** @type {WebSocket|null} */
    this.socket = null;
    /** @type {Map<string, {resolve: (v: any) => void, reject: (e: any) => void, timer: any}>} */
    this.waiting = new Map();
    /** @type {Map<string, Set<(payload: any, frame?: any) => void>>} */
    this.listeners = new Map();
    this.seq = 0;
    /** Whether the stored device token goes instead of the secret, once. */
    this.tokenFirst = false;
    this.tokenTried = false;
    /** @type {any} */
    this.retry = null;
    /** @type {any} */
    this.watch = null;
    this.heard = 0;
    const soon = () => this.state.phase === "waiting" && this.connect();
    addEventListener("online", soon);
    document.addEventListener("visibilitychange", () => document.hidden || soon());
  }

  /**
   * Listens: an event's name, `*` for all, or `state`, `hello`, `gap`. Returns what ends it.
   * @param {string} name @param {(payload: any, frame?: any) => void} listener
   */
  on(name, listener) {
    const set = this.listeners.get(name) || new Set();
    this.listeners.set(name, set.add(listener));
    return () => void set.delete(listener);
  }

  /** @param {string} name @param {any} payload @param {any} [frame] */
  tell(name, payload, frame) {
    for (const listener of [...(this.listeners.get(name) || [])]) {
      try {
        listener(payload, frame);
      } catch (error) {
        console.error(name, error);
      }
    }
  }

  /** @param {Partial<State>} change */
  become(change) {
    this.state = { ...this.state, ...change };
    this.tell("state", this.state);
  }

  get ready() {
    return this.state.phase === "ready";
  }

  /** Whether this gateway has a method. @param {string} method */
  has(method) {
    return Boolean(this.hello?.features?.methods?.includes(method));
  }

  /** Whether this connection may do what a scope allows. @param {string} scope */
  may(scope) {
    const scopes = this.hello?.auth?.scopes || [];
    return scopes.includes("operator.admin") || scopes.includes(scope);
  }

  /**
   * Asks; resolves with the payload of the answer.
   * @param {string} method @param {any} [params] @param {number} [limit] milliseconds
   * @returns {Promise<any>}
   */
  request(method, params = {}, limit = 30000) {
    const socket = this.socket;
    if (!socket || socket.readyState !== WebSocket.OPEN || (method !== "connect" && !this.ready)) {
      return Promise.reject(new Refusal({ code: "OFFLINE", message: "The gateway is not connected." }));
    }
    const id = uuid();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new Refusal({ code: "TIMEOUT", message: method + " was not answered in time." }));
      }, limit);
      this.waiting.set(id, { resolve, reject, timer });
      socket.send(JSON.stringify({ type: "req", id, method, params }));
    });
  }

  /** Connects now, whatever was planned. */
  connect() {
    clearTimeout(this.retry);
    this.drop();
    this.become({ phase: "connecting", retryAt: 0 });
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.seq = 0;
    const greeting = setTimeout(() => socket.close(), GREETING);
    let opened = false;
    socket.onopen = () => (opened = true);
    socket.onmessage = ({ data }) => {
      if (socket !== this.socket) return;
      this.heard = Date.now();
      this.frames++;
      let frame;
      try {
        frame = JSON.parse(data);
      } catch {
        return;
      }
      if (frame.type === "res") this.answered(frame);
      else if (frame.event === "connect.challenge") this.introduce(frame.payload).then(() => clearTimeout(greeting));
      else if (frame.type === "event") this.happened(frame);
    };
    socket.onclose = ({ code, reason }) => {
      clearTimeout(greeting);
      if (socket === this.socket) this.closed(code, reason, opened);
    };
  }

  /** Ends the connection and stays away. */
  disconnect() {
    clearTimeout(this.retry);
    this.drop();
    this.become({ phase: "idle", refusal: null });
  }

  drop() {
    clearInterval(this.watch);
    const socket = this.socket;
    this.socket = null;
    if (socket) {
      socket.onclose = null;
      socket.close();
    }
    for (const { reject, timer } of this.waiting.values()) {
      clearTimeout(timer);
      reject(new Refusal({ code: "DISCONNECTED", message: "The connection ended before the answer came." }));
    }
    this.waiting.clear();
  }

  /** @param {any} frame */
  answered(frame) {
    const asked = this.waiting.get(frame.id);
    if (!asked) return;
    clearTimeout(asked.timer);
    this.waiting.delete(frame.id);
    if (frame.ok) asked.resolve(frame.payload);
    else asked.reject(new Refusal(frame.error));
  }

  /** @param {any} frame */
  happened(frame) {
    if (typeof frame.seq === "number") {
      // Frames that were left out because we were slow are counted all the same.
      if (this.seq && frame.seq > this.seq + 1) this.tell("gap", { expected: this.seq + 1, got: frame.seq });
      this.seq = Math.max(this.seq, frame.seq);
    }
    this.tell(frame.event, frame.payload, frame);
    this.tell("*", frame.payload, frame);
  }

  /** @param {{nonce: string, ts: number}} challenge */
  async introduce(challenge) {
    const socket = this.socket;
    try {
      const me = await identity();
      const deviceToken = this.tokenFirst || !this.secret ? memory("device-token") : null;
      const secret = deviceToken ? "" : this.secret;
      this.tokenFirst = false;
      const platform = navigator.platform || "web";
      const [clientId, mode, role] = ["openclaw-control-ui", "webchat", "operator"];
      const text = ["v3", me.id, clientId, mode, role, SCOPES.join(","), challenge.ts,
        secret || deviceToken || "", challenge.nonce, platform.trim().toLowerCase(), ""].join("|");
      const auth = secret ? { token: secret, password: secret } : deviceToken ? { deviceToken } : undefined;
      const hello = await this.request("connect", {
        minProtocol: 4,
        maxProtocol: 4,
        client: {
          id: clientId,
          mode,
          version: document.documentElement.dataset.build || "dev",
          platform,
          instanceId: INSTANCE,
          timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
        },
        role,
        scopes: SCOPES,
        caps: CAPS,
        device: {
          id: me.id,
          publicKey: me.publicKey,
          signature: await me.sign(text),
          signedAt: challenge.ts,
          nonce: challenge.nonce,
        },
        auth,
        locale: navigator.language,
        userAgent: navigator.userAgent,
      }, GREETING);
      if (socket === this.socket) this.greeted(hello);
    } catch (error) {
      if (socket !== this.socket) return;
      const refusal = error instanceof Refusal ? error : new Refusal({ code: "PAGE", message: String(error) });
      this.refused(refusal);
    }
  }

  /** @param {any} hello */
  greeted(hello) {
    const before = this.hello?.server?.bootId;
    this.hello = hello;
    this.tokenTried = false;
    if (hello.auth?.deviceToken) memory("device-token", hello.auth.deviceToken);
    const tick = hello.policy?.tickIntervalMs || 30000;
    clearInterval(this.watch);
    this.watch = setInterval(() => {
      if (Date.now() - this.heard > 2 * tick) this.socket?.close(4000, "tick timeout");
    }, Math.min(tick, 10000));
    this.become({ phase: "ready", refusal: null, close: null, retryAt: 0, tries: 0, reached: true });
    this.tell("hello", hello, { restarted: Boolean(before && before !== hello.server?.bootId) });
  }

  /** The gateway said no to `connect`. @param {Refusal} refusal */
  refused(refusal) {
    const details = refusal.details;
    this.drop();
    if (this.secret && details.canRetryWithDeviceToken && !this.tokenTried && memory("device-token")) {
      // The secret was changed, or mistyped: this device may still be known.
      this.tokenFirst = this.tokenTried = true;
      return this.connect();
    }
    if (details.code === "AUTH_DEVICE_TOKEN_MISMATCH") memory("device-token", null);
    const again = refusal.retryable || refusal.retryAfterMs > 0 || details.recommendedNextStep === "wait_then_retry";
    if (!again || details.pauseReconnect === true) return this.become({ phase: "refused", refusal, reached: true });
    this.later(refusal, refusal.retryAfterMs || (details.code === "PAIRING_REQUIRED" ? 2500 : 0));
  }

  /** @param {number} code @param {string} reason @param {boolean} opened */
  closed(code, reason, opened) {
    this.drop();
    const close = { code, reason };
    if (code === 4001 || (code === 1008 && /unauthorized|pairing|device/.test(reason))) {
      return this.become({ phase: "refused", close, refusal: new Refusal({ code: "REVOKED", message: reason }) });
    }
    this.become({ close, reached: opened });
    this.later(null, code === 1012 || code === 1013 ? 700 : 0);
  }

  /** Plans the next try. @param {Refusal|null} refusal @param {number} atLeast milliseconds */
  later(refusal, atLeast) {
    const tries = this.state.tries + 1;
    const own = Math.min(LONGEST_PAUSE, PAUSE * 1.6 ** tries);
    const pause = Math.max(atLeast, atLeast ? 0 : own * (0.75 + Math.random() / 2));
    this.become({ phase: "waiting", refusal, tries, retryAt: Date.now() + pause });
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.connect(), pause);
  }
}

/** One page, so that presence can tell two tabs apart. */
const INSTANCE = uuid();
