/**
 * Markdown to elements, for texts of models and people that nobody vouches for.
 *
 * Understands what models write: headings, lists, quotes, fenced code, tables, emphasis, links. Everything else is text.
 * Links lead only to http, https and mail; pictures are links, so that reading a chat tells nobody that it was read.
 *
 * A text is cut into blocks first; a stream redraws only its last one.
 */
import { copier, h } from "./dom.js";

/** Longer texts are shown as they are: a browser on a phone must not be held up. */
const LONGEST = 200000;

/**
 * Draws `text` into `place`, keeping the blocks that are there already.
 * @param {HTMLElement} place @param {string} text
 */
export function draw(place, text) {
  const blocks = text.length > LONGEST ? [text] : cutIntoBlocks(text);
  /** @type {string[]} */
  const old = /** @type {any} */ (place)._blocks || [];
  let same = 0;
  while (same < old.length && same < blocks.length && old[same] === blocks[same]) same++;
  while (place.childNodes.length > same) place.lastChild?.remove();
  for (const block of blocks.slice(same)) {
    place.append(text.length > LONGEST ? h("pre", { tabindex: "0" }, block) : drawBlock(block));
  }
  /** @type {any} */ (place)._blocks = blocks;
  return place;
}

/** @param {string} text @returns {HTMLElement} */
export function markdown(text) {
  return draw(h("div", { class: "md" }), text);
}

