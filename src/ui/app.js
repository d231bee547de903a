/**
 * The page: its frame, its addresses, and which view is open.
 *
 * Views are modules that are fetched when they are first opened. A view is a function from its place to what ends it;
 * it may throw or reject, and the page stays.
 */
import { base, gateway, root, shared, watch } from "./store.js";
import { button, empty, fill, h, icon, mark } from "./dom.js";
import { memory, secret } from "./identity.js";
import { showSignIn, strip, whyNot } from "./signin.js";
import { t } from "./strings.js";
import * as chat from "./views/chat.js";

/** @typedef {{show: (place: HTMLElement, query: URLSearchParams) => (void|(() => void)|Promise<void|(() => void)>)}} View */

/** Path, icon, module. @type {Array<[string, () => Promise<View>]>} */
const VIEWS = [
  ["chat", async () => chat],
  ["sessions", () => import("./views/sessions.js")],
  ["overview", () => import("./views/overview.js")],
  ["approvals", () => import("./views/approvals.js")],
  ["channels", () => import("./views/channels.js")],
  ["devices", () => import("./views/devices.js")],
  ["agents", () => import("./views/agents.js")],
  ["cron", () => import("./views/cron.js")],
  ["usage", () => import("./views/usage.js")],
  ["logs", () => import("./views/logs.js")],
  ["config", () => import("./views/config.js")],
  ["debug", () => import("./views/debug.js")],
];

/** Where other pages' links lead here. @type {Record<string, string>} */
const ALIASES = { "": "chat", approve: "approvals", settings: "config", automations: "cron", nodes: "devices",
  models: "agents", systems: "overview" };

/** What a thumb reaches first. */
const TABS = ["chat", "sessions", "overview", "approvals"];

const app = /** @type {HTMLElement} */ (document.getElementById("app"));

/** @type {{place: HTMLElement, strip: HTMLElement, nav: HTMLElement}|null} */
let frame = null;

/** @type {void|(() => void)} */
let end;

let opening = 0;

/** @param {string} path @param {boolean} [replace] */
export function go(path, replace) {
  const url = base + "/" + path;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  open();
}

/** The open view's name. */
function here() {
  const first = location.pathname.slice(base.length + 1).split("/")[0];
  const name = ALIASES[first] || first;
  return VIEWS.some(([view]) => view === name) ? name : "chat";
}

