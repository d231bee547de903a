// A whole day's work of an operator's dashboard with the reference client: it opens, looks at everything, talks, tidies
// up, changes settings, plans, decides, comes back after a restart. Every request's params and every result and event that
// the published schema knows is held against it; no number may be missing, no request unanswered.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { GatewayClient } from "@openclaw/gateway-client";
import Ajv from "ajv";

import { TOKEN, startGateway, until } from "./gateway.mjs";
import { startUpstream } from "./upstream.mjs";

const SCHEMA = new URL("node_modules/@openclaw/gateway-protocol/protocol.schema.json", import.meta.url);
const schema = JSON.parse(readFileSync(SCHEMA, "utf8"));
const ajv = new Ajv({ strict: false, allErrors: true });
ajv.addSchema(schema);

const SCOPES = ["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing", "operator.questions"];

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

/** `sessions.groups.put` -> `SessionsGroupsPut`. */
const definitionOf = (method) => method.split(/[.-]/).map((word) => word[0].toUpperCase() + word.slice(1)).join("");

/** The frames of newer releases have more properties than the published schema knows; types and what is required count. */
function check(definition, value) {
  if (!schema.definitions[definition]) return;
  const validate = ajv.getSchema(`${schema.$id}#/definitions/${definition}`);
  validate(value);
  const known = (error) => error.keyword === "additionalProperties" || error.keyword === "anyOf";
  const errors = (validate.errors ?? []).filter((error) => !known(error));
  assert.deepEqual(errors, [], `not a valid ${definition}: ${JSON.stringify(value).slice(0, 2000)}`);
}

/** A dashboard: its events, oldest first, and a way to ask that holds both sides against the schema. */
function dashboard() {
  const events = [];
  const gaps = [];
  const hellos = [];
  const client = new GatewayClient({
    url: gateway.ws,
    token: TOKEN,
    clientName: "gateway-client",
    mode: "backend",
    clientVersion: "dashboard",
    platform: "linux",
    scopes: SCOPES,
    caps: ["tool-events", "approvals", "exec-approvals"],
    deviceIdentity: null,
    env: {},
    onHelloOk: (hello) => hellos.push(hello),
    onEvent: (event) => events.push(event),
    onGap: (gap) => gaps.push(gap),
  });
  const asked = new Set();
  const ask = async (method, params = {}) => {
    asked.add(method);
    check(`${definitionOf(method)}Params`, params);
    const result = await client.request(method, params);
    check(`${definitionOf(method)}Result`, result);
    return result;
  };
  const event = (what, wanted) => until(what, () => events.find(wanted));
  client.start();
  return { client, events, gaps, hellos, asked, ask, event };
}

const LOOKS = [
  "health", "status", "system.info", "system-presence", "last-heartbeat", "gateway.identity.get", "gateway.restart.preflight",
  "agents.list", "agents.files.list", "models.list", "models.authStatus", "channels.status", "tools.catalog", "commands.list",
  "config.get", "config.schema", "cron.status", "cron.list", "tasks.list", "taskSuggestions.list", "node.list", "device.pair.list",
  "exec.approvals.get", "exec.approval.list", "question.list", "secrets.store.list", "usage.status", "usage.cost", "logs.tail",
  "sessions.list", "sessions.groups.list", "users.list", "users.self", "users.prefs.get", "voicewake.get", "update.status",
  "chat.metadata",
];
const PARAMS = { "agents.files.list": { agentId: "main" }, "users.prefs.get": { keys: ["ui.theme"] }, "logs.tail": { limit: 20 } };

