/**
 * Chat: one session's conversation, and the line to write into it.
 *
 * History comes from the gateway, page by page from its end. A run that is under way is drawn from its events, whether
 * this page started it, another client did, or it was there before the page was loaded; when it ends, the history is
 * read again and is what counts.
 */
import { gateway, readSessions, shared, titleOf, watch } from "../store.js";
import { ask, button, empty, fill, h, icon, uuid, when } from "../dom.js";
import { go } from "../app.js";
import { memory } from "../identity.js";
import { t } from "../strings.js";
import { composer } from "./composer.js";
import { live, messageRow, turns } from "./transcript.js";

/** Rows of a page of history. */
const PAGE = 60;

/** Places shown that have the words looked for. */
const HITS = 25;

/** @type {import("../app.js").View["show"]} */
export async function show(place, query) {
  const key = query.get("session") || memory("session") || gateway.hello?.snapshot?.sessionDefaults?.mainSessionKey || "agent:main:main";
  memory("session", key);
  const room = new Room(key);
  place.append(room.node);
  await room.load();
  return () => room.leave();
}

class Room {
  /** @param {string} key */
  constructor(key) {
    this.key = key;
    this.left = false;
    /** @type {any[]} */
    this.messages = [];
    /** Messages that are sent and not in the history yet. @type {any[]} */
    this.sent = [];
    /** @type {Map<string, ReturnType<typeof live>>} */
    this.runs = new Map();
    /** Runs whose end was seen: their late events are nobody's. @type {Set<string>} */
    this.ended = new Set();
    /** @type {any} */
    this.page = {};
    this.metadata = { commands: [], models: [] };
    this.title = h("button", { type: "button", class: "chat-title", onclick: () => this.choose() });
    this.model = h("span", { class: "dim chat-model" });
    this.earlier = button(t.chat.earlier, () => this.readEarlier(), { kind: "small" });
    this.past = h("div", { class: "past" });
    this.now = h("div", { class: "now" });
    this.log = h("div", { class: "log", tabindex: "0", role: "log", "aria-label": t.chat.conversation },
      h("div", { class: "log-in" }, h("div", { class: "earlier" }, this.earlier), this.past, this.now));
    this.jump = h("button", { type: "button", class: "jump", hidden: true, onclick: () => this.toEnd(true) },
      icon("down"), t.chat.latest);
    this.found = h("div", { class: "found", hidden: true });
    this.composer = composer(this);
    this.node = h("div", { class: "chat" },
      h("header", { class: "bar" }, h("h1", { class: "offscreen" }, t.nav.chat), this.title, this.model, h("span", { class: "grow" }),
        button(t.chat.search, () => this.search(), { icon: "search", bare: true }),
        button(t.chat.fresh, () => this.fresh(), { icon: "plus", bare: true })),
      this.found, this.log, this.jump, this.composer.node);
    this.log.addEventListener("scroll", () => (this.jump.hidden = this.atEnd()), { passive: true });
    const mine = (/** @type {any} */ event) => event?.sessionKey === this.key && !this.left;
    this.offs = [
      gateway.on("chat", (event) => mine(event) && this.heard(event)),
      gateway.on("agent", (event) => mine(event) && this.step(event)),
      gateway.on("session.message", (event) => mine(event) && this.added(event)),
      gateway.on("gap", () => this.readEnd()),
      watch((what) => what === "sessions" && this.head()),
    ];
    this.onKey = (/** @type {KeyboardEvent} */ event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "f") {
        event.preventDefault();
        this.search();
      }
      if (event.key === "Escape" && !document.querySelector("dialog")) {
        if (!this.found.hidden) this.found.hidden = true;
        else if (this.busy && document.activeElement === this.composer.input) this.abort();
      }
    };
    document.addEventListener("keydown", this.onKey);
    this.composer.restore();
  }

  leave() {
    this.left = true;
    this.offs.forEach((off) => off());
    document.removeEventListener("keydown", this.onKey);
    this.composer.keep();
    if (gateway.ready && gateway.has("sessions.messages.unsubscribe")) {
      gateway.request("sessions.messages.unsubscribe", { key: this.key }).catch(() => null);
    }
  }

  get busy() {
    return this.runs.size > 0;
  }

  async load() {
    if (gateway.has("sessions.messages.subscribe")) {
      gateway.request("sessions.messages.subscribe", { key: this.key }).catch(() => null);
    }
    const page = gateway.has("chat.startup")
      ? await gateway.request("chat.startup", { sessionKey: this.key, limit: PAGE, maxBytes: 400000 })
      : await gateway.request("chat.history", { sessionKey: this.key, limit: PAGE });
    this.metadata = page.metadata || this.metadata;
    this.adopt(page, true);
    if (matchMedia("(hover: hover)").matches) this.composer.input.focus();
  }

  /** The end of the history again. */
  async readEnd() {
    if (this.left || !gateway.ready) return;
    const page = await gateway.request("chat.history", { sessionKey: this.key, limit: PAGE });
    if (!this.left) this.adopt(page, false);
  }

  /** @param {boolean} [unseen] only to be looked through */
  async readEarlier(unseen) {
    const offset = this.page.nextOffset ?? this.messages.length;
    const page = await gateway.request("chat.history", { sessionKey: this.key, limit: PAGE, offset });
    const known = new Set(this.messages.map(idOf));
    const fromEnd = this.log.scrollHeight - this.log.scrollTop;
    this.messages = [...page.messages.filter((/** @type {any} */ one) => !known.has(idOf(one))), ...this.messages];
    this.page = page;
    if (unseen) return;
    this.draw();
    this.log.scrollTop = this.log.scrollHeight - fromEnd;
  }

  /** @param {any} page @param {boolean} first */
  adopt(page, first) {
    const messages = page.messages || [];
    const from = messages.length ? this.messages.findIndex((one) => idOf(one) === idOf(messages[0])) : -1;
    // What was read before this page stays, as long as the two meet.
    if (!first && from >= 0) this.messages = [...this.messages.slice(0, from), ...messages];
    else {
      this.messages = messages;
      this.page = page;
    }
    const stored = new Set(this.messages.map((one) => one.idempotencyKey));
    this.sent = this.sent.filter((one) => !stored.has(one.runId + ":user"));
    const flight = page.inFlightRun;
    const active = new Set([flight?.runId, ...(page.sessionInfo?.activeRunIds || [])].filter(Boolean));
    for (const run of [...this.runs.keys()]) if (!active.has(run) && !this.sent.some((one) => one.runId === run)) this.runs.delete(run);
    for (const run of active) if (!this.ended.has(run)) this.run(run);
    if (flight && !this.ended.has(flight.runId)) this.run(flight.runId).setText(flight.text || "");
    this.info = page.sessionInfo;
    const waiting = page.pendingInputs?.items || [];
    for (const one of waiting) {
      if (!this.sent.some((other) => other.runId === one.runId)) this.sent.push({ runId: one.runId, text: one.text, state: "queued", at: one.createdAt });
    }
    this.draw();
    if (first) requestAnimationFrame(() => this.toEnd(true));
  }

  /** @param {string} runId */
  run(runId) {
    let run = this.runs.get(runId);
    if (!run) {
      run = live();
      this.runs.set(runId, run);
      this.drawNow();
    }
    return run;
  }

  head() {
    const row = shared.sessions.find((one) => one.key === this.key) || this.info;
    fill(this.title, h("span", {}, titleOf(row) || this.key), icon("down"));
    fill(this.model, row?.model ? row.modelProvider + "/" + row.model : "");
  }

  draw() {
    this.head();
    const rows = turns(this.messages);
    this.earlier.hidden = !this.page.hasMore;
    fill(this.past, rows.length || this.sent.length || this.busy ? rows.map((row) => messageRow(row, this))
      : empty(t.chat.empty, this.ideas()));
    this.drawNow();
  }

  drawNow() {
    const stay = this.atEnd();
    fill(this.now, this.sent.filter((one) => one.state !== "queued").map((one) => this.sentRow(one)),
      [...this.runs.values()].map((run) => run.node),
      this.sent.filter((one) => one.state === "queued").map((one) => this.sentRow(one)));
    this.composer.busy(this.busy);
    if (stay) this.toEnd();
  }

  /** @param {any} one */
  sentRow(one) {
    return messageRow({ role: "user", parts: [{ type: "text", text: one.text }, ...(one.pictures || [])], at: one.at,
      note: one.state === "failed" ? one.error : one.state === "queued" ? t.chat.queued : "" }, this);
  }

  ideas() {
    return h("div", { class: "row center" }, t.chat.ideas.map((idea) =>
      button(idea, () => this.composer.write(idea), { kind: "small" })));
  }

  /** @param {any} event */
  heard(event) {
    const { runId, state } = event;
    if (state === "status" || state === "delta") {
      if (this.ended.has(runId)) return;
      const run = this.run(runId);
      if (state === "status") run.setStatus(event.phase);
      else run.setText(textOf(event.message) || event.deltaText || "");
      this.follow();
      return;
    }
    this.ended.add(runId);
    const run = this.runs.get(runId);
    run?.finish(state, textOf(event.message), event.errorMessage);
    const done = () => {
      if (state !== "error") this.runs.delete(runId);
      this.composer.busy(this.activeCount() > 0);
    };
    this.readEnd().then(() => {
      done();
      // An error has no row in the history; its card stays until the next message.
      if (state === "error" && run) {
        this.runs.set(runId, run);
        run.over = true;
      }
      this.drawNow();
      this.composer.busy(this.activeCount() > 0);
    }).catch(done);
  }

  activeCount() {
    return [...this.runs.values()].filter((run) => !run.over).length;
  }

  /** @param {any} event */
  step(event) {
    if (this.ended.has(event.runId) || event.isHeartbeat) return;
    const { stream, data } = event;
    if (stream === "tool") this.run(event.runId).tool(data);
    else if (stream === "thinking") this.run(event.runId).think(data);
    else if (stream === "run_status" && data.phase === "retrying") this.run(event.runId).setStatus("retrying", data.message);
    else if (stream === "lifecycle" && data.phase === "waiting-approval") this.run(event.runId).setStatus("approval");
    else return;
    this.follow();
  }

  /** A message somebody else wrote. @param {any} event */
  added(event) {
    const message = event.message;
    if (message?.role !== "user") return;
    const run = String(message.idempotencyKey || "").replace(/:user$/, "");
    if (this.sent.some((one) => one.runId === run) || this.messages.some((one) => idOf(one) === idOf(message))) return;
    this.messages.push(message);
    this.draw();
  }

  /** @param {string} text @param {any[]} attachments @param {string} mode */
  async send(text, attachments, mode) {
    for (const [id, run] of this.runs) if (run.over) this.runs.delete(id);
    const runId = uuid();
    const pictures = attachments.filter((one) => one.url).map((one) => ({ type: "picture", url: one.url, name: one.fileName }));
    const entry = { runId, text, at: Date.now(), pictures, state: this.busy && mode === "followup" ? "queued" : "sent", error: "" };
    this.sent.push(entry);
    this.drawNow();
    this.toEnd(true);
    try {
      const answer = await gateway.request("chat.send", {
        sessionKey: this.key,
        message: text,
        idempotencyKey: runId,
        queueMode: this.busy ? mode : undefined,
        attachments: attachments.map(({ type, mimeType, fileName, content }) => ({ type, mimeType, fileName, content })),
      }, 60000);
      if (answer.status === "started" && !this.ended.has(runId) && entry.state !== "queued") this.run(runId);
    } catch (error) {
      entry.state = "failed";
      entry.error = t.chat.notSent + " " + /** @type {any} */ (error).message;
      this.drawNow();
      throw error;
    }
  }

  async abort() {
    const answer = await gateway.request("chat.abort", { sessionKey: this.key });
    if (!answer.aborted) await this.readEnd();
  }

  /** Another session, from those there are. */
  choose() {
    go("sessions");
  }

  async fresh() {
    const label = await ask(t.chat.fresh, t.chat.freshLabel, "", t.chat.start);
    if (label === null) return;
    const agentId = this.key.split(":")[1] || "main";
    const made = await gateway.request("sessions.create", { agentId, ...(label ? { label } : {}) });
    await readSessions().catch(() => null);
    go("chat?session=" + encodeURIComponent(made.key));
  }

  search() {
    const results = h("div", { class: "results", role: "status" });
    const input = h("input", { type: "search", placeholder: t.chat.searchHint, "aria-label": t.chat.search });
    let asked = 0;
    const look = async () => {
      const words = input.value.trim();
      const mine = ++asked;
      if (!words) return fill(results);
      for (;;) {
        const hits = turns(this.messages).filter((row) => row.text.toLowerCase().includes(words.toLowerCase())).reverse();
        const further = this.page.hasMore && hits.length < HITS;
        fill(results, hits.slice(0, HITS).map((hit) => h("button", { type: "button", class: "hit", onclick: () => this.reveal(hit.id) },
          h("b", {}, hit.role === "user" ? t.chat.you : t.chat.agent), " ", excerpt(hit.text, words), " ", when(hit.at))),
        further ? h("p", { class: "dim" }, t.chat.looking) : hits.length ? null : t.chat.nothing);
        if (!further) return;
        // What is not loaded yet is read page by page, until enough is found or somebody asks for something else.
        const before = this.messages.length;
        await this.readEarlier(true);
        if (mine !== asked || this.left || this.found.hidden || this.messages.length === before) return;
      }
    };
    input.addEventListener("input", look);
    this.found.hidden = false;
    fill(this.found, h("div", { class: "row" }, input, button(t.common.close, () => (this.found.hidden = true), { icon: "close", bare: true })), results);
    input.focus();
  }

  /** @param {string} id */
  reveal(id) {
    const find = () => this.past.querySelector("[data-id=\"" + CSS.escape(id || "") + "\"]");
    if (!find()) this.draw();
    const row = find();
    if (!row) return;
    row.scrollIntoView({ block: "center" });
    row.classList.add("lit");
    setTimeout(() => row.classList.remove("lit"), 2500);
  }

  atEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 80;
  }

  follow() {
    if (this.atEnd()) this.toEnd();
  }

  /** @param {boolean} [surely] */
  toEnd(surely) {
    requestAnimationFrame(() => {
      this.log.scrollTop = this.log.scrollHeight;
      if (surely) this.jump.hidden = true;
    });
  }
}

/** @param {any} message */
function idOf(message) {
  return (message.__openclaw?.id || message.idempotencyKey || message.timestamp) + "/" + message.role;
}

/** @param {any} message */
function textOf(message) {
  return (message?.content || []).filter((/** @type {any} */ part) => part.type === "text").map((/** @type {any} */ part) => part.text).join("\n\n");
}

/** @param {string} text @param {string} words */
function excerpt(text, words) {
  const at = Math.max(0, text.toLowerCase().indexOf(words.toLowerCase()));
  const from = Math.max(0, at - 40);
  return h("span", {}, (from ? "…" : "") + text.slice(from, at), h("mark", {}, text.slice(at, at + words.length)), text.slice(at + words.length, at + 120));
}
