/**
 * Configuration: a form made from the schema, and the file itself.
 *
 * A change is shown before it is written, and is based on the content it was made from: when somebody else changed the
 * file meanwhile, nothing is lost and the person decides.
 */
import { gateway } from "../store.js";
import { badge, button, card, dialog, empty, fill, h, select, toast } from "../dom.js";
import { t } from "../strings.js";
import { into, page } from "./common.js";
import { control, STAND_IN } from "./fields.js";

/** Controls that are drawn at once. */
const SHOWN = 60;

/** Lines beyond which a difference is shown whole. */
const DIFF_LINES = 3000;

/** @type {import("../app.js").View["show"]} */
export async function show(place, query) {
  const file = new File();
  const body = page(place, t.nav.config, t.config.lead);
  const [strip, content] = [h("div", { class: "config-strip", role: "status" }), h("div")];
  const tabs = h("div", { class: "row segmented", role: "tablist", "aria-label": t.nav.config });
  let tab = query.get("tab") === "raw" ? "raw" : "form";
  const draw = () => {
    fill(tabs, ["form", "raw"].map((name) => h("button", { type: "button", role: "tab", class: "btn small", id: "tab-" + name, "aria-controls": "tab-panel", "aria-selected": String(name === tab), onclick: () => ((tab = name), draw()) }, t.config[/** @type {"form"|"raw"} */ (name)])));
    content.setAttribute("role", "tabpanel");
    content.id = "tab-panel";
    content.setAttribute("aria-labelledby", "tab-" + tab);
    fill(content, tab === "form" ? form(file, count) : raw(file));
    count();
  };
  const count = () => {
    const n = Object.keys(file.edits).length;
    fill(strip, file.stale && [h("span", { class: "bad-text" }, t.config.stale), button(t.config.readAgain, () => again(), { kind: "small" })],
      n > 0 && tab === "form" && [h("b", {}, t.config.changes(n)), button(t.config.discard, () => ((file.edits = {}), draw()), { kind: "small" }), button(t.config.review, () => review(file, draw), { kind: "small primary" })]);
  };
  const again = async () => {
    await file.read();
    draw();
  };
  body.append(tabs, strip, content);
  await into(content, async () => {
    await file.read();
    return null;
  });
  if (file.now) draw();
  return gateway.on("config.changed", (event) => {
    if (event.hash && file.now && event.hash !== file.now.hash && !file.writing) {
      if (Object.keys(file.edits).length || tab === "raw") {
        file.stale = true;
        count();
      } else again();
    }
  });
}

/** The file as it was read, and what is to be changed. */
class File {
  constructor() {
    /** @type {any} */
    this.now = null;
    /** @type {any} */
    this.schema = null;
    /** @type {Record<string, any>} */
    this.hints = {};
    /** By path; undefined removes. @type {Record<string, any>} */
    this.edits = {};
    this.stale = false;
    this.writing = false;
    /** What is looked at; it outlives a save. */
    this.looking = { words: "", group: "gateway", only: false };
  }

  async read() {
    const [now, schema] = await Promise.all([gateway.request("config.get", {}), this.schema ? null : gateway.request("config.schema", {}, 60000)]);
    this.now = now;
    this.stale = false;
    if (schema) {
      this.schema = schema.schema;
      this.hints = schema.uiHints || {};
    }
  }

  /** @param {string} path */
  value(path) {
    return path.split(".").reduce((at, name) => (at && typeof at === "object" ? at[name] : undefined), this.now.parsed || {});
  }

  /** @param {string} path @param {any} value */
  edit(path, value) {
    if (JSON.stringify(value) === JSON.stringify(this.value(path))) delete this.edits[path];
    else this.edits[path] = value;
  }

  /** The edits as one object to merge; null removes. */
  patch() {
    const out = {};
    for (const [path, value] of Object.entries(this.edits)) {
      const names = path.split(".");
      /** @type {any} */
      let at = out;
      for (const name of names.slice(0, -1)) at = at[name] ||= {};
      at[names[names.length - 1]] = value === undefined ? null : value;
    }
    return out;
  }

