/** Approvals: commands that wait for a yes or a no, questions of agents, and what was decided. */
import { gateway, readDecisions, shared, watch } from "../store.js";
import { badge, button, card, empty, facts, fill, h, labelled, toast, when } from "../dom.js";
import { code } from "../markdown.js";
import { t } from "../strings.js";
import { page } from "./common.js";

/** @type {import("../app.js").View["show"]} */
export async function show(place) {
  const body = page(place, t.nav.approvals, t.approvals.lead, button(t.common.refresh, () => readDecisions(), { icon: "refresh" }));
  const [waiting, past] = [h("div", { class: "stack", role: "region", "aria-live": "polite", "aria-label": t.approvals.waiting }), h("div")];
  body.append(waiting, past);
  const draw = () => {
    const { approvals, questions } = shared;
    fill(waiting, approvals.map(approvalCard), questions.map(questionCard), !approvals.length && !questions.length &&
      empty(gateway.has("exec.approval.list") ? t.approvals.none : t.common.missing("exec.approval.list")));
  };
  draw();
  const off = watch((what) => what === "decisions" && (draw(), history()));
  const history = async () => {
    if (!gateway.has("approval.history")) return;
    const { items = [] } = await gateway.request("approval.history", { limit: 30 }).catch(() => ({}));
    fill(past, items.length && card(t.approvals.history, null, h("ul", { class: "plain-list" }, items.map((/** @type {any} */ one) => h("li", {},
      h("code", { class: "clip" }, one.presentation?.commandText || one.presentation?.command || one.request?.command || one.presentation?.title || one.id),
      h("span", { class: "row" }, badge(one.decision || one.status || "", /allow|approved/.test(one.decision || one.status) ? "good" : "bad"),
        h("span", { class: "dim" }, when(one.resolvedAtMs || one.createdAtMs))))))));
  };
  await Promise.all([readDecisions().catch(() => null), history()]);
  const timer = setInterval(draw, 20000);
  return () => (off(), clearInterval(timer));
}

/** @param {any} one */
function approvalCard(one) {
  const request = one.request || {};
  const decisions = request.allowedDecisions || ["allow-once", "allow-always", "deny"];
  const kind = one.approvalKind === "plugin" || request.title ? "plugin" : "exec";
  const resolve = async (/** @type {string} */ decision) => {
    await gateway.request(kind + ".approval.resolve", { id: one.id, decision });
    shared.approvals = shared.approvals.filter((other) => other.id !== one.id);
    toast(t.approvals.said[/** @type {keyof typeof t.approvals.said} */ (decision)] || decision);
    await readDecisions();
  };
  return h("section", { class: "card decision" },
    h("header", { class: "card-head" }, h("h2", {}, request.title || t.approvals.command), badge(t.approvals.until(one.expiresAtMs), "warn")),
    request.command ? code(request.commandText || request.command, "") : h("p", {}, request.description || ""),
    facts([[t.approvals.cwd, request.cwd || "–"], [t.approvals.on, request.host || request.nodeId || "–"], [t.approvals.by, request.agentId || request.sessionKey || "–"],
      [t.approvals.asked, when(one.createdAtMs)]]),
    request.detail && code(request.detail, ""),
    [request.warningText, ...(request.commandAnalysis?.warningLines || [])].filter(Boolean).map((line) => h("p", { class: "bad-text" }, line)),
    h("div", { class: "row" }, decisions.map((/** @type {string} */ decision) =>
      button(t.approvals.decide[/** @type {keyof typeof t.approvals.decide} */ (decision)] || decision, () => resolve(decision),
        { kind: decision === "deny" ? "danger" : decision === "allow-once" ? "primary" : "" }))));
}

/** @param {any} one */
function questionCard(one) {
  /** @type {Array<() => [string, string[]]>} */
  const answers = [];
  const fields = (one.questions || []).map((/** @type {any} */ q) => {
    const id = q.questionId || q.id;
    const options = (q.options || []).map((/** @type {any} */ o) => (typeof o === "string" ? o : o.label || o.value));
    const boxes = options.map((/** @type {string} */ option) => h("input", { type: q.multiSelect ? "checkbox" : "radio", name: one.id + id, value: option }));
    const free = h("input", { type: "text" });
    answers.push(() => [id, [...boxes.filter((/** @type {HTMLInputElement} */ box) => box.checked).map((/** @type {HTMLInputElement} */ box) => box.value), ...(free.value ? [free.value] : [])]]);
    return h("fieldset", {}, h("legend", {}, q.question || q.header), boxes.map((/** @type {HTMLInputElement} */ box, /** @type {number} */ at) => h("label", { class: "check" }, box, options[at])), labelled(t.approvals.own, free));
  });
  return h("section", { class: "card decision" }, h("header", { class: "card-head" }, h("h2", {}, t.approvals.question), badge(t.approvals.until(one.expiresAtMs), "warn")), fields,
    h("div", { class: "row" }, button(t.approvals.answer, async () => {
      await gateway.request("question.resolve", { id: one.id, answers: { answers: Object.fromEntries(answers.map((get) => get())) } });
      await readDecisions();
    }, { kind: "primary" }), button(t.approvals.refuse, async () => {
      await gateway.request("question.resolve", { id: one.id, cancel: true });
      await readDecisions();
    })));
}
