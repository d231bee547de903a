// The page in a real browser, against the real binary.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { browser, command, DESKTOP, Gateway, Model, PHONE, PICTURES, reverseProxy, say, signIn, tab, TOKEN, until } from "./harness.mjs";

const VIEWS = ["chat", "sessions", "overview", "approvals", "channels", "devices", "agents", "cron", "usage", "logs", "config", "debug"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let model, gateway, chrome, page;

before(async () => {
  if (PICTURES) mkdirSync(PICTURES, { recursive: true });
  model = await Model.start();
  gateway = await Gateway.start(model, { gateway: { trustedProxies: ["127.0.0.1"] }, tools: { exec: { security: "full", ask: "off" } } });
  chrome = await browser();
  page = await tab(chrome);
  await signIn(page, gateway);
});

after(async () => {
  await chrome?.close();
  await gateway?.stop();
  model?.stop();
});

/** Nothing went wrong in a tab so far. */
function clean(which = page) {
  assert.deepEqual(which.wrong, []);
}

/** Waits for an answer in the conversation. */
function answered(text) {
  return page.locator(".msg.theirs", { hasText: text }).last().waitFor();
}

/** Serious findings of axe-core. */
async function findings(which) {
  // axe runs beside the page's policy, as an extension would.
  const session = await which.context().newCDPSession(which);
  await session.send("Runtime.evaluate", { expression: AXE });
  const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
    expression: "axe.run(document, { resultTypes: ['violations'] }).then((r) => JSON.stringify(r.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => v.id + ': ' + v.nodes.map((n) => n.html.slice(0, 160) + ' ' + n.failureSummary).join(' | '))))",
    awaitPromise: true, returnByValue: true });
  await session.detach();
  assert.ok(!exceptionDetails, JSON.stringify(exceptionDetails));
  return JSON.parse(result.value);
}

/** The methods this gateway has. */
async function methods() {
  await page.goto(gateway.url("/debug"));
  await page.waitForSelector("#methods option", { state: "attached" });
  return page.locator("#methods option").evaluateAll((all) => all.map((one) => one.value));
}

test("the token leaves the address, and a typed one signs in as well", async () => {
  assert.ok(!page.url().includes(TOKEN));
  const other = await tab(chrome);
  await other.goto(gateway.url("/?gatewayUrl=ws://evil.example/"));
  await other.waitForSelector(".signin-box h1");
  assert.equal(await other.textContent("h1"), "Welcome");
  await other.fill("input[type=password]", "wrong");
  await other.press("input[type=password]", "Enter");
  await other.getByText("That was not it").waitFor();
  assert.deepEqual(await findings(other), []);
  await other.fill("input[type=password]", TOKEN);
  await other.press("input[type=password]", "Enter");
  await other.waitForSelector(".composer");
  // The device's own token opens the next tab, without the secret.
  const second = await other.context().newPage();
  await second.goto(gateway.url("/sessions"));
  await second.waitForSelector(".view-sessions .rows");
  clean(other);
  await other.context().close();
});

