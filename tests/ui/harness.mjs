// A gateway of its own, a model that does as it is told, and a browser that tells on the page.
import { spawn } from "node:child_process";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { createServer } from "node:http";
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer as createProbe } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const TOKEN = "ui-test-token-0123456789abcdef0123456789";

/** Longer than anything takes on a busy machine. */
const LIMIT = 45000;

const BINARY = process.env.OPENCLAW_BIN || new URL("../../target/debug/openclaw", import.meta.url).pathname;

/** Where pictures go, when somebody wants to see them. Never into the tree. */
export const PICTURES = process.env.OPENCLAW_UI_PICTURES || "";

/** A port nobody has. */
async function freePort() {
  const probe = createProbe().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

/** Resolves when `check` gives something; fails with `what` at the limit. */
export async function until(what, check, limit = LIMIT) {
  const end = Date.now() + limit;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`timed out: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** An OpenAI-compatible model: `TOOL` makes it call a tool, `ASK` ask the user, `SLOW` makes it write until it is let go. */
export class Model {
  static async start() {
    const model = new Model();
    model.held = new Set();
    model.server = createServer((request, reply) => model.serve(request, reply)).listen(0, "127.0.0.1");
    await once(model.server, "listening");
    model.port = model.server.address().port;
    return model;
  }

  async serve(request, reply) {
    let body = "";
    for await (const piece of request) body += piece;
    const { messages = [] } = JSON.parse(body || "{}");
    const last = messages[messages.length - 1] || {};
    const asked = typeof last.content === "string" ? last.content : (last.content || []).map((part) => part.text || "").join(" ");
    const chunk = (delta, finish = null) => reply.write(`data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "stub-model", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`);
    const end = (finish) => {
      chunk({}, finish);
      reply.write(`data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "stub-model", choices: [], usage: { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 } })}\n\n`);
      reply.end("data: [DONE]\n\n");
    };
    reply.writeHead(200, { "content-type": "text/event-stream" });
    chunk({ role: "assistant", content: "" });
    if (last.role === "tool") {
      chunk({ content: "The tool said: " + asked.trim().slice(0, 60) });
      return end("stop");
    }
    if (asked.includes("TOOL")) {
      const command = /TOOL (.*)/.exec(asked)?.[1] || "echo tool-output-42";
      chunk({ content: "Let me look." });
      chunk({ tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "exec", arguments: JSON.stringify({ command }) } }] });
      return end("tool_calls");
    }
    if (asked.includes("ASK")) {
      const questions = [{ id: "color", header: "Color", question: "Which color shall it be?", options: [{ label: "Red" }, { label: "Blue" }] }];
      chunk({ tool_calls: [{ index: 0, id: "call_2", type: "function", function: { name: "ask_user", arguments: JSON.stringify({ questions }) } }] });
      return end("tool_calls");
    }
    if (asked.includes("SLOW")) {
      chunk({ content: "Beginning to think it over" });
      await new Promise((resolve) => {
        this.held.add(resolve);
        request.socket.once("close", resolve);
      });
      if (!reply.writableEnded && !request.socket.destroyed) {
        chunk({ content: ", and done." });
        end("stop");
      }
      return;
    }
    for (const piece of (asked.includes("MARKDOWN") ? SAMPLE : "You said: " + asked.split("] ").pop()).match(/.{1,24}/gs)) chunk({ content: piece });
    end("stop");
  }

  release() {
    for (const resolve of this.held) resolve();
    this.held.clear();
  }

  stop() {
    this.release();
    this.server.closeAllConnections();
    this.server.close();
  }
}

const SAMPLE = [
  "## What I found", "", "Three things, in **order of weight**:", "", "1. The disk is *nearly* full: `df -h` says 91%.",
  "2. The backup ran at 03:00.", "   - It took 4 minutes.", "   - Nothing was skipped.", "3. One certificate ends [in a week](https://example.com/).", "",
  "```sh", "openclaw doctor --fix", "```", "", "| Mount | Used | Free |", "|---|---|---|", "| / | 91% | 2.1 GB |", "| /srv | 12% | 410 GB |", "",
  "> Everything else is calm.", "", "<img src=x onerror=alert(1)> [bad](javascript:alert(1))",
].join("\n");

/** The real binary in a state directory of its own. */
export class Gateway {
  static async start(model, over = {}) {
    const gateway = new Gateway();
    gateway.home = mkdtempSync(join(tmpdir(), "openclaw-ui-"));
    gateway.port = await freePort();
    gateway.config = join(gateway.home, "openclaw.json");
    mkdirSync(join(gateway.home, "workspace"));
    writeFileSync(gateway.config, JSON.stringify(merge({
      gateway: { mode: "local", port: gateway.port, auth: { mode: "token", token: TOKEN } },
      agents: { defaults: { model: { primary: "stub/stub-model" }, workspace: join(gateway.home, "workspace") } },
      logging: { file: join(gateway.home, "gateway.log") },
      models: { providers: { stub: { baseUrl: `http://127.0.0.1:${model.port}/v1`, apiKey: "sk-ui", api: "openai-completions", models: [{ id: "stub-model", name: "Stub Model", reasoning: false, input: ["text", "image"], cost: { input: 3, output: 15, cacheRead: 0.3, cacheWrite: 3 }, contextWindow: 128000, maxTokens: 4096 }] } } },
    }, over), null, 2), { mode: 0o600 });
    await gateway.run();
    return gateway;
  }

  async run() {
    this.log = "";
    this.child = spawn(BINARY, ["gateway", "run"], {
      env: { PATH: process.env.PATH, HOME: this.home, TMPDIR: this.home, OPENCLAW_STATE_DIR: this.home, OPENCLAW_CONFIG_PATH: this.config },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (data) => (this.log += data));
    await until("the gateway is ready", async () => {
      if (this.child.exitCode !== null) throw new Error("the gateway ended:\n" + this.log);
      return fetch(this.url("/readyz")).then((reply) => reply.ok, () => false);
    });
  }

  url(path = "/") {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  async end() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGTERM");
    await ended;
  }

  async stop() {
    await this.end();
    rmSync(this.home, { recursive: true, force: true });
  }
}

