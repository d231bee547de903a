// The reference client against the built gateway: every frame it gets is checked against the published schema.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";

import { GatewayClient, GatewayClientRequestError } from "@openclaw/gateway-client";
import Ajv from "ajv";

import { TOKEN, startGateway, until } from "./gateway.mjs";
import { startUpstream } from "./upstream.mjs";

// The package ships the schema without exporting it.
const SCHEMA = new URL("node_modules/@openclaw/gateway-protocol/protocol.schema.json", import.meta.url);
const schema = JSON.parse(readFileSync(SCHEMA, "utf8"));
const ajv = new Ajv({ strict: false, allErrors: true });
ajv.addSchema(schema);

// The newest published schema (2026.9.1) is older than the protocol (2026.9.6) and closed: these are the properties the
// reference sends and its schema does not know yet. Everything else the schema refuses is a mistake of ours.
const NEWER = {
  HelloOk: ["/auth method", "/snapshot/presence/* clientId", "/snapshot/health/eventLoop cpuBreakdown"],
  EventFrame: [" recipientProfileId"],
  AgentEvent: [" sessionKey", " agentId", " sessionId", " lane", " session"],
  ChannelsStatusResult: [" statusIssues", "/eventLoop cpuBreakdown"],
  ModelsListResult: ["/models/* local"],
};

function valid(definition, value) {
  const check = ajv.getSchema(`${schema.$id}#/definitions/${definition}`);
  assert.ok(check, `the schema has no ${definition}`);
  check(value);
  const errors = (check.errors ?? []).filter(({ keyword, instancePath, params }) => {
    const place = `${instancePath.replace(/\/\d+/g, "/*")} ${params.additionalProperty}`;
    return keyword !== "additionalProperties" || !NEWER[definition]?.includes(place);
  });
  assert.deepEqual(errors, [], `not a valid ${definition}: ${JSON.stringify(value)}`);
}

const PAYLOADS = { agent: "AgentEvent", chat: "ChatEvent", tick: "TickEvent", shutdown: "ShutdownEvent" };

// Read methods, what to send, and the schema's definition of the result where it has one.
const READS = [
  ["health", {}, null],
  ["status", {}, null],
  ["system-presence", {}, null],
  ["sessions.list", {}, null],
  ["models.list", {}, "ModelsListResult"],
  ["logs.tail", { limit: 5 }, "LogsTailResult"],
  ["channels.status", { probe: false, timeoutMs: 5000 }, "ChannelsStatusResult"],
];

const ALL = ["operator.admin", "operator.read", "operator.write"];

let upstream;
let gateway;

before(async () => {
  upstream = await startUpstream();
  gateway = await startGateway(upstream);
});

after(async () => {
  const how = await gateway?.stop();
  await upstream?.stop();
  if (how) assert.deepEqual(how, { code: 0, signal: null }, gateway.log());
});

/** A connected client; its events are in `events`, oldest first. */
async function connect(t, options = {}, to = gateway) {
  const events = [];
  const gaps = [];
  const closes = [];
  let client;
  const hello = await new Promise((resolve, reject) => {
    client = new GatewayClient({
      url: to.ws,
      token: TOKEN,
      clientName: "gateway-client",
      mode: "backend",
      clientVersion: "suite",
      platform: "linux",
      scopes: ALL,
      deviceIdentity: null,
      env: {},
      ...options,
      onHelloOk: resolve,
      onConnectError: reject,
      onEvent: (event) => events.push(event),
      onGap: (gap) => gaps.push(gap),
      onClose: (code, reason) => closes.push({ code, reason }),
    });
    t.after(() => client.stopAndWait());
    client.start();
  });
  return { client, hello, events, gaps, closes };
}

function checkEvents(events) {
  for (const event of events) {
    valid("EventFrame", event);
    if (PAYLOADS[event.event]) valid(PAYLOADS[event.event], event.payload);
  }
}

const key = (name) => `agent:main:${name}-${randomUUID()}`;

