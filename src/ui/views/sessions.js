/** Sessions: every conversation, what it is about, what it cost, and what can be done with it. */
import { base, gateway, readSessions, shared, titleOf, watch } from "../store.js";
import { ask, badge, button, confirm, count, dialog, empty, fill, h, money, when } from "../dom.js";
import { go } from "../app.js";
import { memory } from "../identity.js";
import { t } from "../strings.js";
import { page } from "./common.js";

/** @type {import("../app.js").View["show"]} */
export async function show(place) {
  const filter = h("input", { type: "search", placeholder: t.sessions.filter, "aria-label": t.sessions.filter });
  const all = h("input", { type: "checkbox", id: "all-sessions" });
  const body = page(place, t.nav.sessions, t.sessions.lead, button(t.chat.fresh, fresh, { icon: "plus", kind: "primary" }));
  const list = h("ul", { class: "rows" });
  const sum = h("p", { class: "dim", role: "status" });
  body.append(h("div", { class: "row filters" }, filter, h("label", { class: "check", for: "all-sessions" }, all, t.sessions.background)), sum, list);
  const draw = () => {
    const words = filter.value.trim().toLowerCase();
    const rows = shared.sessions.filter((row) => (all.checked || !row.isBackground) && (!words ||
      [titleOf(row), row.key, row.lastMessagePreview, row.channel, row.model].some((text) => String(text || "").toLowerCase().includes(words))));
    const tokens = rows.reduce((all, row) => all + (row.totalTokens || 0), 0);
    fill(sum, t.sessions.sum(rows.length, count(tokens)));
    fill(list, rows.length ? rows.map(rowOf) : h("li", {}, empty(t.sessions.none)));
  };
  filter.addEventListener("input", draw);
  all.addEventListener("change", draw);
  draw();
  const off = watch((what) => what === "sessions" && draw());
  readSessions().catch(() => null);
  return off;
}

async function fresh() {
  const label = await ask(t.chat.fresh, t.chat.freshLabel, "", t.chat.start);
  if (label === null) return;
  const agentId = gateway.hello?.snapshot?.sessionDefaults?.defaultAgentId || "main";
  const made = await gateway.request("sessions.create", { agentId, ...(label ? { label } : {}) });
  go("chat?session=" + encodeURIComponent(made.key));
}

/** @param {any} row */
function rowOf(row) {
  const title = titleOf(row);
  return h("li", { class: "rows-row" },
    h("a", { class: "rows-main", href: base + "/chat?session=" + encodeURIComponent(row.key) },
      h("span", { class: "rows-title" }, row.hasActiveRun && h("span", { class: "dot on", role: "img", "aria-label": t.sessions.active }),
        h("b", {}, title), row.pinned && badge(t.sessions.pinned), row.isMain && badge(t.sessions.main), row.channel && badge(row.channel), row.status === "failed" && badge(t.sessions.failed, "bad")),
      row.lastMessagePreview && h("span", { class: "rows-text" }, row.lastMessagePreview),
      h("span", { class: "rows-meta" }, when(row.lastActivityAt || row.updatedAt), h("span", {}, row.model ? row.modelProvider + "/" + row.model : ""),
        h("span", {}, t.chat.tokens(row.totalTokens || 0)), row.estimatedCostUsd ? h("span", {}, money(row.estimatedCostUsd)) : null)),
    button(t.sessions.actions + " " + title, () => actions(row), { icon: "more", bare: true }));
}

/** @param {any} row */
async function actions(row) {
  const key = row.key;
  const done = () => readSessions().catch(() => null);
  const act = await dialog(titleOf(row), (close) => h("div", { class: "menu" },
    h("p", { class: "dim" }, key),
    button(t.sessions.rename, () => close("rename")),
    button(row.pinned ? t.sessions.unpin : t.sessions.pin, () => close("pin")),
    button(row.archived ? t.sessions.unarchive : t.sessions.archive, () => close("archive")),
    gateway.has("sessions.compact") && button(t.sessions.compact, () => close("compact")),
    button(t.sessions.reset, () => close("reset"), { kind: "danger" }),
    !row.isMain && button(t.sessions.remove, () => close("remove"), { kind: "danger" })));
  if (act === "rename") {
    const label = await ask(t.sessions.rename, t.sessions.name, row.label || "", t.common.save);
    if (label !== null) await gateway.request("sessions.patch", { key, label: label || null });
  } else if (act === "pin") await gateway.request("sessions.patch", { key, pinned: !row.pinned });
  else if (act === "archive") await gateway.request("sessions.patch", { key, archived: !row.archived });
  else if (act === "compact") await gateway.request("sessions.compact", { key }, 120000);
  else if (act === "reset" && (await confirm(t.sessions.reset, t.sessions.resetText, t.sessions.reset))) await gateway.request("sessions.reset", { key });
  else if (act === "remove" && (await confirm(t.sessions.remove, t.sessions.removeText, t.sessions.remove))) {
    await gateway.request("sessions.delete", { key });
    // The chat must not open what is gone.
    if (memory("session") === key) memory("session", null);
  }
  else return;
  await done();
}
