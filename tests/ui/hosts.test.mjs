// Nodes, codes for other devices, messengers, files of every kind, and what was said long ago.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { browser, Gateway, Model, NodeHost, PHONE, PICTURES, say, signIn, tab, TOKEN, until } from "./harness.mjs";

let model, gateway, chrome, page;

before(async () => {
  model = await Model.start();
  gateway = await Gateway.start(model);
  chrome = await browser();
  page = await tab(chrome);
  await signIn(page, gateway);
});

after(async () => {
  await chrome?.close();
  await gateway?.stop();
  model?.stop();
});

test("a node asks to be used, is approved, and runs a command", async () => {
  await page.goto(gateway.url("/devices"));
  await page.getByText("No node is paired").waitFor();
  const host = await NodeHost.connect(gateway, "The attic", { "system.which": ({ bins }) => ({ bins: { [bins[0]]: "/usr/bin/" + bins[0] } }) });
  const request = page.locator(".decision", { hasText: "A node asks to be used" });
  await request.getByText("system.which").waitFor();
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "node-asks.png") });
  await request.getByRole("button", { name: "Approve" }).click();
  const row = page.locator(".rows-row", { hasText: "system.which" });
  await row.getByRole("button", { name: "Run a command" }).click();
  await page.locator("dialog textarea").fill('{"bins":["sed"]}');
  await page.locator("dialog").getByRole("button", { name: "Run a command" }).click();
  await page.locator("dialog .code", { hasText: "/usr/bin/sed" }).waitFor();
  await page.keyboard.press("Escape");
  host.close();
  await row.getByRole("button", { name: "Run a command" }).and(page.locator(":disabled")).waitFor();
  assert.deepEqual(page.wrong, []);
});

test("a code lets one more device in", async () => {
  await page.goto(gateway.url("/devices"));
  await page.getByRole("button", { name: "Invite a device" }).click();
  await page.locator("dialog").getByRole("button", { name: "Make a code" }).click();
  // A gateway nobody else can reach says so, above the dialog, and how to change that.
  const note = page.locator(".toast.bad", { hasText: "Set gateway.bind=lan" });
  await note.waitFor();
  const above = await note.evaluate((one) => {
    const { left, top, width, height } = one.getBoundingClientRect();
    return getComputedStyle(one.parentElement).display !== "none" && one.parentElement.matches(":popover-open") && width > 0 && height > 0 && left >= 0 && top >= 0;
  });
  assert.ok(above);
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "invite-refused.png") });
  const file = JSON.parse(readFileSync(gateway.config, "utf8"));
  file.gateway.publicOrigin = "https://gateway.example";
  writeFileSync(gateway.config, JSON.stringify(file, null, 2));
  await until("the code is made", async () => {
    await page.locator("dialog").getByRole("button", { name: "Make a code" }).click();
    return page.getByLabel("Setup code").waitFor({ timeout: 1000 }).then(() => true, () => false);
  });
  const code = await page.getByLabel("Setup code").inputValue();
  const made = JSON.parse(Buffer.from(code, "base64url").toString());
  assert.ok(made.bootstrapToken && made.url, code);
  await page.locator("dialog").getByText("openclaw qr").waitFor();
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "invite.png") });
  await page.keyboard.press("Escape");
  assert.deepEqual(page.wrong, []);
});

test("a messenger is set up by the fields it cannot do without, and runs", async () => {
  await page.goto(gateway.url("/channels"));
  await page.getByRole("button", { name: "Add a channel" }).first().click();
  const which = page.locator("dialog select");
  const offered = await which.locator("option").allTextContents();
  assert.ok(["Telegram", "IRC", "Webhook"].every((name) => offered.includes(name)), offered.join());
  await which.selectOption({ label: "IRC" });
  await page.locator("dialog").getByRole("button", { name: "Next" }).click();
  for (const field of ["Server", "Nick", "Password"]) await page.locator("dialog").getByLabel(field, { exact: true }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Add a channel" }).first().click();
  await which.selectOption({ label: "Webhook" });
  await page.locator("dialog").getByRole("button", { name: "Next" }).click();
  await page.getByLabel("Secret").fill("a-shared-secret-of-32-characters");
  await page.getByLabel("Address for answers").fill("http://127.0.0.1:9/answers");
  await page.getByLabel("Senders").fill("alice\nbob");
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "channel-add.png") });
  await page.locator("dialog").getByRole("button", { name: "Save" }).click();
  const card = page.locator(".card", { hasText: "Webhook" });
  await card.getByRole("button", { name: "Stop" }).waitFor();
  const { webhook } = JSON.parse(readFileSync(gateway.config, "utf8")).channels;
  assert.deepEqual(webhook, { enabled: true, secret: "a-shared-secret-of-32-characters", url: "http://127.0.0.1:9/answers", allowFrom: ["alice", "bob"] });
  await card.getByRole("button", { name: "Stop" }).click();
  await card.getByRole("button", { name: "Start" }).waitFor();
  assert.deepEqual(page.wrong, []);
});

