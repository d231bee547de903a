/** Debug: any method by hand, events as they come, what the gateway said when it greeted. */
import { gateway } from "../store.js";
import { badge, button, card, duration, fill, h, labelled, pretty } from "../dom.js";
import { tabMemory } from "../identity.js";
import { code } from "../markdown.js";
import { t } from "../strings.js";
import { page } from "./common.js";

/** Events that are kept. */
const KEPT = 200;

/** @type {import("../app.js").View["show"]} */
export async function show(place) {
  const body = page(place, t.nav.debug, t.debug.lead);
  const methods = gateway.hello?.features?.methods || [];
  const method = h("input", { type: "text", list: "methods", value: tabMemory("debug.method") || "status", spellcheck: "false", autocapitalize: "off", class: "mono" });
  const params = h("textarea", { rows: "5", class: "mono", spellcheck: "false", value: tabMemory("debug.params") || "{}" });
  const result = h("div", { role: "status" });
  const call = async () => {
    tabMemory("debug.method", method.value);
    tabMemory("debug.params", params.value);
    const began = performance.now();
    const [kind, answer] = await gateway.request(method.value.trim(), JSON.parse(params.value.trim() || "{}"), 60000).then((value) => ["good", value], (error) => ["bad", { code: error.code, message: error.message, details: error.details }]);
    const took = duration(performance.now() - began);
    fill(result, h("p", {}, badge(kind === "good" ? t.debug.ok : t.debug.refused, kind), " ", h("span", { class: "dim" }, took)), code(pretty(answer).slice(0, 200000), "json"));
  };
  const events = h("div", { class: "loglines", role: "log", tabindex: "0", "aria-label": t.debug.events, "aria-live": "off" });
  const off = gateway.on("*", (payload, frame) => {
    events.prepend(h("details", { class: "logline event" }, h("summary", {}, h("span", { class: "dim" }, new Date().toLocaleTimeString("en-GB")), h("b", {}, frame.event), h("span", { class: "dim clip" }, JSON.stringify(payload)?.slice(0, 160) || "")), h("pre", { tabindex: "0" }, pretty(payload))));
    while (events.childNodes.length > KEPT) events.lastChild?.remove();
  });
  body.append(h("div", { class: "columns" },
    card(t.debug.call, null, h("form", { class: "stack", onsubmit: (/** @type {Event} */ event) => event.preventDefault() }, labelled(t.debug.method, method, t.debug.count(methods.length)), h("datalist", { id: "methods" }, methods.map((/** @type {string} */ name) => h("option", { value: name }))), labelled(t.debug.params, params), h("div", { class: "row" }, button(t.debug.call, call, { kind: "primary" })), result)),
    card(t.debug.events, button(t.debug.clear, () => void fill(events), { kind: "small" }), events)),
  card(t.debug.hello, null, h("details", {}, h("summary", {}, t.debug.show), code(pretty(safe(gateway.hello)), "json"))));
  return off;
}

/** The greeting without this device's token. @param {any} hello */
function safe(hello) {
  const auth = { ...hello?.auth };
  for (const name of ["deviceToken", "deviceTokens"]) if (auth[name]) auth[name] = "••••";
  return { ...hello, auth };
}
