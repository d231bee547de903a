/**
 * What several views look at: the gateway, the list of sessions, what waits for a decision.
 *
 * Rebuilt from answers after every connection, kept up to date by events in between.
 */
import { Gateway } from "./client.js";
import { t } from "./strings.js";

export const root = document.documentElement;

/** Where this page lives, without a slash at the end. */
export const base = root.dataset.openclawControlUiBasePath || "";

export const gateway = new Gateway(location.origin.replace(/^http/, "ws") + base + "/");

/** @type {{sessions: any[], approvals: any[], questions: any[], pairing: number, health: any, presence: any[]}} */
export const shared = { sessions: [], approvals: [], questions: [], pairing: 0, health: {}, presence: [] };

/** @type {Set<(what: string) => void>} */
const watchers = new Set();

/** Calls `watcher` when something shared changed: `sessions`, `decisions`, `health`, `presence`. @param {(what: string) => void} watcher */
export function watch(watcher) {
  watchers.add(watcher);
  return () => void watchers.delete(watcher);
}

/** @param {string} what */
function changed(what) {
  for (const watcher of [...watchers]) watcher(what);
}

/** Sessions as the server lists them now. */
export async function readSessions() {
  const list = await gateway.request("sessions.list",
    { limit: 200, includeDerivedTitles: true, includeLastMessage: true });
  shared.sessions = list.sessions || [];
  changed("sessions");
}

/** What waits for this operator. Lists and events meet by id: a decision that raced the list stays decided. */
export async function readDecisions() {
  const [approvals, plugins, questions, devices, nodes] = await Promise.all([
    asked("exec.approval.list", "operator.approvals", []),
    asked("plugin.approval.list", "operator.approvals", []),
    asked("question.list", "operator.questions", { questions: [] }),
    asked("device.pair.list", "operator.pairing", { pending: [] }),
    asked("node.pair.list", "operator.pairing", { pending: [] }),
  ]);
  const open = (/** @type {any} */ one) => !decided.has(one.id);
  shared.approvals = [...approvals, ...plugins].filter(open);
  shared.questions = (questions.questions || []).filter(open);
  shared.pairing = (devices.pending || []).length + (nodes.pending || []).length;
  changed("decisions");
}

/** @type {Set<string>} */
const decided = new Set();

/** @param {string} method @param {string} scope @param {any} otherwise */
function asked(method, scope, otherwise) {
  return gateway.has(method) && gateway.may(scope) ? gateway.request(method).catch(() => otherwise) : otherwise;
}

/** The name people know a session by. @param {any} row */
export function titleOf(row) {
  if (!row) return "";
  const named = row.label || row.displayName || (row.isMain ? t.sessions.mainTitle : row.derivedTitle || row.autoLabel);
  return named || String(row.key || "").split(":").slice(2).join(":") || row.key;
}

/** @param {any} event */
function merge(event) {
  const row = event?.session;
  const key = row?.key || event?.sessionKey || event?.key;
  if (event?.reason === "delete" && key) {
    shared.sessions = shared.sessions.filter((one) => one.key !== key);
    return changed("sessions");
  }
  const at = shared.sessions.findIndex((one) => one.key === key);
  if (at < 0 || !row) return readAgain();
  const old = shared.sessions[at];
  const merged = { ...old, ...row };
  if (!("activeRunIds" in row)) merged.activeRunIds = old.activeRunIds;
  shared.sessions[at] = merged;
  changed("sessions");
}

/** @type {any} */
let pause = null;

function readAgain() {
  clearTimeout(pause);
  pause = setTimeout(() => readSessions().catch(() => null), 250);
}

gateway.on("hello", (hello) => {
  shared.health = hello.snapshot?.health || {};
  shared.presence = hello.snapshot?.presence || [];
  changed("health");
  changed("presence");
  decided.clear();
  const follow = gateway.has("sessions.subscribe") ? gateway.request("sessions.subscribe") : Promise.resolve();
  follow.then(readSessions).catch(() => null);
  readDecisions().catch(() => null);
});
gateway.on("gap", () => (readAgain(), readDecisions().catch(() => null)));
gateway.on("sessions.changed", merge);
gateway.on("health", (health) => ((shared.health = health), changed("health")));
gateway.on("presence", (event) => ((shared.presence = event.presence || []), changed("presence")));
for (const [name, list] of /** @type {[string, "approvals"|"questions"][]} */ ([
  ["exec.approval", "approvals"], ["plugin.approval", "approvals"], ["question", "questions"]])) {
  gateway.on(name + ".requested", (one) => {
    if (!shared[list].some((other) => other.id === one.id)) shared[list] = [...shared[list], one];
    changed("decisions");
  });
  gateway.on(name + ".resolved", (one) => {
    decided.add(one.id);
    shared[list] = shared[list].filter((other) => other.id !== one.id);
    changed("decisions");
  });
}
for (const name of ["device.pair.requested", "device.pair.resolved", "device.pair.changed", "node.pair.requested",
  "node.pair.resolved"]) {
  gateway.on(name, () => readDecisions().catch(() => null));
}
