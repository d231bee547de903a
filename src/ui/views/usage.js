/** Usage: tokens and money, by day, by model, by session. */
import { base, gateway, readSessions, shared, titleOf } from "../store.js";
import { card, count, empty, h, money, s, select } from "../dom.js";
import { t } from "../strings.js";
import { into, page, table } from "./common.js";

/** Kinds of tokens, in the order they are stacked. */
const KINDS = /** @type {const} */ (["input", "cacheRead", "cacheWrite", "output"]);

/** @type {import("../app.js").View["show"]} */
export async function show(place) {
  let days = 30;
  let measure = "tokens";
  const body = page(place, t.nav.usage, t.usage.lead, [
    select([7, 30, 90].map((n) => ({ value: String(n), label: t.usage.days(n) })), "30", (value) => ((days = Number(value)), draw()), { "aria-label": t.usage.range }),
    select([{ value: "tokens", label: t.usage.tokens }, { value: "cost", label: t.usage.cost }], "tokens", (value) => ((measure = value), draw()), { "aria-label": t.usage.measure })]);
  const content = h("div", { class: "stack" });
  body.append(content);
  const draw = () => into(content, async () => {
    const zone = { mode: "specific", timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone, utcOffset: offset(), agentScope: "all" };
    const [cost, detail] = await Promise.all([
      gateway.request("usage.cost", { days, ...zone }, 60000),
      gateway.request("sessions.usage", { range: days + "d", groupBy: "family", limit: 500, ...zone }, 60000),
    ]);
    if (!shared.sessions.length) await readSessions();
    const totals = cost.totals || {};
    const by = (/** @type {any} */ one) => (measure === "cost" ? one.totalCost || 0 : one.totalTokens || 0);
    const write = measure === "cost" ? money : count;
    const models = detail.aggregates.byModel.map((/** @type {any} */ one) => ({ name: one.provider + "/" + one.model, n: by(one.totals) }));
    const sessions = detail.sessions.map((/** @type {any} */ one) => ({
      name: titleOf(shared.sessions.find((row) => row.key === one.key) || one),
      href: one.sessionId && base + "/chat?session=" + encodeURIComponent(one.key),
      n: by(one.usage),
    }));
    return [h("div", { class: "tiles" }, [[t.usage.total, count(totals.totalTokens)], [t.usage.input, count(totals.input)], [t.usage.output, count(totals.output)], [t.usage.cost, money(totals.totalCost)]].map(([name, value]) =>
      h("div", { class: "tile" }, h("span", { class: "dim" }, name), h("strong", {}, value)))),
    card(measure === "cost" ? t.usage.costByDay : t.usage.byDay, null, chart(cost.daily || [], measure), measure === "tokens" && h("ul", { class: "legend" }, KINDS.map((kind) => h("li", { class: "k-" + kind }, t.usage[kind]))),
      h("details", {}, h("summary", {}, t.usage.asTable), table([t.usage.day, t.usage.input, t.usage.output, t.usage.total, t.usage.cost], (cost.daily || []).filter((/** @type {any} */ day) => day.totalTokens).reverse().map((/** @type {any} */ day) => [day.date, count(day.input), count(day.output), count(day.totalTokens), money(day.totalCost)]), t.usage.asTable))),
    h("div", { class: "columns" }, card(t.usage.byModel, null, bars(models, write)), card(t.usage.bySession, null, bars(sessions, write)))];
  });
  await draw();
}

/** This browser's offset, for a host that knows no time zones by name. */
function offset() {
  const minutes = -new Date().getTimezoneOffset();
  const [whole, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return "UTC" + (minutes < 0 ? "-" : "+") + whole + ":" + String(rest).padStart(2, "0");
}

/** @param {any[]} days @param {string} measure */
function chart(days, measure) {
  const [w, hgt, foot] = [720, 200, 18];
  const of = (/** @type {any} */ day) => (measure === "cost" ? day.totalCost || 0 : KINDS.reduce((sum, kind) => sum + (day[kind] || 0), 0));
  const top = Math.max(...days.map(of), measure === "cost" ? 0.0001 : 1);
  const step = w / Math.max(1, days.length);
  const scale = (/** @type {number} */ n) => (n / top) * (hgt - foot - 16);
  const label = t.usage.chartLabel(days.length, measure === "cost" ? money(top) : count(top));
  return h("div", { class: "chart", tabindex: "0", role: "group", "aria-label": label }, h("span", { class: "dim small chart-top" }, measure === "cost" ? money(top) : count(top)), s("svg", { viewBox: "0 0 " + w + " " + hgt, "aria-hidden": "true" }, s("path", { class: "axis", d: "M0 " + (hgt - foot) + "H" + w }),
    days.map((day, at) => {
      let y = hgt - foot;
      const parts = measure === "cost" ? [["cost", day.totalCost || 0]] : KINDS.map((kind) => [kind, day[kind] || 0]);
      const every = Math.ceil(days.length / 6);
      return s("g", {}, s("title", {}, day.date + ": " + (measure === "cost" ? money(of(day)) : count(of(day)))), s("rect", { class: "hit-area", x: at * step, y: 0, width: step, height: hgt - foot }),
        parts.filter(([, n]) => n).map(([kind, n]) => {
          const tall = Math.max(1, scale(Number(n)));
          y -= tall;
          return s("rect", { class: "k-" + kind, x: at * step + step * 0.15, y, width: step * 0.7, height: tall, rx: 2 });
        }), at % every === 0 && s("text", { x: at * step, y: hgt - 3, class: "tick" }, day.date.slice(5)));
    })));
}

/** @param {any[]} rows @param {(n: number) => string} write */
function bars(rows, write) {
  const sorted = rows.filter((row) => row.n).sort((a, b) => b.n - a.n).slice(0, 12);
  if (!sorted.length) return empty(t.usage.none);
  const top = sorted[0].n;
  return h("ul", { class: "bars" }, sorted.map((row) => h("li", {}, h("div", { class: "row spread" }, row.href ? h("a", { href: row.href }, row.name) : h("span", {}, row.name), h("span", { class: "dim" }, write(row.n))),
    h("div", { class: "bar-track" }, h("div", { class: "bar-fill", style: { width: Math.max(1, (row.n / top) * 100) + "%" } })))));
}
