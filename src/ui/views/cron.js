/** Automations: what runs by itself, when, and how it went. */
import { gateway } from "../store.js";
import { badge, button, card, confirm, dialog, duration, empty, facts, fill, h, labelled, select, toast, when } from "../dom.js";
import { t } from "../strings.js";
import { into, missing, page } from "./common.js";

/** @type {import("../app.js").View["show"]} */
export async function show(place) {
  const body = page(place, t.nav.cron, t.cron.lead, gateway.has("cron.add") && button(t.cron.add, () => add(draw), { icon: "plus", kind: "primary" }));
  const list = h("div", { class: "stack" });
  body.append(list);
  const lack = missing("cron.list");
  if (lack) return void list.append(lack);
  const draw = () => into(list, async () => {
    const [{ jobs = [] }, status] = await Promise.all([gateway.request("cron.list", { includeDisabled: true, limit: 200 }), gateway.has("cron.status") ? gateway.request("cron.status", {}) : /** @type {any} */ ({})]);
    return [h("p", { class: "dim" }, status.enabled === false ? t.cron.off : status.nextWakeAtMs ? [t.cron.next, " ", when(status.nextWakeAtMs)] : ""), jobs.length ? jobs.map((/** @type {any} */ job) => jobCard(job, draw)) : empty(t.cron.none)];
  });
  await draw();
  return gateway.on("cron", () => draw());
}

/** @param {any} job @param {() => any} draw */
function jobCard(job, draw) {
  const id = job.id;
  const act = (/** @type {() => Promise<any>} */ doing) => async () => {
    await doing();
    await draw();
  };
  const state = job.state || {};
  const runs = h("details", {}, h("summary", {}, t.cron.history));
  const place = h("div");
  runs.append(place);
  runs.addEventListener("toggle", () => runs.open && into(place, async () => {
    const { entries = [] } = await gateway.request("cron.runs", { id, limit: 20 });
    return entries.length ? h("ul", { class: "plain-list" }, entries.map((/** @type {any} */ one) => h("li", {}, h("span", {}, badge(one.status || one.action, one.status === "ok" ? "good" : "bad"), " ", one.error || one.summary || ""),
      h("span", { class: "dim" }, when(one.runAtMs || one.ts), one.durationMs ? " · " + duration(one.durationMs) : "")))) : t.cron.never;
  }));
  return card(job.displayName || job.name, [badge(job.enabled ? t.common.on : t.common.off, job.enabled ? "good" : ""), state.lastStatus && badge(state.lastStatus, state.lastStatus === "ok" ? "good" : "bad")],
    job.description && h("p", { class: "dim" }, job.description),
    facts([[t.cron.when, schedule(job.schedule)], [t.cron.nextRun, job.enabled ? when(job.nextRunAtMs || state.nextRunAtMs) : "–"], [t.cron.lastRun, when(state.lastRunAtMs)], [t.cron.where, job.sessionTarget],
      [t.cron.what, job.payload?.message || job.payload?.text || job.payload?.kind || "–"]]), state.lastError && h("p", { class: "bad-text" }, state.lastError),
    h("div", { class: "row" }, gateway.has("cron.run") && button(t.cron.run, act(async () => {
      await gateway.request("cron.run", { id, mode: "force" });
      toast(t.cron.started);
    }), { kind: "primary small" }), gateway.has("cron.update") && button(job.enabled ? t.cron.disable : t.cron.enable, act(() => gateway.request("cron.update", { id, patch: { enabled: !job.enabled } })), { kind: "small" }),
    gateway.has("cron.remove") && button(t.cron.remove, act(async () => {
      if (await confirm(t.cron.remove, t.cron.removeText, t.cron.remove)) await gateway.request("cron.remove", { id });
    }), { kind: "small danger" })), gateway.has("cron.runs") && runs);
}

/** @param {any} one */
function schedule(one) {
  if (!one) return "–";
  if (one.kind === "every") return t.cron.every + " " + duration(one.everyMs);
  if (one.kind === "cron") return h("code", {}, one.expr + (one.tz ? " " + one.tz : ""));
  if (one.kind === "at") return new Date(one.at).toLocaleString();
  return one.kind;
}

/** @param {() => any} draw */
function add(draw) {
  return dialog(t.cron.add, (close) => {
    const name = h("input", { type: "text", required: true, autofocus: true });
    const message = h("textarea", { rows: "3", required: true });
    const amount = h("input", { type: "number", min: "1", value: "1" });
    const unit = select([{ value: "60000", label: t.cron.minutes }, { value: "3600000", label: t.cron.hours }, { value: "86400000", label: t.cron.days }], "3600000");
    const expr = h("input", { type: "text", value: "0 8 * * *", class: "mono" });
    const at = h("input", { type: "datetime-local" });
    const parts = { every: h("div", { class: "row" }, labelled(t.cron.amount, amount), labelled(t.cron.unit, unit)), cron: labelled(t.cron.expr, expr, t.cron.exprHelp), at: labelled(t.cron.at, at) };
    const place = h("div");
    const kind = select([{ value: "every", label: t.cron.every }, { value: "cron", label: t.cron.byExpr }, { value: "at", label: t.cron.once }], "every", (value) => fill(place, parts[/** @type {keyof typeof parts} */ (value)]));
    fill(place, parts.every);
    const where = select([{ value: "isolated", label: t.cron.isolated }, { value: "main", label: t.cron.main }], "isolated");
    return h("form", { class: "stack", onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
      try {
        const plan = kind.value === "every" ? { kind: "every", everyMs: Number(amount.value) * Number(unit.value) } : kind.value === "cron" ? { kind: "cron", expr: expr.value.trim(), tz } : { kind: "at", at: new Date(at.value).toISOString() };
        const main = where.value === "main";
        await gateway.request("cron.add", { name: name.value.trim(), enabled: true, schedule: plan, sessionTarget: where.value, wakeMode: "now",
          payload: main ? { kind: "systemEvent", text: message.value } : { kind: "agentTurn", message: message.value }, ...(main ? {} : { delivery: { mode: "none" } }) });
        close(true);
        await draw();
      } catch (error) {
        toast(String(/** @type {any} */ (error).message), "bad");
      }
    } }, labelled(t.devices.name, name), labelled(t.cron.what, message), labelled(t.cron.when, kind), place, labelled(t.cron.where, where),
    h("div", { class: "row end" }, button(t.common.cancel, () => close(null)), h("button", { class: "btn primary", type: "submit" }, t.common.save)));
  });
}