describe("the reference client", { concurrency: true }, () => {
  test("is welcomed as a backend with the scopes it asked for", async (t) => {
    const { hello } = await connect(t);
    valid("HelloOk", hello);
    assert.equal(hello.protocol, 4);
    assert.deepEqual(hello.auth.scopes, ALL);
    assert.equal(hello.auth.method, "token");
    assert.equal(hello.policy.tickIntervalMs, 30_000);
    assert.ok(hello.snapshot.presence.length > 0);
    for (const [method] of READS) assert.ok(hello.features.methods.includes(method), `${method} is advertised`);
    assert.ok(hello.features.capabilities.includes("published-model-catalog"));
  });

  test("is welcomed as the command line", async (t) => {
    const { hello } = await connect(t, { clientName: "cli", mode: "cli", scopes: ["operator.read"] });
    valid("HelloOk", hello);
    assert.deepEqual(hello.auth.scopes, ["operator.read"]);
  });

  test("gets no scopes as anything else, and may still ask for health", async (t) => {
    const { client, hello } = await connect(t, { clientName: "test", mode: "test" });
    valid("HelloOk", hello);
    assert.deepEqual(hello.auth.scopes, []);
    assert.equal((await client.request("health", {})).ok, true);
    await assert.rejects(client.request("status", {}), (error) => {
      assert.equal(error.gatewayCode, "FORBIDDEN");
      assert.equal(error.message, "missing scope: operator.read");
      assert.equal(error.details.code, "MISSING_SCOPE");
      return true;
    });
  });

  for (const [method, params, definition] of READS) {
    test(`reads ${method}`, async (t) => {
      const { client } = await connect(t);
      const result = await client.request(method, params);
      if (definition) valid(definition, result);
      else assert.equal(typeof result, "object");
    });
  }

  test("holds a conversation, every event in order", async (t) => {
    const { client, events, gaps } = await connect(t);
    await client.request("sessions.subscribe", {}).catch((error) => assert.match(error.message, /unknown method/));
    const sessionKey = key("talk");
    const runId = randomUUID();
    const ack = await client.request("chat.send", { sessionKey, message: "good morning", idempotencyKey: runId });
    assert.equal(ack.runId, runId);
    assert.equal(ack.status, "started");
    const chats = () => events.filter((event) => event.event === "chat" && event.payload.runId === runId);
    const final = await until("chat final", () => chats().find((event) => event.payload.state === "final"));
    checkEvents(events);
    assert.deepEqual(gaps, []);
    assert.match(final.payload.message.content[0].text, /^Hello from stub: .*good morning$/);
    const states = chats().map((event) => event.payload.state);
    assert.equal(states.indexOf("final"), states.length - 1, `nothing follows the final: ${states}`);
    assert.ok(states.includes("delta"), `deltas come before the final: ${states}`);
    const told = chats().filter((event) => event.payload.state === "delta").map((event) => event.payload.deltaText);
    assert.equal(told.join(""), final.payload.message.content[0].text);
    const life = () =>
      events
        .filter((event) => event.event === "agent" && event.payload.runId === runId && event.payload.stream === "lifecycle")
        .map((event) => event.payload.data.phase);
    await until("the lifecycle ends", () => life().includes("end"));
    assert.ok(life().indexOf("start") < life().indexOf("end"), `${life()}`);
    const history = await client.request("chat.history", { sessionKey, limit: 10 });
    assert.deepEqual(history.messages.map((message) => message.role), ["user", "assistant"]);
    assert.equal(history.messages[0].content, "good morning");
    const listed = await client.request("sessions.list", {});
    assert.ok(listed.sessions.some((row) => row.key === sessionKey), "the session is listed");
  });

  test("remembers a conversation over turns", async (t) => {
    const { client, events } = await connect(t);
    const sessionKey = key("recall");
    for (const message of ["my name is Ada", "RECALL please"]) {
      const runId = randomUUID();
      await client.request("chat.send", { sessionKey, message, idempotencyKey: runId });
      await until("chat final", () =>
        events.some(({ event, payload }) => event === "chat" && payload.runId === runId && payload.state === "final"),
      );
    }
    const { messages } = await client.request("chat.history", { sessionKey, limit: 10 });
    assert.equal(messages.length, 4);
    assert.match(messages[3].content[0].text, /I remember: .*my name is Ada/);
  });

  test("runs the agent in two stages with a tool between", async (t) => {
    const { client, events } = await connect(t, { caps: ["tool-events"] });
    const runId = randomUUID();
    const sessionKey = key("tool");
    let accepted;
    const final = await client.request(
      "agent",
      { message: "TOOLCALL now", sessionKey, idempotencyKey: runId },
      { expectFinal: true, onAccepted: (payload) => (accepted = payload), timeoutMs: 20_000 },
    );
    assert.equal(accepted.status, "accepted");
    assert.equal(accepted.runId, runId);
    assert.equal(accepted.sessionKey, sessionKey);
    assert.equal(final.status, "ok");
    assert.equal(final.summary, "completed");
    assert.match(final.result.payloads.at(-1).text, /Tool said ok; final answer\.$/);
    checkEvents(events);
    const streams = events.filter((event) => event.event === "agent").map((event) => event.payload.stream);
    for (const stream of ["lifecycle", "assistant", "tool"]) assert.ok(streams.includes(stream), `${stream}: ${streams}`);
    const { messages } = await client.request("chat.history", { sessionKey, limit: 10 });
    assert.deepEqual(messages.map((message) => message.role), ["user", "assistant", "toolResult", "assistant"]);
    assert.match(JSON.stringify(messages[2].content), /tool-output-42/);
    const waited = await client.request("agent.wait", { runId, timeoutMs: 2000 });
    assert.equal(waited.status, "ok");
    const again = await client.request("agent", { message: "TOOLCALL now", sessionKey, idempotencyKey: runId }, { expectFinal: true });
    assert.equal(again.status, "ok", "the same key gives the same final answer");
  });

  test("aborts a run and the call behind it", async (t) => {
    const { client, events } = await connect(t);
    const sessionKey = key("abort");
    const runId = randomUUID();
    await client.request("chat.send", { sessionKey, message: `SLOW ${runId}`, idempotencyKey: runId });
    const chat = (state) => () =>
      events.find(({ event, payload }) => event === "chat" && payload.runId === runId && payload.state === state);
    await until("the first delta", chat("delta"));
    const aborted = await client.request("chat.abort", { sessionKey, runId });
    assert.deepEqual(aborted, { ok: true, aborted: true, runIds: [runId] });
    const { payload } = await until("chat aborted", chat("aborted"));
    assert.equal(payload.stopReason, "rpc");
    const call = upstream.asked.find(({ body }) => JSON.stringify(body).includes(runId));
    await until("the upstream call is gone", () => call.left, 1000);
    assert.deepEqual(await client.request("chat.abort", { sessionKey }), { ok: true, aborted: false, runIds: [] });
    checkEvents(events);
  });

  test("is told why a wrong token is refused", async (t) => {
    await assert.rejects(connect(t, { token: "wrong" }), (error) => {
      assert.ok(error instanceof GatewayClientRequestError, `${error}`);
      assert.equal(error.gatewayCode, "INVALID_REQUEST");
      assert.equal(error.message, "unauthorized: gateway token mismatch (provide gateway auth token)");
      assert.equal(error.details.code, "AUTH_TOKEN_MISMATCH");
      assert.equal(error.details.authReason, "token_mismatch");
      assert.equal(error.details.recommendedNextStep, "update_auth_credentials");
      return true;
    });
  });

  test("is told about an unknown method and about bad params", async (t) => {
    const { client } = await connect(t);
    await assert.rejects(client.request("no.such.method", {}), { gatewayCode: "INVALID_REQUEST", message: "unknown method: no.such.method" });
    await assert.rejects(client.request("chat.history", { limit: 1 }), (error) => {
      assert.equal(error.gatewayCode, "INVALID_REQUEST");
      assert.match(error.message, /^invalid chat\.history params: .*must have required property 'sessionKey'/);
      return true;
    });
    assert.equal((await client.request("health", {})).ok, true, "the connection stays");
  });

  test("hears a tick within its interval", async (t) => {
    const { hello, events, closes } = await connect(t);
    const tick = await until("a tick", () => events.find(({ event }) => event === "tick"), hello.policy.tickIntervalMs + 5000);
    checkEvents([tick]);
    assert.deepEqual(closes, []);
  });

  test("is told of a shutdown before the close", async (t) => {
    const other = await startGateway(upstream);
    const { events, closes } = await connect(t, {}, other);
    assert.deepEqual(await other.stop(), { code: 0, signal: null }, other.log());
    const shutdown = await until("the shutdown event", () => events.find(({ event }) => event === "shutdown"));
    checkEvents([shutdown]);
    assert.equal(shutdown.payload.reason, "gateway stopping");
    assert.deepEqual(await until("the close", () => closes[0]), { code: 1012, reason: "service restart" });
  });
});
