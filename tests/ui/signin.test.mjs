// What the page says while there is no connection, and what it tells a person to do.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { browser, command, Gateway, Model, PICTURES, signIn, tab, TOKEN } from "./harness.mjs";

let model, gateway, chrome;

before(async () => {
  model = await Model.start();
  gateway = await Gateway.start(model, { gateway: { auth: { rateLimit: { maxAttempts: 2, windowMs: 60000, lockoutMs: 60000, exemptLoopback: false } } } });
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
  await gateway?.stop();
  model?.stop();
});

/** A page whose gateway is played by `answer`: it gets each request and the socket. */
async function played(answer) {
  const page = await tab(chrome);
  await page.routeWebSocket(/.*/, (socket) => {
    socket.onMessage((text) => answer(JSON.parse(text), socket));
    socket.send(JSON.stringify({ type: "event", event: "connect.challenge", payload: { nonce: "00000000-0000-4000-8000-000000000000", ts: Date.now() } }));
  });
  return page;
}

const refuse = (error) => (request, socket) => {
  socket.send(JSON.stringify({ type: "res", id: request.id, ok: false, error }));
  socket.close({ code: 1008, reason: "refused" });
};

async function says(page, title, name) {
  await page.locator(".signin-box h1", { hasText: title }).waitFor();
  if (PICTURES) await page.screenshot({ path: join(PICTURES, `signin-${name}.png`) });
  assert.deepEqual(page.wrong, []);
}

test("another version of the protocol asks for a reload, which asks again", async () => {
  let asked = 0;
  const page = await played((request, socket) => {
    asked += 1;
    refuse({ code: "INVALID_REQUEST", message: "protocol mismatch", details: { code: "PROTOCOL_MISMATCH", expectedProtocol: 5 } })(request, socket);
  });
  await page.goto(gateway.url("/#token=" + TOKEN));
  await says(page, "Page and gateway do not match", "version");
  const before = asked;
  await page.getByRole("button", { name: "Reload" }).click();
  await says(page, "Page and gateway do not match", "version");
  assert.ok(asked > before);
  await page.context().close();
});

test("a gateway that is still starting is waited for", async () => {
  let ready = false;
  const page = await tab(chrome);
  await page.routeWebSocket(/.*/, (socket) => {
    if (ready) return void socket.connectToServer();
    socket.onMessage((text) => refuse({ code: "UNAVAILABLE", message: "gateway starting; retry shortly", retryable: true, retryAfterMs: 200, details: { reason: "startup-sidecars" } })(JSON.parse(text), socket));
    socket.send(JSON.stringify({ type: "event", event: "connect.challenge", payload: { nonce: "00000000-0000-4000-8000-000000000000", ts: Date.now() } }));
  });
  await page.goto(gateway.url("/#token=" + TOKEN));
  await says(page, "The gateway is starting", "starting");
  ready = true;
  await page.waitForSelector(".composer");
  await page.context().close();
});

test("a gateway nobody can reach: the page says so, names the command, and keeps trying", async () => {
  let there = false;
  const page = await tab(chrome);
  await page.routeWebSocket(/.*/, (socket) => there ? void socket.connectToServer() : void socket.close({ code: 1006 }));
  await page.goto(gateway.url("/#token=" + TOKEN));
  await says(page, /Nobody answers|The connection ended/, "offline");
  there = true;
  await page.waitForSelector(".composer");
  await page.context().close();
});

test("too many wrong tokens: the page says for how long nothing helps", async () => {
  const page = await tab(chrome);
  await page.goto(gateway.url("/"));
  for (let round = 0; round < 3; round += 1) {
    await page.waitForSelector("input[type=password]");
    await page.fill("input[type=password]", "wrong " + round);
    await page.press("input[type=password]", "Enter");
    // The title of the last round may be the one of this round: the form is not.
    await page.waitForSelector("form:not([aria-busy])", { state: round < 2 ? "attached" : "detached" });
    await page.locator(".signin-box h1", { hasText: round < 2 ? "That was not it" : "Too many tries" }).waitFor();
  }
  await says(page, "Too many tries", "limited");
  await page.context().close();
});