  /** Leaves of the schema that are ours, with a path that has no wildcard. */
  leaves() {
    /** @type {Array<{path: string, schema: any}>} */
    const out = [];
    const walk = (/** @type {any} */ node, /** @type {string} */ path) => {
      const below = Object.entries(node.properties || {});
      for (const [name, child] of below) walk(child, path ? path + "." + name : name);
      // Maps of the owner's own names: what is in the file already can be edited.
      if (node.additionalProperties && typeof node.additionalProperties === "object") {
        for (const name of Object.keys(this.value(path) || {})) if (!node.properties?.[name] && !/[.\s]/.test(name)) walk(node.additionalProperties, path + "." + name);
      }
      if (path && !below.length && (node.type !== "object" || node.enum) && node.description !== WITHOUT) out.push({ path, schema: node });
    };
    walk(this.schema, "");
    return out;
  }

  /** @param {string} path */
  hint(path) {
    return this.hints[path] || this.hints[path.replace(/^((?:agents\.entries|models\.providers|channels|plugins\.entries|tools\.byProvider)\.)[^.]+/, "$1*")] || {};
  }
}

/** How the schema marks what this gateway accepts and does not use. */
const WITHOUT = "Accepted; without effect in this gateway.";

/** @param {File} file @param {() => void} count */
function form(file, count) {
  const leaves = file.leaves();
  const groups = [...new Set(leaves.map(({ path }) => path.split(".")[0]))];
  const look = file.looking;
  if (!groups.includes(look.group)) look.group = groups[0];
  const words = h("input", { type: "search", placeholder: t.config.search, "aria-label": t.config.search, value: look.words });
  const only = h("input", { type: "checkbox", id: "only-set", checked: look.only });
  const pick = select(groups, look.group, (value) => ((look.group = value), (words.value = ""), draw()), { "aria-label": t.config.section });
  const list = h("div", { class: "stack" });
  const draw = () => {
    Object.assign(look, { words: words.value, only: only.checked });
    const text = words.value.trim().toLowerCase();
    const found = leaves.filter(({ path, schema }) => (text ? (path + " " + (file.hint(path).label || "") + " " + (schema.description || file.hint(path).help || "")).toLowerCase().includes(text) : path.split(".")[0] === look.group) &&
      (!only.checked || file.value(path) !== undefined || path in file.edits));
    /** @type {Map<string, HTMLElement[]>} */
    const cards = new Map();
    for (const { path, schema } of found.slice(0, SHOWN)) {
      const names = path.split(".");
      const title = names.slice(0, Math.max(1, Math.min(2, names.length - 1))).join(" › ");
      const value = path in file.edits ? file.edits[path] : file.value(path);
      const node = control(path, schema, file.hint(path), value, (changed) => (file.edit(path, changed), node.classList.toggle("edited", path in file.edits), count()));
      node.classList.toggle("edited", path in file.edits);
      cards.set(title, [...(cards.get(title) || []), node]);
    }
    fill(list, [...cards].map(([title, nodes]) => card(title, null, h("div", { class: "fields" }, nodes))), !found.length && empty(t.config.nothing), found.length > SHOWN && h("p", { class: "dim" }, t.config.more(found.length - SHOWN)));
  };
  words.addEventListener("input", draw);
  only.addEventListener("change", draw);
  draw();
  return h("div", { class: "stack" }, h("div", { class: "row filters" }, words, pick, h("label", { class: "check", for: "only-set" }, only, t.config.only)), list);
}

/** @param {File} file @param {() => void} draw */
async function review(file, draw) {
  const rows = Object.entries(file.edits).map(([path, value]) => {
    const secret = file.hint(path).sensitive;
    const show = (/** @type {any} */ one) => (one === undefined ? t.config.default : secret ? "••••" : typeof one === "string" ? one : JSON.stringify(one));
    return h("li", {}, h("code", {}, path), h("div", { class: "diff" }, h("div", { class: "gone" }, "− " + show(file.value(path))), h("div", { class: "new" }, "+ " + show(value))));
  });
  await dialog(t.config.review, (close) => h("div", { class: "stack" }, h("ul", { class: "plain-list tall" }, rows), h("div", { class: "row end" }, button(t.common.cancel, () => close(null)),
    button(t.config.save, () => write(file, "config.patch", JSON.stringify(file.patch()), () => {
      file.edits = {};
      close(true);
      draw();
    }), { kind: "primary" }))), "wide");
}

