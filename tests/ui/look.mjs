// For eyes, not for CI: opens everything and writes pictures.
import { mkdirSync } from "node:fs";
import { browser, DESKTOP, Gateway, Model, PHONE, tab, TOKEN } from "./harness.mjs";
const dir = process.env.OPENCLAW_UI_PICTURES || "/tmp/i9/look";
mkdirSync(dir, { recursive: true });
const model = await Model.start();
const gateway = await Gateway.start(model);
const chrome = await browser();
const only = process.argv.slice(2);
try {
  const page = await tab(chrome, { colorScheme: "light" });
  await page.goto(gateway.url("/"));
  await page.waitForSelector(".signin-box");
  await page.waitForTimeout(500);
  await page.screenshot({ path: dir + "/signin.png" });
  await page.goto(gateway.url("/chat#token=" + TOKEN)); await page.reload();
  await page.waitForSelector(".composer", { timeout: 8000 });
  for (const text of ["hello there", "MARKDOWN please", "TOOL echo tool-output-42"]) {
    await page.fill(".composer textarea", text);
    await page.keyboard.press("Enter");
    await page.waitForTimeout(2500);
  }
  for (const [name, viewport, scheme] of [["desktop", DESKTOP, "light"], ["phone", PHONE, "dark"]]) {
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme: scheme });
    for (const view of only.length ? only : ["chat", "sessions", "overview", "approvals", "channels", "devices", "agents", "cron", "usage", "logs", "config", "debug"]) {
      await page.goto(gateway.url("/" + view));
      await page.waitForSelector(".view-" + view);
      await page.waitForTimeout(900);
      await page.screenshot({ path: `${dir}/${view}-${name}.png` });
    }
  }
  console.log(page.wrong.join("\n"));
} catch (error) {
  console.log(error.message, gateway.log.slice(-1500));
} finally {
  await chrome.close();
  await gateway.stop();
  model.stop();
}