test("every view opens, without a word from the policy and without serious findings", async () => {
  for (const [name, size, colorScheme] of [["desktop", DESKTOP, "light"], ["phone", PHONE, "dark"]]) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme });
    for (const view of VIEWS) {
      await page.goto(gateway.url("/" + view));
      await page.waitForSelector(".view-" + view + " h1", { state: "attached" });
      await page.waitForFunction(() => !document.querySelector("[aria-busy=true]"));
      assert.deepEqual(await findings(page), [], view + " " + name);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${view} is ${wide}px too wide (${name})`);
      if (PICTURES) await page.screenshot({ path: join(PICTURES, `${view}-${name}.png`) });
    }
  }
  await page.setViewportSize(DESKTOP);
  clean();
});

test("a chat streams, calls a tool, and shows Markdown without letting it do anything", async () => {
  await page.goto(gateway.url("/chat"));
  await say(page, "TOOL echo tool-output-42");
  await answered("The tool said: tool-output-42");
  const card = page.locator(".tool").last();
  assert.match(await card.textContent(), /exec.*echo tool-output-42.*done/);
  await card.locator("summary").click();
  await card.locator(".code", { hasText: "tool-output-42" }).last().waitFor();
  await say(page, "MARKDOWN please");
  const last = page.locator(".msg.theirs").last();
  await last.locator("table").waitFor();
  assert.equal(await last.locator("ol > li").count(), 3);
  assert.equal(await last.locator(".code pre").textContent(), "openclaw doctor --fix");
  assert.equal(await last.locator("img").count(), 0);
  assert.equal(await last.locator("a").count(), 1, "only the link to https is a link");
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "chat-full.png") });
  clean();
});

test("slash commands complete, files are counted before they are sent, words can be found", async () => {
  await page.fill(".composer textarea", "/he");
  await page.locator(".slash [role=option]").first().waitFor();
  await page.press(".composer textarea", "Tab");
  assert.match(await page.inputValue(".composer textarea"), /^\/he/);
  await page.fill(".composer textarea", "");
  const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==", "base64");
  await page.setInputFiles(".composer input[type=file][multiple]", [{ name: "dot.png", mimeType: "image/png", buffer: png }]);
  await page.locator(".chip", { hasText: "dot.png" }).waitFor();
  await page.setInputFiles(".composer input[type=file][multiple]", [{ name: "huge.png", mimeType: "image/png", buffer: Buffer.alloc(8 << 20) }]);
  await page.getByText("huge.png is too big").waitFor();
  await say(page, "what is in this picture?");
  await answered("You said: what is in this picture?");
  await page.keyboard.press("Control+f");
  await page.fill(".found input", "tool-output");
  await page.locator(".hit").first().click();
  await page.locator(".msg.lit").waitFor();
  await page.keyboard.press("Escape");
  clean();
});

test("a run survives a reload, takes a message behind it, and can be stopped", async () => {
  await page.goto(gateway.url("/chat"));
  await page.waitForSelector(".composer textarea");
  await say(page, "SLOW one");
  await page.locator(".msg.live", { hasText: "Beginning to think" }).waitFor();
  await page.reload();
  await page.locator(".msg.live", { hasText: "Beginning to think" }).waitFor();
  await page.selectOption(".composer .mode", "followup");
  await say(page, "and then this");
  await page.getByText("waits for its turn").waitFor();
  model.release();
  await answered("You said: and then this");
  await say(page, "SLOW two");
  await page.locator(".msg.live", { hasText: "Beginning to think" }).waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.waitForSelector(".msg.live", { state: "detached" });
  await page.waitForFunction(() => document.querySelector(".composer .mode")?.hidden);
  clean();
});

test("a session is made, renamed and deleted", async () => {
  await page.goto(gateway.url("/sessions"));
  await page.getByRole("button", { name: "New session" }).click();
  await page.fill("dialog input", "Groceries");
  await page.press("dialog input", "Enter");
  await page.waitForURL(/chat\?session=/);
  await say(page, "milk");
  await answered("You said: milk");
  await page.goto(gateway.url("/sessions"));
  await page.getByRole("button", { name: "Actions for Groceries" }).click();
  await page.getByRole("button", { name: "Rename" }).click();
  await page.fill("dialog input", "Shopping");
  await page.press("dialog input", "Enter");
  await page.getByRole("button", { name: "Actions for Shopping" }).click();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.locator("dialog").getByRole("button", { name: "Delete" }).click();
  await page.waitForFunction(() => !document.body.textContent.includes("Shopping"));
  clean();
});

test("a key is changed in the form and is in force; a conflict is noticed and nothing is lost", async () => {
  await page.goto(gateway.url("/config"));
  await page.fill("input[type=search]", "logging.level");
  const level = page.locator(".field", { hasText: /logging\.level · / }).locator("select");
  await level.selectOption("debug");
  await page.getByRole("button", { name: "Review and save" }).click();
  await page.locator("dialog .new", { hasText: "debug" }).waitFor();
  await page.getByRole("button", { name: "Save and apply" }).click();
  await page.getByText("Saved, and in force.").waitFor();
  assert.equal(JSON.parse(readFileSync(gateway.config, "utf8")).logging.level, "debug");
  await level.selectOption("info");
  await page.getByText("1 change not saved").waitFor();
  const other = JSON.parse(readFileSync(gateway.config, "utf8"));
  other.logging.maxFileBytes = 2000000;
  writeFileSync(gateway.config, JSON.stringify(other, null, 2));
  await page.getByRole("button", { name: "Review and save" }).click();
  await page.getByRole("button", { name: "Save and apply" }).click();
  await page.locator("dialog .new", { hasText: "2000000" }).waitFor();
  await page.getByRole("button", { name: "Save mine on top" }).click();
  await until("both are there", () => {
    const { logging } = JSON.parse(readFileSync(gateway.config, "utf8"));
    return logging.level === "info" && logging.maxFileBytes === 2000000;
  });
  clean();
});

test("the file itself is edited, with its secrets hidden and kept", async () => {
  await page.goto(gateway.url("/config?tab=raw"));
  const area = page.locator("textarea.raw");
  const text = await area.inputValue();
  assert.ok(!text.includes(TOKEN) && text.includes("__OPENCLAW_REDACTED__"));
  await area.fill(text.replace(/"level": *"info"/, '"level": "warn"'));
  await page.getByRole("button", { name: "Review and save" }).click();
  await page.locator("dialog .diff .gone", { hasText: "info" }).waitFor();
  await page.getByRole("button", { name: "Save and apply" }).click();
  await page.getByText("Saved, and in force.").waitFor();
  const kept = JSON.parse(readFileSync(gateway.config, "utf8"));
  assert.deepEqual([kept.logging.level, kept.gateway.auth.token], ["warn", TOKEN]);
  clean();
});

test("a device from elsewhere, without the browser's own cryptography, waits until it is approved here", async () => {
  const proxy = await reverseProxy(gateway.port, "192.0.2.77");
  const guest = await tab(chrome);
  try {
    await guest.addInitScript(() => Object.defineProperty(Crypto.prototype, "subtle", { get: () => undefined }));
    await guest.goto(`http://127.0.0.1:${proxy.port}/#token=${TOKEN}`);
    await guest.getByText("Approve this browser").waitFor();
    assert.match(await command(guest), /^openclaw devices approve [0-9a-f-]{36}$/);
    assert.deepEqual(await findings(guest), []);
    if (PICTURES) await guest.screenshot({ path: join(PICTURES, "pairing.png") });
    await page.goto(gateway.url("/devices"));
    await page.locator(".decision", { hasText: "192.0.2.77" }).getByRole("button", { name: "Approve" }).click();
    await guest.waitForSelector(".composer");
    await page.locator(".rows-row", { hasText: "192.0.2.77" }).waitFor();
    clean(guest);
    clean();
  } finally {
    await guest.context().close();
    proxy.stop();
  }
});

