/** Logs: the end of the gateway's log, as it grows. */
import { gateway } from "../store.js";
import { button, copy, empty, fill, h, select, toast } from "../dom.js";
import { t } from "../strings.js";
import { page } from "./common.js";

/** Lines that are kept, and how often is asked. */
const KEPT = 2000;
const LOOK = 1500;

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"];

/** @type {import("../app.js").View["show"]} */
export async function show(place) {
  let [level, paused, cursor, shown] = ["trace", false, /** @type {number|undefined} */ (undefined), 0];
  /** @type {ReturnType<typeof read>[]} */
  let lines = [];
  const filter = h("input", { type: "search", placeholder: t.logs.filter, "aria-label": t.logs.filter });
  const pause = button(t.logs.pause, () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (!paused) look();
  }, { pressed: false });
  const body = page(place, t.nav.logs, t.logs.lead, [pause, button(t.common.copy, async () => toast((await copy(lines.filter(wanted).map((line) => line.raw).join("\n"))) ? t.common.copied : t.common.copyFailed), { icon: "copy" })]);
  const list = h("div", { class: "loglines", role: "log", tabindex: "0", "aria-label": t.nav.logs, "aria-live": "off" });
  const note = h("p", { class: "dim small", role: "status" });
  body.append(h("div", { class: "row filters" }, filter, select(LEVELS.map((one) => ({ value: one, label: t.logs.from + " " + one })), level, (value) => ((level = value), draw()), { "aria-label": t.logs.level })), list, note);
  const wanted = (/** @type {ReturnType<typeof read>} */ line) => LEVELS.indexOf(line.level) >= LEVELS.indexOf(level) && line.raw.toLowerCase().includes(filter.value.trim().toLowerCase());
  const lineOf = (/** @type {ReturnType<typeof read>} */ line) => h("div", { class: "logline l-" + line.level }, h("span", { class: "dim" }, line.time), h("b", {}, line.level), h("span", {}, line.text));
  const draw = () => {
    fill(list, lines.filter(wanted).slice(-600).map(lineOf));
    list.scrollTop = list.scrollHeight;
  };
  const look = async () => {
    if (paused || document.hidden || !gateway.ready) return;
    const answer = await gateway.request("logs.tail", { cursor, limit: 500, maxBytes: 200000 });
    cursor = answer.cursor;
    if (answer.reset) lines = [];
    fill(note, answer.file);
    const fresh = answer.lines.map(read);
    if (!fresh.length && shown) return;
    lines = [...lines, ...fresh].slice(-KEPT);
    const end = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    if (!shown++ || answer.reset) return draw();
    for (const line of fresh.filter(wanted)) list.append(lineOf(line));
    while (list.childNodes.length > 900) list.firstChild?.remove();
    if (end) list.scrollTop = list.scrollHeight;
  };
  filter.addEventListener("input", draw);
  try {
    await look();
  } catch (error) {
    fill(list, empty(String(/** @type {any} */ (error).message)));
  }
  const timer = setInterval(() => look().catch(() => null), LOOK);
  return () => clearInterval(timer);
}

/** A line of the log: JSON, or text as it came. @param {string} raw */
function read(raw) {
  try {
    const one = JSON.parse(raw);
    const level = String(one.level || one._meta?.logLevelName || "info").toLowerCase();
    const time = String(one.time || one.ts || one._meta?.date || "");
    const text = one.message || one.msg || Object.entries(one).filter(([key]) => /^\d+$/.test(key)).map(([, value]) => (typeof value === "string" ? value : JSON.stringify(value))).join(" ");
    return { raw, level: LEVELS.includes(level) ? level : "info", time: time.slice(11, 23), text: (one.target || one.subsystem ? (one.target || one.subsystem) + ": " : "") + text };
  } catch {
    const found = /\b(TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\b/i.exec(raw);
    return { raw, level: found ? found[1].toLowerCase() : "info", time: /\d\d:\d\d:\d\d(\.\d+)?/.exec(raw)?.[0] || "", text: raw };
  }
}
