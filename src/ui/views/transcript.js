/**
 * How a conversation looks: rows of the history, and the run that is being answered.
 */
import { cut, duration, fill, h, icon, pretty, when } from "../dom.js";
import { code, draw, markdown } from "../markdown.js";
import { t } from "../strings.js";

/** Characters of a tool's output that are drawn; the rest can be had where it came from. */
const OUTPUT = 20000;

/**
 * Messages as rows: what an assistant did between two words of a person is one row, results stand with their calls.
 * @param {any[]} messages
 */
export function turns(messages) {
  /** @type {any[]} */
  const rows = [];
  /** @type {Map<string, any>} */
  const calls = new Map();
  for (const message of messages) {
    const about = message.__openclaw || {};
    if (about.kind === "compaction" || about.kind === "reset") {
      rows.push({ role: "mark", text: about.kind === "reset" ? t.chat.reset : t.chat.compacted, id: about.id });
      continue;
    }
    if (message.role === "toolResult") {
      const call = calls.get(message.toolCallId);
      if (call) Object.assign(call, { result: resultText(message.content), failed: message.isError === true, done: true });
      continue;
    }
    const parts = (typeof message.content === "string" ? [{ type: "text", text: message.content }] : message.content || [])
      .map((/** @type {any} */ part) => partOf(part));
    for (const part of parts) if (part.type === "tool") calls.set(part.id, part);
    const last = rows[rows.length - 1];
    if (message.role === "assistant" && last?.role === "assistant") withoutRepeats(last.parts, parts);
    if (message.role === "assistant" && last?.role === "assistant") {
      last.parts.push(...parts);
      last.at = message.timestamp;
      last.usage = add(last.usage, message.usage);
    } else {
      rows.push({ role: message.role, parts, at: message.timestamp, id: about.id, usage: message.usage, model: message.model, text: "" });
    }
    const row = rows[rows.length - 1];
    if (message.stopReason === "aborted") row.note = t.chat.aborted;
    if (message.errorMessage) row.note = message.errorMessage;
    row.text = row.parts.map((/** @type {any} */ part) => part.text || "").join("\n").trim();
  }
  return rows;
}

/**
 * The last message of a run may begin with everything the run said before its tools; that is on the page already.
 * @param {any[]} before @param {any[]} parts
 */
function withoutRepeats(before, parts) {
  const said = before.filter((part) => part.type === "text" && part.text).map((part) => part.text).join("\n\n");
  const first = parts.find((part) => part.type === "text");
  if (said && first?.text.startsWith(said + "\n\n")) first.text = first.text.slice(said.length + 2);
}

/** @param {any} a @param {any} b */
function add(a, b) {
  return { output: (a?.output || 0) + (b?.output || 0), input: b?.input || a?.input || 0 };
}

/** @param {any} part */
function partOf(part) {
  if (part.type === "toolCall") return { type: "tool", id: part.id, name: part.name, args: part.arguments, done: false };
  if (part.type === "thinking") return { type: "thinking", text: part.thinking || part.text || "" };
  if (part.type === "image") {
    const data = part.data || part.source?.data;
    const kind = part.mimeType || part.source?.media_type || "image/png";
    const url = data && /^image\/(png|jpeg|gif|webp)$/.test(kind) ? "data:" + kind + ";base64," + data : null;
    return { type: "picture", url, name: part.alt || t.chat.picture };
  }
  return { type: "text", text: part.text || "" };
}

/** @param {any} content */
export function resultText(content) {
  if (typeof content === "string") return content;
  if (Array.isArray(content)) return content.map((part) => part.text ?? "[" + part.type + "]").join("\n");
  return content === undefined ? "" : pretty(content);
}

/** One row. @param {any} row @param {any} room */
export function messageRow(row, room) {
  if (row.role === "mark") return h("div", { class: "mark-row", role: "separator" }, row.text);
  const mine = row.role === "user";
  const body = h("div", { class: "bubble" });
  /** @type {any[]} */
  let tools = [];
  const flush = () => {
    if (tools.length) body.append(...tools.map((part) => toolCard(part).node));
    tools = [];
  };
  for (const part of row.parts) {
    if (part.type === "tool") {
      tools.push(part);
      continue;
    }
    flush();
    if (part.type === "thinking") part.text && body.append(thinking(part.text));
    else if (part.type === "picture") body.append(picture(part));
    else if (mine) part.text && body.append(h("div", { class: "plain" }, stripped(part.text)));
    else if (part.text) body.append(markdown(part.text));
  }
  flush();
  return h("article", { class: "msg " + (mine ? "mine" : "theirs"), data: { id: row.id || "" }, "aria-label": mine ? t.chat.you : t.chat.agent },
    body, h("footer", {}, row.note && h("span", { class: "note" }, row.note), row.at && when(row.at),
      !mine && row.usage?.output ? h("span", {}, t.chat.tokens(row.usage.output)) : null));
}