test("a name the gateway does not know is refused with the command that allows it", async () => {
  const guest = await tab(chrome);
  await guest.goto(`http://gateway.example:${gateway.port}/#token=${TOKEN}`);
  await guest.getByText("This address is not on the list").waitFor();
  assert.equal(await command(guest), `openclaw config set gateway.controlUi.allowedOrigins '["http://gateway.example:${gateway.port}"]'`);
  assert.equal(await guest.evaluate(() => isSecureContext), false);
  const file = JSON.parse(readFileSync(gateway.config, "utf8"));
  file.gateway.controlUi = { allowedOrigins: [`http://gateway.example:${gateway.port}`] };
  writeFileSync(gateway.config, JSON.stringify(file, null, 2));
  await until("the address is allowed", async () => {
    await guest.getByRole("button", { name: "Try again" }).click({ timeout: 2000 }).catch(() => {});
    // A page of another name is not of this host: it waits for its approval.
    return guest.getByText("Approve this browser").waitFor({ timeout: 1000 }).then(() => true, () => false);
  });
  clean(guest);
  await guest.context().close();
});

test("a command that needs an approval gets it here", async (t) => {
  if (!(await methods()).includes("exec.approval.list")) {
    await page.goto(gateway.url("/approvals"));
    await page.getByText("This gateway does not have this yet").waitFor();
    return t.skip("this gateway has no approvals yet");
  }
  const file = JSON.parse(readFileSync(gateway.config, "utf8"));
  file.tools = { exec: { security: "allowlist", ask: "always" } };
  writeFileSync(gateway.config, JSON.stringify(file, null, 2));
  // The page shows what is in force when it is opened; the gateway takes a moment to read the file.
  const inForce = async () => {
    await page.goto(gateway.url("/config?tab=raw"));
    await page.locator("textarea.raw").waitFor();
    return page.locator("textarea.raw").inputValue();
  };
  for (let looks = 1; !(await inForce()).includes("always"); looks += 1) assert.ok(looks < 40, "the change is not in force");
  await page.goto(gateway.url("/chat"));
  await say(page, "TOOL echo approved-7788");
  await page.locator(".side a", { hasText: "Approvals" }).locator(".pip", { hasText: "1" }).waitFor();
  await page.locator(".side a", { hasText: "Approvals" }).click();
  await page.locator(".decision", { hasText: "echo approved-7788" }).waitFor();
  assert.deepEqual(await findings(page), []);
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "approval.png") });
  await page.getByRole("button", { name: "Allow once" }).click();
  await page.getByText("Nothing waits for you.").waitFor();
  await page.goto(gateway.url("/chat"));
  await answered("The tool said: approved-7788");
  clean();
});