/** @param {File} file */
function raw(file) {
  const area = h("textarea", { class: "mono raw", rows: "26", spellcheck: "false", autocapitalize: "off", "aria-label": t.config.raw, value: file.now.raw });
  const show = async () => {
    if (area.value === file.now.raw) return toast(t.config.same);
    await dialog(t.config.review, (close) => h("div", { class: "stack" }, diff(file.now.raw, area.value), h("p", { class: "dim small" }, t.config.standIn(STAND_IN)), h("div", { class: "row end" }, button(t.common.cancel, () => close(null)),
      button(t.config.save, () => write(file, "config.apply", area.value, () => {
        area.value = file.now.raw;
        close(true);
      }), { kind: "primary" }))), "wide");
  };
  return h("div", { class: "stack" }, h("p", { class: "dim" }, h("code", {}, file.now.path), " ", badge("JSON5")), area, h("div", { class: "row" }, button(t.config.review, show, { kind: "primary" }), button(t.config.discard, () => void (area.value = file.now.raw))));
}

/** Writes, and knows what to do when the file is another one by now. @param {File} file @param {string} method @param {string} text @param {() => void} done */
async function write(file, method, text, done) {
  file.writing = true;
  try {
    await gateway.request(method, { raw: text, baseHash: file.now.hash }, 60000);
    await file.read();
    toast(t.config.saved);
    done();
  } catch (error) {
    const message = String(/** @type {any} */ (error).message);
    if (!/changed since last load/.test(message)) throw error;
    const { raw: before, hash } = file.now;
    // The gateway tells what is in force; the file on the disk may be a moment ahead of that.
    for (let tries = 0; tries < 20; tries++) {
      await file.read();
      if (file.now.hash !== hash) break;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    const again = await dialog(t.config.conflict, (close) => h("div", { class: "stack" }, h("p", {}, t.config.conflictText), diff(before, file.now.raw), h("div", { class: "row end" }, button(t.common.cancel, () => close(false)),
      method === "config.patch" && button(t.config.onTop, () => close(true), { kind: "primary" }))), "wide");
    if (again) await write(file, method, text, done);
  } finally {
    file.writing = false;
  }
}

/** Lines that went and came, with two around them. @param {string} before @param {string} after */
function diff(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  let from = 0;
  while (from < a.length && from < b.length && a[from] === b[from]) from++;
  let [ea, eb] = [a.length, b.length];
  while (ea > from && eb > from && a[ea - 1] === b[eb - 1]) ea--, eb--;
  const rows = ea - from > DIFF_LINES || eb - from > DIFF_LINES ? [...a.slice(from, ea).map((line) => ["gone", line]), ...b.slice(from, eb).map((line) => ["new", line])] : lcs(a.slice(from, ea), b.slice(from, eb));
  const around = (/** @type {string[]} */ lines) => lines.map((line) => ["same", line]);
  const all = [...around(a.slice(Math.max(0, from - 2), from)), ...rows, ...around(a.slice(ea, ea + 2))];
  return h("div", { class: "diff mono", tabindex: "0", role: "region", "aria-label": t.config.difference }, all.map(([kind, line]) => h("div", { class: kind }, (kind === "gone" ? "− " : kind === "new" ? "+ " : "  ") + line)));
}

/** @param {string[]} a @param {string[]} b @returns {string[][]} */
function lcs(a, b) {
  const width = b.length + 1;
  const long = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--) long[i * width + j] = a[i] === b[j] ? long[(i + 1) * width + j + 1] + 1 : Math.max(long[(i + 1) * width + j], long[i * width + j + 1]);
  const out = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) out.push(["same", a[i++]]), j++;
    else if (j >= b.length || (i < a.length && long[(i + 1) * width + j] >= long[i * width + j + 1])) out.push(["gone", a[i++]]);
    else out.push(["new", b[j++]]);
  }
  return out;
}
