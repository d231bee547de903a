// Starts the built gateway in a directory of its own, on a free port, with an emptied environment.
//
// OPENCLAW_BIN names the program; without it the release build of this tree is taken.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const TOKEN = "suite-token-0123456789abcdef-0123456789abcdef";

// From exec to 200 on /healthz; a release build needs milliseconds, a loaded machine more.
const START_LIMIT_MS = 20_000;
// From SIGTERM to the end of the process.
const STOP_LIMIT_MS = 20_000;

const RELEASE = fileURLToPath(new URL("../../target/release/openclaw", import.meta.url));

export async function startGateway(upstream, gateway = {}) {
  const home = mkdtempSync(join(tmpdir(), "openclaw-suite-"));
  for (const folder of ["state", "workspace", "tmp"]) mkdirSync(join(home, folder));
  const model = { id: "stub-model", name: "Stub Model", reasoning: false, input: ["text"], contextWindow: 128000, maxTokens: 4096 };
  const config = {
    gateway: {
      mode: "local",
      auth: { mode: "token", token: TOKEN },
      http: { endpoints: { chatCompletions: { enabled: true } } },
      ...gateway,
    },
    agents: { defaults: { model: { primary: "stub/stub-model" }, workspace: join(home, "workspace") } },
    models: {
      providers: {
        stub: { baseUrl: upstream.baseUrl, apiKey: "sk-suite", api: "openai-completions", models: [model] },
      },
    },
  };
  writeFileSync(join(home, "state", "openclaw.json"), JSON.stringify(config, null, 2));
  const port = await freePort();
  const child = spawn(process.env.OPENCLAW_BIN ?? RELEASE, ["gateway", "--port", String(port)], {
    cwd: home,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env.PATH,
      HOME: home,
      TMPDIR: join(home, "tmp"),
      TZ: "UTC",
      OPENCLAW_STATE_DIR: join(home, "state"),
      OPENCLAW_CONFIG_PATH: join(home, "state", "openclaw.json"),
    },
  });
  let log = "";
  for (const pipe of [child.stdout, child.stderr]) pipe.on("data", (piece) => (log += piece));
  const ended = new Promise((resolve) => {
    child.on("error", (error) => resolve({ code: null, signal: null, error }));
    child.on("exit", (code, signal) => resolve({ code, signal }));
  });
  let gone;
  ended.then((how) => (gone = how));
  const url = `http://127.0.0.1:${port}`;
  const end = Date.now() + START_LIMIT_MS;
  for (;;) {
    if (gone) throw new Error(`the gateway ended at once: ${JSON.stringify(gone)} ${gone.error ?? ""}\n${log}`);
    const reply = await fetch(`${url}/healthz`).catch(() => undefined);
    if (reply?.status === 200) break;
    if (Date.now() > end) {
      child.kill("SIGKILL");
      throw new Error(`the gateway never answered /healthz:\n${log}`);
    }
    await pause(10);
  }
  return {
    port,
    home,
    http: url,
    ws: `ws://127.0.0.1:${port}`,
    log: () => log,
    /** SIGTERM, then how it ended; SIGKILL when it does not. */
    async stop() {
      if (!gone) child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
      const how = await ended;
      clearTimeout(timer);
      rmSync(home, { recursive: true, force: true });
      return how;
    },
  };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Looks every few milliseconds until `look` gives something truthy; fails after the limit. */
export async function until(what, look, limitMs = 10_000) {
  const end = Date.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${limitMs} ms in vain until ${what}`);
    await pause(5);
  }
}

/** A reverse proxy: whoever comes through it comes from an address elsewhere. */
export async function proxyFrom(address, to) {
  const sockets = new Set();
  const server = createServer((client) => {
    const gateway = connect(to, "127.0.0.1");
    let head = Buffer.alloc(0);
    const insert = (data) => {
      head = Buffer.concat([head, data]);
      const line = head.indexOf("\r\n");
      if (line < 0) return;
      client.off("data", insert);
      gateway.write(Buffer.concat([head.subarray(0, line + 2), Buffer.from(`X-Forwarded-For: ${address}\r\n`), head.subarray(line + 2)]));
      client.pipe(gateway);
    };
    client.on("data", insert);
    gateway.pipe(client);
    for (const socket of [client, gateway]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => (sockets.delete(socket), client.destroy(), gateway.destroy()));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    ws: `ws://127.0.0.1:${server.address().port}`,
    stop: () => (server.close(), sockets.forEach((socket) => socket.destroy())),
  };
}