test("an automation is added, run and deleted", async (t) => {
  if (!(await methods()).includes("cron.add")) return t.skip("this gateway has no automations yet");
  await page.goto(gateway.url("/cron"));
  await page.getByRole("button", { name: "Add an automation" }).click();
  await page.getByLabel("Name").fill("Look around");
  await page.getByLabel("What to do").fill("look around");
  await page.locator("dialog").getByRole("button", { name: "Save" }).click();
  const card = page.locator(".card", { hasText: "Look around" });
  await card.waitFor();
  await card.getByRole("button", { name: "Run now" }).click();
  await card.locator(".card-head .badge", { hasText: "ok" }).waitFor();
  await card.getByText("Runs", { exact: true }).click();
  await card.locator("details .badge", { hasText: "ok" }).waitFor();
  assert.deepEqual(await findings(page), []);
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "automation.png") });
  await card.getByRole("button", { name: "Delete" }).click();
  await page.locator("dialog").getByRole("button", { name: "Delete" }).click();
  await page.waitForFunction(() => !document.querySelector("#main").textContent.includes("Look around"));
  clean();
});

test("an agent's file is written and read again", async (t) => {
  if (!(await methods()).includes("agents.files.set")) return t.skip("this gateway does not hand out agents' files yet");
  await page.goto(gateway.url("/agents"));
  await page.getByRole("button", { name: "SOUL.md" }).click();
  await page.fill("dialog textarea", "Be kind.");
  await page.locator("dialog").getByRole("button", { name: "Save" }).click();
  await page.locator("li", { hasText: "SOUL.md" }).getByText("8 B").waitFor();
  assert.equal(readFileSync(join(gateway.home, "workspace/SOUL.md"), "utf8"), "Be kind.");
  clean();
});

test("a restart is announced, survived and followed by a fresh look", async () => {
  await page.goto(gateway.url("/chat"));
  await page.fill(".composer textarea", "half a thought");
  await gateway.end();
  await page.locator(".strip").waitFor();
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "restart.png") });
  await gateway.run();
  await page.waitForSelector(".strip", { state: "detached" });
  await page.waitForFunction(() => document.querySelector(".composer textarea")?.value === "half a thought");
  await say(page, "still there?");
  await answered("You said: still there?");
  clean();
});

test("what was used is drawn by day, model and session, and a provider is checked", async () => {
  await page.goto(gateway.url("/usage"));
  const bars = page.locator(".bars li");
  await bars.filter({ hasText: "stub/stub-model" }).waitFor();
  assert.ok(await bars.count() > 1, "models and sessions");
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "usage.png"), fullPage: true });
  const session = page.locator(".bars a").first();
  const name = await session.textContent();
  await session.click();
  await page.waitForSelector(".composer");
  assert.ok(page.url().includes("/chat?session="), name);
  await page.goto(gateway.url("/agents"));
  await page.getByRole("listitem").filter({ hasText: "stub" }).getByRole("button", { name: "Check" }).click();
  await page.getByRole("status").filter({ hasText: "works" }).waitFor();
  clean();
});

test("keys open views, and the way to the content is one step", async () => {
  await page.goto(gateway.url("/overview"));
  await page.waitForSelector(".view-overview");
  await page.keyboard.press("Alt+2");
  await page.waitForSelector(".view-sessions");
  await page.goBack();
  await page.waitForSelector(".view-overview");
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.className), "skip");
  clean();
});

test("eight browsers at once stay within what a small host has", async () => {
  const tabs = await Promise.all(Array.from({ length: 8 }, () => tab(chrome)));
  for (const one of tabs) await signIn(one, gateway);
  for (const one of tabs) await one.waitForSelector(".composer");
  const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.child.pid}/status`, "utf8"))[1]);
  console.log(`gateway with 9 tabs: ${(rss / 1024).toFixed(1)} MiB resident`);
  assert.ok(rss < 64 << 10, `${rss} KiB`);
  for (const one of tabs) {
    clean(one);
    await one.context().close();
  }
});