/** What the gateway put before a message (when it came, from whom) is for the model. @param {string} text */
function stripped(text) {
  return text.replace(/^\[[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d [^\]]*\] /, "");
}

/** @param {any} part */
function picture(part) {
  return part.url ? h("img", { class: "picture", src: part.url, alt: part.name }) : h("span", { class: "chip" }, icon("file"), part.name);
}

/** @param {string} text */
function thinking(text) {
  return h("details", { class: "thinking" }, h("summary", {}, t.chat.thinking), h("div", { class: "plain" }, text));
}

/**
 * A tool call, from its start to its result.
 * @param {any} call
 */
export function toolCard(call) {
  const state = h("span", { class: "tool-state" });
  const head = h("summary", {}, icon("tool"), h("b", {}, call.name), h("span", { class: "dim tool-args" }, brief(call.args)), state);
  const body = h("div", { class: "tool-body" });
  const node = h("details", { class: "tool" }, head, body);
  const began = Date.now();
  const set = (/** @type {any} */ change) => {
    Object.assign(call, change);
    node.classList.toggle("failed", call.failed === true);
    node.classList.toggle("running", !call.done);
    const took = call.live && call.done ? " · " + duration(Date.now() - began) : "";
    fill(state, call.done ? icon(call.failed ? "close" : "check") : h("span", { class: "spin", "aria-hidden": "true" }),
      h("span", {}, (call.done ? (call.failed ? t.chat.failed : t.chat.done) : t.chat.running) + took));
    if (node.open) paint();
  };
  const paint = () => fill(body, call.args !== undefined && [h("h4", {}, t.chat.arguments), code(pretty(call.args), "json")],
    call.result && [h("h4", {}, t.chat.result), code(cut(call.result, OUTPUT))]);
  node.addEventListener("toggle", () => node.open && paint());
  set({});
  return { node, set };
}

/** @param {any} args */
function brief(args) {
  const value = args && typeof args === "object" ? args.command || args.path || args.query || args.url || Object.values(args)[0] : args;
  return value === undefined ? "" : cut(typeof value === "string" ? value.replace(/\s+/g, " ") : JSON.stringify(value), 80);
}

/** A run that is being answered. Redraws at most once per frame. */
export function live() {
  const status = h("div", { class: "run-status", role: "status" }, h("span", { class: "spin", "aria-hidden": "true" }), h("span", {}, t.chat.phase.starting_model));
  const thoughts = h("div", { class: "plain" });
  const thought = h("details", { class: "thinking", hidden: true }, h("summary", {}, t.chat.thinking), thoughts);
  const tools = h("div");
  const text = h("div", { class: "md", "aria-live": "off" });
  const node = h("article", { class: "msg theirs live", "aria-label": t.chat.agent, "aria-busy": "true" }, h("div", { class: "bubble" }, thought, tools, text, status));
  /** @type {Map<string, ReturnType<typeof toolCard>>} */
  const cards = new Map();
  let [wanted, drawn, planned] = ["", "", false];
  const run = {
    node,
    over: false,
    /** @param {string} phase @param {string} [words] */
    setStatus(phase, words) {
      const known = /** @type {Record<string, string>} */ (t.chat.phase);
      /** @type {Element} */ (status.lastChild).textContent = words || known[phase] || known.starting_model;
    },
    /** @param {string} full */
    setText(full) {
      wanted = full;
      if (full) run.setStatus("writing");
      if (planned) return;
      planned = true;
      requestAnimationFrame(() => {
        planned = false;
        if (wanted !== drawn) draw(text, (drawn = wanted));
      });
    },
    /** @param {any} data */
    think(data) {
      thought.hidden = false;
      if (typeof data.text === "string") thoughts.textContent = data.text;
      else thoughts.append(data.delta || "");
      run.setStatus("thinking");
    },
    /** @param {any} data */
    tool(data) {
      let card = cards.get(data.toolCallId);
      if (!card) {
        card = toolCard({ name: data.name, args: data.args, done: false, live: true });
        cards.set(data.toolCallId, card);
        tools.append(card.node);
      }
      if (data.phase === "update") card.set({ result: resultText(data.partialResult?.content) });
      if (data.phase === "result") card.set({ result: resultText(data.result?.content ?? data.result), failed: data.isError === true, done: true });
      run.setStatus(data.phase === "result" ? "starting_model" : "tool");
    },
    /** @param {string} state @param {string} final @param {string} [error] */
    finish(state, final, error) {
      run.over = true;
      node.removeAttribute("aria-busy");
      node.classList.remove("live");
      if (final) draw(text, final);
      if (state === "error") fill(status, icon("alert"), h("span", { class: "bad-text" }, error || t.chat.failed));
      else status.remove();
    },
  };
  return run;
}