test("a dashboard works for a day", async (t) => {
  const board = dashboard();
  t.after(() => board.client.stopAndWait());
  const { ask, event } = board;
  const hello = await until("the welcome", () => board.hellos[0]);

  // In the morning everything is looked at; what is advertised answers.
  await ask("sessions.subscribe");
  for (const method of LOOKS) {
    assert.ok(hello.features.methods.includes(method), `${method} is advertised`);
    if (method === "users.self") continue; // a program is nobody
    await ask(method, PARAMS[method] ?? {});
  }

  // A conversation in a group of its own, with a tool.
  await ask("sessions.groups.put", { names: ["Work", "Later"] });
  const { key } = await ask("sessions.create", { label: "the kettle", category: "Work" });
  await ask("sessions.messages.subscribe", { key });
  const say = async (message) => {
    const runId = randomUUID();
    const ack = await ask("chat.send", { sessionKey: key, message, idempotencyKey: runId });
    assert.equal(ack.status, "started");
    const of = (frame) => frame.event === "chat" && frame.payload.runId === runId;
    await event(`the end of "${message}"`, (frame) => of(frame) && frame.payload.state === "final");
    return runId;
  };
  await say("good morning");
  const toolRun = await say("TOOLCALL now");
  const tools = board.events.filter((frame) => frame.payload?.runId === toolRun && frame.payload.stream === "tool");
  assert.deepEqual([tools[0].payload.data.phase, tools.at(-1).payload.data.phase], ["start", "result"]);
  const history = await ask("chat.history", { sessionKey: key, limit: 50 });
  assert.equal(history.messages[0].content, "good morning");
  assert.ok(history.messages.length >= 4);

  // It is renamed, pinned, searched, forked, taken back and taken up again.
  await ask("sessions.patch", { key, label: "the new kettle", pinned: true });
  assert.equal((await ask("sessions.resolve", { label: "the new kettle" })).key, key);
  assert.equal((await ask("sessions.list", { search: "new kettle" })).sessions.length, 1);
  assert.ok((await ask("sessions.search", { query: "good morning" })).results.length > 0);
  const entryId = history.messages.findLast((message) => message.role === "user").__openclaw.id;
  const fork = await ask("sessions.fork", { sessionKey: key, entryId });
  assert.match(fork.editorText, /TOOLCALL now/);
  await ask("sessions.rewind", { sessionKey: key, entryId });
  await say("another way");
  const { branches } = await ask("sessions.branches.list", { sessionKey: key });
  assert.deepEqual(branches.map((branch) => branch.active), [true, false]);
  await ask("sessions.branches.switch", { sessionKey: key, leafEntryId: branches[1].leafEntryId });
  await ask("sessions.preview", { keys: [key, fork.sessionKey] });
  await ask("sessions.describe", { key });
  await ask("sessions.usage", {});

  // Something slow is stopped.
  const slow = randomUUID();
  await ask("chat.send", { sessionKey: fork.sessionKey, message: "SLOW", idempotencyKey: slow });
  await event("words", (frame) => frame.payload?.runId === slow && frame.payload.state === "delta");
  await ask("chat.abort", { sessionKey: fork.sessionKey, runId: slow });
  await event("its end", (frame) => frame.payload?.runId === slow && frame.payload.state === "aborted");
  await ask("sessions.delete", { key: fork.sessionKey });
  await event("its going", (frame) => frame.event === "sessions.changed" && frame.payload.reason === "delete");

  // A job is planned, run and dropped; an agent is asked and waited for.
  const job = await ask("cron.add", {
    name: "tea",
    schedule: { kind: "every", everyMs: 3_600_000 },
    sessionTarget: "isolated",
    wakeMode: "now",
    payload: { kind: "agentTurn", message: "make tea" },
  });
  await ask("cron.run", { id: job.id, mode: "force" });
  await event("the job's end", (frame) => frame.event === "cron" && frame.payload.jobId === job.id && frame.payload.action === "finished");
  assert.ok((await ask("cron.runs", { id: job.id })).entries.length > 0);
  await ask("cron.update", { id: job.id, patch: { enabled: false } });
  await ask("cron.remove", { id: job.id });
  const asked = randomUUID();
  await ask("agent", { message: "hello", sessionKey: key, idempotencyKey: asked });
  assert.equal((await ask("agent.wait", { runId: asked, timeoutMs: 10_000 })).status, "ok");
  await event("the task", (frame) => frame.event === "task" && frame.payload.task.id === asked && frame.payload.task.status === "completed");

  // Decisions: a command that waits, a question, a suggestion.
  const other = dashboard();
  t.after(() => other.client.stopAndWait());
  await until("another client", () => other.hellos[0]);
  const approval = other.ask("exec.approval.request", { command: "rm kettle", cwd: "/srv", timeoutMs: 20_000 });
  const pending = await event("the request", (frame) => frame.event === "exec.approval.requested");
  await ask("exec.approval.resolve", { id: pending.payload.id, decision: "deny" });
  assert.equal((await approval).decision, "deny");
  await event("the decision", (frame) => frame.event === "exec.approval.resolved");
  const card = await ask("taskSuggestions.create", { title: "Descale", prompt: "Descale it.", tldr: "Lime.", cwd: "/srv", sessionKey: key });
  await ask("taskSuggestions.dismiss", { taskId: card.taskId });
  assert.equal((await ask("tools.invoke", { name: "session_status", args: {} })).ok, true);

  // Settings: looked up, changed, in force.
  const config = await ask("config.get");
  await ask("config.schema.lookup", { path: "logging.level" });
  await ask("config.patch", { raw: JSON.stringify({ logging: { level: "debug" } }), baseHash: config.hash });
  await event("the change", (frame) => frame.event === "config.changed");
  assert.equal((await ask("config.get")).config.logging.level, "debug");
  await ask("agents.files.set", { agentId: "main", name: "USER.md", content: "Likes tea.\n" });
  assert.match((await ask("agents.files.get", { agentId: "main", name: "USER.md" })).file.content, /tea/);
  await ask("voicewake.set", { triggers: ["kettle"] });
  await ask("sessions.groups.rename", { name: "Work", to: "Kitchen" });
  assert.equal((await ask("sessions.describe", { key })).session.category, "Kitchen");

  // In the evening the gateway starts over, and the dashboard goes on where it was.
  assert.deepEqual(board.gaps, []);
  await ask("gateway.restart.request", { reason: "the evening" });
  await event("the farewell", (frame) => frame.event === "shutdown");
  await until("the second welcome", () => board.hellos[1], 20_000);
  assert.notEqual(board.hellos[1].server.bootId, hello.server.bootId);
  assert.equal((await ask("sessions.describe", { key })).session.label, "the new kettle");
  assert.equal((await ask("voicewake.get")).triggers[0], "kettle");
  assert.equal((await ask("sessions.branches.list", { sessionKey: key })).branches.length, 2);

  const seqs = (frames) => frames.map((frame) => frame.seq).filter((seq) => seq !== undefined);
  const numbers = seqs(board.events);
  const begins = numbers.flatMap((seq, at) => (at > 0 && seq <= numbers[at - 1] ? [at] : []));
  assert.ok(begins.length <= 1, `numbers grow on each of the two connections: ${numbers}`);
  for (const frame of board.events) {
    check("EventFrame", frame);
    check(frame.event === "agent" ? "AgentEvent" : frame.event === "chat" ? "ChatEvent" : "", frame.payload);
  }
  assert.ok(board.asked.size >= 65, `${board.asked.size} methods were used`);
});