const FENCE = /^ {0,9}(\x60{3,}|~{3,})\s*([\w+#.-]*)/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+/;

/** @param {string} text */
function cutIntoBlocks(text) {
  /** @type {string[]} */
  const blocks = [];
  /** @type {string[]} */
  let block = [];
  let fence = "";
  const close = () => {
    if (block.length) blocks.push(block.join("\n"));
    block = [];
  };
  for (const line of text.split("\n")) {
    const inList = ITEM.test(block[0] || "");
    if (fence) {
      block.push(line);
      if (line.trim().startsWith(fence) && !line.trim().slice(fence.length).trim()) {
        fence = "";
        if (!inList) close();
      }
      continue;
    }
    const opens = FENCE.exec(line);
    if (opens) {
      // Indented below an item it is a part of the list.
      if (!inList || !/^\s{2,}/.test(line)) close();
      fence = opens[1];
      block.push(line);
    } else if (!line.trim()) {
      // A list goes on after an empty line when what follows is indented.
      if (inList) block.push("");
      else close();
    } else {
      if (inList && block[block.length - 1] === "" && !ITEM.test(line) && !/^\s{2,}/.test(line)) close();
      if (!inList && ITEM.test(line) && block.length && !/^\s/.test(line)) close();
      if (/^#{1,6}\s/.test(line)) close();
      block.push(line);
      if (/^#{1,6}\s/.test(line)) close();
    }
  }
  while (block.length && block[block.length - 1] === "") block.pop();
  close();
  return blocks;
}

/** @param {string} text @returns {HTMLElement} */
function drawBlock(text) {
  const lines = text.split("\n");
  const fence = FENCE.exec(lines[0]);
  if (fence) {
    const closed = lines.length > 1 && lines[lines.length - 1].trim().startsWith(fence[1]);
    return code(lines.slice(1, closed ? -1 : undefined).join("\n"), fence[2]);
  }
  const heading = /^(#{1,6})\s+(.*?)\s*#*$/.exec(lines[0]);
  if (heading && lines.length === 1) {
    const level = /** @type {"h3"|"h4"|"h5"} */ ("h" + Math.min(5, heading[1].length + 2));
    return h(level, {}, inline(heading[2]));
  }
  if (lines.length === 1 && /^ {0,3}([-*_])( *\1){2,} *$/.test(lines[0])) return h("hr");
  if (lines.every((line) => /^ {0,3}>/.test(line))) {
    return draw(h("blockquote"), lines.map((line) => line.replace(/^ {0,3}> ?/, "")).join("\n"));
  }
  if (ITEM.test(lines[0])) return list(lines);
  if (lines.length > 1 && lines[0].includes("|") && /^[\s|:-]+$/.test(lines[1]) && lines[1].includes("-")) return table(lines);
  return h("p", {}, lines.flatMap((line, at) => [at > 0 && h("br"), ...inline(line.trim())]));
}

/** A block of code with its language and a button that copies. @param {string} text @param {string} [language] */
export function code(text, language) {
  return h("div", { class: "code" },
    h("div", { class: "code-head" }, h("span", {}, language || ""), copier(() => text)),
    h("pre", { tabindex: "0" }, h("code", {}, text)));
}

/** @param {string[]} lines @returns {HTMLElement} */
function list(lines) {
  const first = /** @type {RegExpExecArray} */ (ITEM.exec(lines[0]));
  const indent = first[1].length;
  const ordered = /\d/.test(first[2]);
  const start = ordered ? parseInt(first[2], 10) : 1;
  /** @type {string[][]} */
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && item[1].length <= indent + 1) items.push([line.slice(item[0].length)]);
    else items[items.length - 1]?.push(line.replace(new RegExp("^\\s{0," + first[0].length + "}"), ""));
  }
  return h(ordered ? "ol" : "ul", { start: ordered && start > 1 ? start : null }, items.map((item) => {
    const task = /^\[([ xX])\]\s+/.exec(item[0]);
    if (task) item[0] = (task[1] === " " ? "☐ " : "☑ ") + item[0].slice(task[0].length);
    const text = item.join("\n").trimEnd();
    const body = draw(h("li"), text);
    const only = body.childNodes.length && body.firstChild instanceof HTMLParagraphElement ? body.firstChild : null;
    only?.replaceWith(...only.childNodes);
    return body;
  }));
}

/** @param {string[]} lines */
function table(lines) {
  const cells = (/** @type {string} */ line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  return h("div", { class: "scroll", tabindex: "0" }, h("table", {},
    h("thead", {}, h("tr", {}, cells(lines[0]).map((cell) => h("th", { scope: "col" }, inline(cell))))),
    h("tbody", {}, lines.slice(2).map((line) => h("tr", {}, cells(line).map((cell) => h("td", {}, inline(cell))))))));
}

const INLINE = new RegExp([
  "(`+)(.+?)\\1(?!`)",
  "!?\\[([^\\]]*)\\]\\(\\s*<?([^\\s()<>]*(?:\\([^\\s()]*\\)[^\\s()<>]*)*)>?(?:\\s+[\"'][^)]*)?\\)",
  "(https?://[^\\s<>\"']+[^\\s<>\"'.,;:!?)\\]])",
  "\\*\\*(.+?)\\*\\*",
  "__(?=\\S)(.+?)__(?!\\w)",
  "\\*(?=\\S)([^*]+?)\\*",
  "(?<!\\w)_(?=\\S)([^_]+?)_(?!\\w)",
  "~~(.+?)~~",
  "\\\\([\\\\\x60*_{}\\[\\]()#+.!|-])",
].join("|"), "g");

/** @param {string} text @returns {Array<Node|string>} */
function inline(text, depth = 0) {
  /** @type {Array<Node|string>} */
  const out = [];
  let at = 0;
  for (const m of text.matchAll(INLINE)) {
    if (m.index > at) out.push(text.slice(at, m.index));
    at = m.index + m[0].length;
    const deeper = (/** @type {string} */ part) => (depth < 5 ? inline(part, depth + 1) : [part]);
    if (m[2] !== undefined) out.push(h("code", {}, m[2].replace(/^ (.*) $/, "$1")));
    else if (m[4] !== undefined) out.push(anchor(m[4], deeper(m[3] || m[4])));
    else if (m[5] !== undefined) out.push(anchor(m[5], [m[5]]));
    else if (m[6] !== undefined || m[7] !== undefined) out.push(h("strong", {}, deeper(m[6] ?? m[7])));
    else if (m[8] !== undefined || m[9] !== undefined) out.push(h("em", {}, deeper(m[8] ?? m[9])));
    else if (m[10] !== undefined) out.push(h("del", {}, deeper(m[10])));
    else out.push(m[11]);
  }
  if (at < text.length) out.push(text.slice(at));
  return out;
}

/** @param {string} target @param {Array<Node|string>} words */
function anchor(target, words) {
  let safe = false;
  try {
    safe = ["http:", "https:", "mailto:"].includes(new URL(target).protocol);
  } catch {
    // Relative addresses would lead into this page; they stay text.
  }
  return safe ? h("a", { href: target, target: "_blank", rel: "noopener noreferrer nofollow" }, words)
    : h("span", { title: target }, words);
}