test("files are pasted and dropped, and a phone has its camera", async () => {
  await page.goto(gateway.url("/chat"));
  await page.waitForSelector(".composer textarea");
  const give = (kind, name) => page.locator(".composer textarea").evaluate((input, [kind, name]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array([1, 2, 3])], name, { type: "image/png" }));
    const event = kind === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
      : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
    input.dispatchEvent(event);
  }, [kind, name]);
  await give("paste", "pasted.png");
  await page.locator(".chip", { hasText: "pasted.png" }).waitFor();
  await give("drop", "dropped.png");
  await page.locator(".chip", { hasText: "dropped.png" }).waitFor();
  await page.getByRole("button", { name: "Remove pasted.png" }).click();
  assert.equal(await page.locator(".chip").count(), 1);
  await page.getByRole("button", { name: "Remove dropped.png" }).click();
  const phone = await tab(chrome, { viewport: PHONE, hasTouch: true, isMobile: true });
  await signIn(phone, gateway);
  const chosen = phone.waitForEvent("filechooser");
  await phone.getByRole("button", { name: "Take a picture" }).click();
  const chooser = await chosen;
  assert.equal(await chooser.element().getAttribute("capture"), "environment");
  await chooser.setFiles([{ name: "photo.png", mimeType: "image/png", buffer: Buffer.from([1, 2, 3]) }]);
  await phone.locator(".chip", { hasText: "photo.png" }).waitFor();
  assert.deepEqual([...page.wrong, ...phone.wrong], []);
  await phone.context().close();
});

test("what was said long ago is found, although it is not loaded", async () => {
  const session = "agent:main:long-ago";
  const write = (content) => fetch(gateway.url("/v1/chat/completions"), { method: "POST",
    headers: { authorization: "Bearer " + TOKEN, "content-type": "application/json", "x-openclaw-session-key": session },
    body: JSON.stringify({ model: "openclaw", messages: [{ role: "user", content }] }) }).then((reply) => assert.equal(reply.status, 200));
  await write("the needle in the haystack");
  for (let round = 0; round < 45; round += 1) await write("hay " + round);
  await page.goto(gateway.url("/chat?session=" + encodeURIComponent(session)));
  await page.locator(".msg.mine", { hasText: "hay 44" }).waitFor();
  assert.equal(await page.getByText("the needle in the haystack").count(), 0, "it is far back");
  await page.keyboard.press("Control+f");
  await page.fill(".found input", "needle");
  await page.locator(".hit").last().click();
  await page.locator(".msg.lit", { hasText: "needle" }).waitFor();
  await page.fill(".found input", "no such words");
  await page.getByText("Nothing found.").waitFor();
  assert.deepEqual(page.wrong, []);
});

test("the agent asks, and goes on with the answer", async () => {
  await page.goto(gateway.url("/chat"));
  await say(page, "ASK me");
  await page.locator(".side a", { hasText: "Approvals" }).locator(".pip", { hasText: "1" }).waitFor();
  await page.locator(".side a", { hasText: "Approvals" }).click();
  const card = page.locator(".decision", { hasText: "Which color shall it be?" });
  await card.getByLabel("Blue").check();
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "question.png") });
  await card.getByRole("button", { name: "Answer", exact: true }).click();
  await page.getByText("Nothing waits for you.").waitFor();
  await page.goto(gateway.url("/chat"));
  await page.locator(".msg.theirs", { hasText: "answered" }).last().waitFor();
  assert.deepEqual(page.wrong, []);
});