async function open() {
  if (!frame) return;
  const [turn, name] = [++opening, here()];
  end?.();
  end = undefined;
  closeMenu();
  document.title = t.nav[/** @type {keyof typeof t.nav} */ (name)] + " · " + t.app.name;
  for (const link of app.querySelectorAll("a[data-view]")) {
    const current = /** @type {HTMLElement} */ (link).dataset.view === name;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const place = h("main", { id: "main", tabindex: "-1", class: "view view-" + name });
  frame.place.replaceWith(place);
  frame.place = place;
  try {
    const view = await /** @type {[string, () => Promise<View>]} */ (VIEWS.find(([one]) => one === name))[1]();
    if (turn !== opening) return;
    const ended = await view.show(place, new URLSearchParams(location.search));
    if (turn === opening) end = ended;
    else ended?.();
  } catch (error) {
    if (turn !== opening) return;
    // After an update of the gateway the modules of the old page are gone.
    const gone = error instanceof TypeError && /import|module/i.test(error.message);
    fill(place, empty(gone ? t.app.updated : String(/** @type {any} */ (error)?.message || error),
      button(gone ? t.signin.reload : t.common.again, () => (gone ? location.reload() : open()), { kind: "primary" })));
    if (!gone) console.error(error);
  }
}

/** @param {string} name */
function link(name) {
  const node = h("a", { href: base + "/" + name, data: { view: name } }, icon(name),
    h("span", {}, t.nav[/** @type {keyof typeof t.nav} */ (name)]),
    (name === "approvals" || name === "devices") && h("span", { class: "pip", hidden: true }));
  return node;
}

function build() {
  const theme = button(t.app.theme, () => turnTheme(), { icon: "moon", bare: true });
  const nav = h("nav", { class: "side", id: "nav", "aria-label": t.app.navigation },
    h("div", { class: "brand" }, mark(), h("span", {}, t.app.name), environment()),
    h("div", { class: "links" }, VIEWS.map(([name]) => link(name))),
    h("div", { class: "side-foot" }, h("span", { class: "version" }, "v" + (gateway.hello?.server?.version || "")), theme));
  const place = h("main", { id: "main" });
  const line = h("div", { class: "strip-place" });
  frame = { place, strip: line, nav };
  const tabs = h("nav", { class: "tabs", "aria-label": t.app.shortcuts }, TABS.map(link),
    h("button", { type: "button", class: "tab-more", "aria-expanded": "false", "aria-controls": "nav", onclick: toggleMenu },
      icon("menu"), h("span", {}, t.app.more)));
  delete app.dataset.advice;
  fill(app, h("a", { class: "skip", href: "#main" }, t.app.skip),
    h("div", { class: "frame" }, nav, h("div", { class: "shade", onclick: closeMenu }), h("div", { class: "page" }, line, place)),
    tabs);
  pips();
}

/** The mark of one gateway among several, as configured; it comes when it comes. */
function environment() {
  const place = h("span", { class: "badge environment", hidden: true });
  gateway.request("config.get").then((config) => {
    const mine = config.parsed?.gateway?.controlUi?.environment;
    place.hidden = !mine?.label;
    place.textContent = mine?.label || "";
    if (mine?.color) place.dataset.color = mine.color;
  }).catch(() => null);
  return place;
}

function toggleMenu() {
  const opened = app.classList.toggle("menu-open");
  app.querySelector(".tab-more")?.setAttribute("aria-expanded", String(opened));
  if (opened) /** @type {HTMLElement|null} */ (app.querySelector(".side a"))?.focus();
}

function closeMenu() {
  app.classList.remove("menu-open");
  app.querySelector(".tab-more")?.setAttribute("aria-expanded", "false");
}

function pips() {
  const counts = { approvals: shared.approvals.length + shared.questions.length, devices: shared.pairing };
  for (const [name, n] of Object.entries(counts)) {
    for (const pip of app.querySelectorAll("a[data-view=" + name + "] .pip")) {
      const node = /** @type {HTMLElement} */ (pip);
      node.hidden = n === 0;
      node.textContent = String(n);
      node.setAttribute("aria-label", t.app.waiting(n));
    }
  }
}

function turnTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = memory("theme", dark ? "light" : "dark") || (dark ? "light" : "dark");
}

gateway.on("state", async (state) => {
  if (state.phase === "ready") {
    if (!frame) return build();
    frame.strip.replaceChildren();
    app.classList.remove("offline");
    return;
  }
  // Somebody in the middle of something keeps it before the eyes while the gateway comes back.
  if (frame && (state.phase === "connecting" || state.phase === "waiting") && state.refusal?.code !== "NOT_PAIRED") {
    app.classList.add("offline");
    if (state.phase === "waiting" && !frame.strip.firstChild) frame.strip.append(strip());
    return;
  }
  if (state.phase === "idle") return;
  end?.();
  end = undefined;
  frame = null;
  if (state.phase === "connecting" && !app.dataset.advice) return;
  if (state.phase === "waiting") await whyNot();
  if (!frame && gateway.state === state) showSignIn(app);
});
// Every connection is a fresh look: what a view showed before may have changed meanwhile.
gateway.on("hello", () => frame && open());
watch((what) => what === "decisions" && pips());

document.addEventListener("click", (event) => {
  const anchor = /** @type {HTMLElement} */ (event.target).closest?.("a");
  if (!anchor || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const url = new URL(anchor.href, location.href);
  if (anchor.target || url.origin !== location.origin || !url.pathname.startsWith(base + "/") || url.hash) return;
  event.preventDefault();
  go(url.pathname.slice(base.length + 1) + url.search);
  /** @type {HTMLElement|null} */ (document.getElementById("main"))?.focus({ preventScroll: true });
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenu();
  if (event.altKey && !event.ctrlKey && !event.metaKey && event.code.startsWith("Digit")) {
    const view = VIEWS[(Number(event.code.slice(5)) || 10) - 1];
    if (view && frame) {
      event.preventDefault();
      go(view[0]);
    }
  }
});
addEventListener("popstate", open);

const theme = memory("theme");
if (theme) root.dataset.theme = theme;
gateway.secret = secret();
gateway.connect();
