/**
 * What most views have in common: a heading, a place that fills itself, and a word for what this gateway lacks.
 */
import { gateway } from "../store.js";
import { button, empty, fill, h } from "../dom.js";
import { t } from "../strings.js";

/**
 * The frame of a view: its heading with its buttons, and where its content goes.
 * @param {HTMLElement} place @param {string} title @param {string} [lead] @param {import("../dom.js").Children} [side]
 */
export function page(place, title, lead, side) {
  const body = h("div", { class: "stack" });
  place.append(h("div", { class: "wrap" },
    h("header", { class: "view-head" }, h("div", {}, h("h1", {}, title), lead && h("p", { class: "dim" }, lead)), h("div", { class: "row" }, side)), body));
  return body;
}

/**
 * Fills `place` with what `load` resolves to; says so when that fails, and offers another try.
 * @param {HTMLElement} place @param {() => Promise<import("../dom.js").Children>} load
 */
export async function into(place, load) {
  place.setAttribute("aria-busy", "true");
  try {
    const content = await load();
    fill(place, content);
  } catch (error) {
    fill(place, empty(String(/** @type {any} */ (error)?.message || error), button(t.common.again, () => into(place, load))));
  } finally {
    place.removeAttribute("aria-busy");
  }
}

/**
 * The word for a part whose method this gateway does not have, or null when it has all of them.
 * @param {...string} methods
 */
export function missing(...methods) {
  const lacking = methods.filter((method) => !gateway.has(method));
  return lacking.length ? empty(t.common.missing(lacking.join(", "))) : null;
}

/** A table that becomes a list of cards where it does not fit. @param {string[]} heads @param {import("../dom.js").Children[][]} rows @param {string} label */
export function table(heads, rows, label) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h("table", { class: "grid" }, h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, at) => h("td", { data: { label: heads[at] } }, cell)))))));
}
