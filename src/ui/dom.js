/**
 * Building the page: elements, icons, dialogs, and how things are written for people.
 *
 * There is no way from a string to markup here: text becomes text nodes, so nothing a model, a messenger or a
 * configuration says can become an element (and the page's policy would refuse it, too).
 */
import { t } from "./strings.js";

/** @typedef {Node|string|number|null|undefined|false} Child */
/** @typedef {Child|any[]} Children */

/**
 * One element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [props] `class`, `on...` listeners, `style` as an object, properties, attributes.
 * @param {...Children} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  apply(node, props);
  append(node, children);
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * One SVG element.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...Children} children
 */
export function s(tag, props = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, String(value));
  }
  append(node, children);
  return node;
}

/** @param {HTMLElement} node @param {Record<string, any>} props */
function apply(node, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "style") Object.assign(node.style, value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name.startsWith("on") && typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) /** @type {any} */ (node)[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
}

const PROPERTIES = new Set(["value", "checked", "selected", "disabled", "hidden", "multiple", "open", "indeterminate"]);

/** @param {Element} node @param {Children} children */
export function append(node, children) {
  for (const child of /** @type {any[]} */ ([children]).flat(4)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

/**
 * Replaces what is inside.
 * @template {Element} T
 * @param {T} node @param {...Children} children
 * @returns {T}
 */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

/** Path data on a 24 x 24 grid; strokes. @type {Record<string, string>} */
const ICONS = {
  chat: "M4 5h16v11H9l-5 4z",
  sessions: "M4 6h16M4 12h16M4 18h10",
  overview: "M4 13h5v7H4zM11 4h5v16h-5zM18 9h2v11h-2z",
  channels: "M4 12a8 8 0 0 1 16 0M8 12a4 4 0 0 1 8 0M12 12v8",
  devices: "M3 5h12v10H3zM7 19h4M18 9h3v10h-5v-6",
  approvals: "M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2 2 4-4",
  agents: "M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM4 21c1-5 4-6 8-6s7 1 8 6",
  cron: "M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16zM12 8v4l3 2",
  usage: "M4 20V4M4 20h16M8 16l4-5 3 3 5-7",
  logs: "M5 4h14v16H5zM8 8h8M8 12h8M8 16h5",
  config: "M4 7h10M18 7h2M4 17h2M10 17h10M14 5v4M6 15v4",
  debug: "M8 6l-5 6 5 6M16 6l5 6-5 6",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6L6 18",
  send: "M12 20V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  attach: "M8 12l6-6a3.500 3.500 0 0 1 5 5l-8 8a5 5 0 0 1-7-7l7-7",
  camera: "M4 8h4l2-3h4l2 3h4v11H4zM12 10a3 3 0 1 1 0 6 3 3 0 0 1 0-6z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 12l5 5 9-10",
  search: "M11 5a6 6 0 1 1 0 12 6 6 0 0 1 0-12zM16 16l4 4",
  plus: "M12 5v14M5 12h14",
  more: "M5.500 11.300a.7.7 0 1 1 0 1.400a.7.7 0 0 1 0-1.400zM12 11.300a.7.7 0 1 1 0 1.400a.7.7 0 0 1 0-1.400zM18.500 11.300a.7.7 0 1 1 0 1.400a.7.7 0 0 1 0-1.400z",
  refresh: "M20 11a8 8 0 1 0-1 5M20 5v6h-6",
  tool: "M14 6a4 4 0 0 1 5-1l-3 3 1 2 2 1 3-3a4 4 0 0 1-6 5l-8 8-3-3 8-8a4 4 0 0 1 1-4z",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  down: "M6 10l6 6 6-6",
  moon: "M20 14A8 8 0 0 1 10 4a8 8 0 1 0 10 10z",
  key: "M8 11a4 4 0 1 1 0 6 4 4 0 0 1 0-6zM11 12l9-9M17 6l2 2",
  alert: "M12 4l9 16H3zM12 10v4M12 17h.01",
  bolt: "M13 3L5 14h6l-1 7 8-11h-6z",
};

/** @param {string} name @param {string} [cls] */
export function icon(name, cls = "icon") {
  return s("svg", { viewBox: "0 0 24 24", class: cls, "aria-hidden": "true", focusable: "false" },
    s("path", { d: ICONS[name] || ICONS.more }));
}

/** The mark of the house. */
export function mark() {
  const claws = ["M7 25C3.6 16.500 5.500 8 10 4.500", "M14.500 27C11 17.500 12.500 8.500 17 5",
    "M22 27.500C19 19.500 20 11.500 24.500 8"];
  return s("svg", { viewBox: "0 0 32 32", class: "mark", "aria-hidden": "true" }, claws.map((d) => s("path", { d })));
}

/**
 * A button. With an icon alone it needs a label, which screen readers say and a pointer shows.
 * @param {string} label
 * @param {(event: any) => any} act
 * @param {{icon?: string, kind?: string, bare?: boolean, disabled?: boolean, title?: string, pressed?: boolean}} [o]
 */
export function button(label, act, o = {}) {
  const node = h("button", {
    type: "button",
    class: "btn " + (o.kind || "") + (o.bare ? " bare" : ""),
    disabled: o.disabled,
    title: o.bare ? label : o.title,
    "aria-label": o.bare ? label : null,
    "aria-pressed": o.pressed === undefined ? null : String(o.pressed),
  }, o.icon && icon(o.icon), !o.bare && h("span", {}, label));
  node.addEventListener("click", async (event) => {
    const doing = act(event);
    if (!(doing instanceof Promise)) return;
    node.setAttribute("aria-busy", "true");
    node.disabled = true;
    try {
      await doing;
    } catch (error) {
      toast(String(/** @type {any} */ (error)?.message || error), "bad");
    } finally {
      node.disabled = false;
      node.removeAttribute("aria-busy");
    }
  });
  return node;
}

/** @param {string} label @param {HTMLElement} control @param {string} [help] */
export function labelled(label, control, help) {
  const id = control.id || (control.id = "f" + ++counter);
  if (help) control.setAttribute("aria-describedby", id + "h");
  return h("div", { class: "field" }, h("label", { for: id }, label), control,
    help && h("p", { class: "help", id: id + "h" }, help));
}

let counter = 0;

/**
 * @param {Array<string|{value: string, label: string}>} options
 * @param {string} [value] @param {(value: string) => any} [changed] @param {Record<string, any>} [props]
 */
export function select(options, value, changed, props = {}) {
  const node = h("select", props, options.map((one) => {
    const option = typeof one === "string" ? { value: one, label: one } : one;
    return h("option", { value: option.value, selected: option.value === value }, option.label);
  }));
  if (changed) node.addEventListener("change", () => changed(node.value));
  return node;
}

/** A word with a colour that is never the only sign. @param {string} text @param {string} [kind] */
export function badge(text, kind = "") {
  return h("span", { class: "badge " + kind }, text);
}

/** @param {string} title @param {Children} [side] @param {...Children} body */
export function card(title, side, ...body) {
  return h("section", { class: "card" },
    h("header", { class: "card-head" }, h("h2", {}, title), h("div", { class: "row" }, side)), ...body);
}

/** @param {string} text @param {Children} [more] */
export function empty(text, more) {
  return h("div", { class: "empty" }, h("p", {}, text), more);
}

/** Key and value, again and again. @param {Array<[string, Children]>} pairs */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** A command a person types on the host, with a button that copies it. @param {string} text */
export function command(text) {
  return h("div", { class: "command" }, h("code", { tabindex: "0" }, text), copier(() => text));
}

/** @param {() => string} text */
export function copier(text) {
  return button(t.common.copy, async () => toast((await copy(text())) ? t.common.copied : t.common.copyFailed),
    { icon: "copy", bare: true });
}

/** Also where the clipboard is not to be had: plain http in a home network. @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "offscreen", value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Says something in passing. @param {string} text @param {string} [kind] */
export function toast(text, kind = "") {
  let tray = document.querySelector(".toasts");
  if (!tray) document.body.append((tray = h("div", { class: "toasts", role: "status", "aria-live": "polite", popover: "manual" })));
  const note = h("div", { class: "toast " + kind }, text);
  tray.append(note);
  // Shown anew it lies above every dialog.
  const layer = /** @type {HTMLElement} */ (tray);
  if (layer.matches(":popover-open")) layer.hidePopover();
  layer.showPopover?.();
  setTimeout(() => note.remove(), kind === "bad" ? 9000 : 3500);
}

/**
 * A dialog; resolves with what `close` is given, or null.
 * @param {string} title
 * @param {(close: (value: any) => void) => Children} body
 * @param {string} [kind]
 * @returns {Promise<any>}
 */
export function dialog(title, body, kind = "") {
  return new Promise((resolve) => {
    /** @type {any} */
    let result = null;
    const id = "d" + ++counter;
    const box = h("dialog", { class: kind, "aria-labelledby": id });
    const close = (/** @type {any} */ value) => {
      result = value;
      box.close();
    };
    append(box, [
      h("header", { class: "card-head" }, h("h2", { id }, title),
        button(t.common.close, () => close(null), { icon: "close", bare: true })),
      body(close),
    ]);
    box.addEventListener("close", () => {
      box.remove();
      resolve(result);
    });
    box.addEventListener("click", (event) => event.target === box && close(null));
    document.body.append(box);
    box.showModal();
    /** @type {HTMLElement|null} */ (box.querySelector("[autofocus]"))?.focus();
  });
}

/** Asks before something that cannot be undone. @param {string} title @param {string} text @param {string} yes */
export function confirm(title, text, yes) {
  return dialog(title, (close) => [
    h("p", {}, text),
    h("div", { class: "row end" }, button(t.common.cancel, () => close(false)),
      button(yes, () => close(true), { kind: "danger" })),
  ]);
}

/** Asks for one line. @param {string} title @param {string} label @param {string} value @param {string} yes */
export function ask(title, label, value, yes) {
  return dialog(title, (close) => {
    const input = h("input", { type: "text", value, autofocus: true });
    return h("form", { onsubmit: (/** @type {Event} */ e) => (e.preventDefault(), close(input.value.trim())) },
      labelled(label, input),
      h("div", { class: "row end" }, button(t.common.cancel, () => close(null)),
        h("button", { class: "btn primary", type: "submit" }, yes)));
  });
}

/** @param {number|null|undefined} ms since 1970 */
export function ago(ms) {
  if (!ms) return t.common.never;
  const seconds = (Date.now() - ms) / 1000;
  const past = seconds >= 0;
  const [n, unit] = span(Math.abs(seconds));
  if (unit === "second" && n < 5) return t.common.now;
  return relative.format(past ? -n : n, /** @type {any} */ (unit));
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

/** @param {number} seconds @returns {[number, string]} */
function span(seconds) {
  if (seconds < 60) return [Math.round(seconds), "second"];
  if (seconds < 3600) return [Math.round(seconds / 60), "minute"];
  if (seconds < 86400) return [Math.round(seconds / 3600), "hour"];
  return [Math.round(seconds / 86400), "day"];
}

/** A moment, relative, with the exact one for a pointer. @param {number|null|undefined} ms */
export function when(ms) {
  if (!ms) return t.common.never;
  return h("time", { datetime: new Date(ms).toISOString(), title: new Date(ms).toLocaleString() }, ago(ms));
}

/** @param {number} ms */
export function duration(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return (ms < 9500 ? (ms / 1000).toFixed(1) : seconds) + " s";
  const [d, hours, m] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return [d && d + " d", hours && hours + " h", !d && m && m + " min"].filter(Boolean).join(" ");
}

/** @param {number|null|undefined} n */
export function bytes(n) {
  if (n === null || n === undefined) return "–";
  for (const [unit, size] of /** @type {[string, number][]} */ ([["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])) {
    if (n >= size) return (n / size).toFixed(n / size < 10 ? 1 : 0) + " " + unit;
  }
  return n + " B";
}

/** @param {number|null|undefined} n */
export function count(n) {
  return n === null || n === undefined ? "–" : new Intl.NumberFormat("en", n >= 1e5 ? { notation: "compact" } : {}).format(n);
}

/** @param {number|null|undefined} n */
export function money(n) {
  return n ? "$" + (n < 0.01 ? n.toFixed(4) : n.toFixed(2)) : "$0";
}

/** A value as JSON that a person can read. @param {any} value */
export function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "";
}

/** @param {string} text @param {number} max */
export function cut(text, max) {
  return text.length > max ? text.slice(0, max - 1) + "…" : text;
}

/** Runs `act` when calls have paused. @param {(...a: any[]) => void} act @param {number} ms */
export function settled(act, ms) {
  /** @type {any} */
  let timer;
  return (/** @type {any[]} */ ...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...args), ms);
  };
}

/** A fresh id; `crypto.randomUUID` exists only in secure contexts. */
export function uuid() {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