function merge(base, over) {
  for (const [key, value] of Object.entries(over)) {
    if (value && typeof value === "object" && !Array.isArray(value)) base[key] = merge(base[key] || {}, value);
    else base[key] = value;
  }
  return base;
}

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

export function browser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking",
      // A name that is not of this network, without asking anybody for it.
      "--host-resolver-rules=MAP gateway.example 127.0.0.1"],
  });
}

/** A tab that remembers everything that went wrong in it: CSP violations, exceptions, requests to elsewhere. */
export async function tab(chrome, options = {}) {
  const context = await chrome.newContext({ viewport: DESKTOP, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  page.wrong = [];
  page.on("pageerror", (error) => page.wrong.push("exception: " + error.message));
  page.on("console", (message) => {
    const text = message.text();
    if (/Content Security Policy|TrustedHTML|Trusted Type/i.test(text)) page.wrong.push("policy: " + text);
    else if (message.type() === "error" && !/ERR_CONNECTION|WebSocket connection|status of 4/.test(text)) page.wrong.push("console: " + text);
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (!["127.0.0.1", "localhost", "gateway.example", ""].includes(url.hostname)) page.wrong.push("elsewhere: " + url.href);
  });
  return page;
}

/** What stands before a gateway on another machine: everybody who comes through here comes from elsewhere. */
export async function reverseProxy(port, from) {
  const { connect, createServer: createTcp } = await import("node:net");
  const sockets = new Set();
  const server = createTcp((client) => {
    const gateway = connect(port, "127.0.0.1");
    let head = Buffer.alloc(0);
    const inserting = (data) => {
      head = Buffer.concat([head, data]);
      const line = head.indexOf("\r\n");
      if (line < 0) return;
      client.off("data", inserting);
      gateway.write(Buffer.concat([head.subarray(0, line + 2), Buffer.from(`X-Forwarded-For: ${from}\r\n`), head.subarray(line + 2)]));
      client.pipe(gateway);
    };
    client.on("data", inserting);
    gateway.pipe(client);
    for (const socket of [client, gateway]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => (sockets.delete(socket), client.destroy(), gateway.destroy()));
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: server.address().port, stop: () => (server.close(), sockets.forEach((socket) => socket.destroy())) };
}

/** The words a person would copy. */
export const command = (page) => page.locator(".command code").first().textContent();

/** Signs in by the address, as a link from the host does, and waits for the chat. */
export async function signIn(page, gateway, path = "/") {
  await page.goto(gateway.url(path + "#token=" + TOKEN));
  await page.waitForSelector(".side", { state: "attached" });
}

/** Writes a message and sends it. */
export async function say(page, text) {
  await page.fill(".composer textarea", text);
  await page.press(".composer textarea", "Enter");
}

/** A host that lends itself to the agent: it connects as a node and answers what it is asked. */
export class NodeHost {
  /** @param {Gateway} gateway @param {Record<string, (params: any) => any>} commands */
  static async connect(gateway, name, commands) {
    const host = new NodeHost();
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const raw = publicKey.export({ type: "spki", format: "der" }).subarray(-32);
    const id = createHash("sha256").update(raw).digest("hex");
    host.socket = new WebSocket(gateway.url("/").replace("http", "ws"));
    const welcome = new Promise((resolve, reject) => {
      host.socket.onmessage = ({ data }) => {
        const frame = JSON.parse(data);
        if (frame.event === "connect.challenge") {
          const { nonce, ts } = frame.payload;
          const text = ["v3", id, "node-host", "node", "node", "", ts, TOKEN, nonce, "linux", ""].join("|");
          host.ask("connect", { minProtocol: 4, maxProtocol: 4, role: "node", scopes: [], caps: [], commands: Object.keys(commands),
            client: { id: "node-host", version: "test", platform: "linux", mode: "node", displayName: name }, auth: { token: TOKEN },
            device: { id, publicKey: raw.toString("base64url"), signature: sign(null, Buffer.from(text), privateKey).toString("base64url"), signedAt: ts, nonce } });
        } else if (frame.type === "res" && frame.id === "1") {
          frame.ok ? resolve() : reject(new Error(JSON.stringify(frame.error)));
        } else if (frame.event === "node.invoke.request") {
          const { id: call, command, paramsJSON } = frame.payload;
          host.ask("node.invoke.result", { id: call, nodeId: id, ok: true, payloadJSON: JSON.stringify(commands[command](JSON.parse(paramsJSON || "{}"))) });
        }
      };
      host.socket.onerror = () => reject(new Error("the node cannot connect"));
    });
    await welcome;
    return host;
  }

  ask(method, params) {
    this.asked = (this.asked || 0) + 1;
    this.socket.send(JSON.stringify({ type: "req", id: String(this.asked), method, params }));
  }

  close() {
    this.socket.close();
  }
}
