/** Overview: whether everything is well, at a glance. */
import { base, gateway, shared, titleOf, watch } from "../store.js";
import { badge, bytes, button, card, count, duration, empty, facts, fill, h, icon, s, when } from "../dom.js";
import { t } from "../strings.js";
import { page } from "./common.js";

/** Between two looks, and how many are kept: five minutes. */
const LOOK = 5000;
const KEPT = 60;

/** @type {import("../app.js").View["show"]} */
export async function show(place) {
  const body = page(place, t.nav.overview, t.overview.lead, button(t.common.refresh, () => look(), { icon: "refresh" }));
  const [state, traffic, channels, sessions, presence] = [h("div"), h("div"), h("div"), h("div"), h("div")];
  body.append(state, h("div", { class: "columns" }, h("div", { class: "stack" }, traffic, channels), h("div", { class: "stack" }, sessions, presence)));
  /** @type {number[]} */
  const frames = Array(KEPT).fill(0);
  let before = gateway.frames;
  /** @type {any} */
  let status = null;
  /** @type {any} */
  let info = null;

  const paint = () => {
    const { hello } = gateway;
    const health = shared.health || {};
    const rss = status?.processMemory?.rssBytes;
    const up = hello?.snapshot?.uptimeMs + (Date.now() - since);
    const ok = health.ok !== false;
    fill(state, h("div", { class: "tiles" },
      tile(t.overview.health, h("span", { class: ok ? "good-text" : "bad-text" }, icon(ok ? "check" : "alert"), ok ? t.overview.well : t.overview.unwell), health.ts ? [t.overview.checked, " ", when(health.ts)] : ""),
      tile(t.overview.uptime, duration(up), t.overview.version + " " + hello?.server?.version),
      tile(t.overview.memory, rss ? bytes(rss) : "–", info?.memoryTotalBytes ? t.overview.ofHost(bytes(info.memoryTotalBytes)) : t.overview.memoryNote),
      tile(t.overview.sessions, count(status?.sessions?.count ?? shared.sessions.length), t.overview.active(shared.sessions.filter((row) => row.hasActiveRun).length))));
    fill(traffic, card(t.overview.traffic, null, sparkline(frames), h("p", { class: "dim small" }, t.overview.trafficNote)));
    const order = health.channelOrder || [];
    fill(channels, card(t.nav.channels, h("a", { class: "btn small", href: base + "/channels" }, t.overview.all), order.length
      ? h("ul", { class: "plain-list" }, order.map((/** @type {string} */ id) => {
        const one = health.channels?.[id] || {};
        return h("li", {}, h("span", {}, health.channelLabels?.[id] || id), badge(one.running ? t.channels.running : one.configured ? t.channels.stopped : t.channels.off, one.running ? "good" : ""));
      })) : empty(t.channels.none)));
    const latest = shared.sessions.filter((row) => !row.isBackground).slice(0, 5);
    fill(sessions, card(t.nav.sessions, h("a", { class: "btn small", href: base + "/sessions" }, t.overview.all), latest.length
      ? h("ul", { class: "plain-list" }, latest.map((row) => h("li", {}, h("a", { href: base + "/chat?session=" + encodeURIComponent(row.key) }, titleOf(row)), h("span", { class: "dim" }, when(row.updatedAt))))) : empty(t.sessions.none)));
    const here = shared.presence.filter((one) => one.reason !== "disconnect");
    fill(presence, card(t.overview.presence, badge(String(here.length)), h("ul", { class: "plain-list" }, here.map((one) => h("li", {},
      h("span", {}, h("b", {}, one.clientId || one.host || "?"), " ", h("span", { class: "dim" }, [one.mode, one.platform, one.ip].filter(Boolean).join(" · "))), h("span", { class: "dim" }, when(one.onlineSince || one.ts))))),
    h("details", {}, h("summary", {}, t.overview.gateway), facts([[t.overview.version, hello?.server?.version], ["build", hello?.server?.buildId], ["boot", hello?.server?.bootId],
      [t.overview.configFile, hello?.snapshot?.configPath || "–"], [t.overview.stateDir, hello?.snapshot?.stateDir || "–"], [t.overview.host, info ? info.osLabel + " · " + info.arch : "–"],
      [t.overview.disk, info?.diskAvailableBytes ? bytes(info.diskAvailableBytes) : "–"]]))));
  };
  const since = Date.now();
  const look = async () => {
    frames.push(gateway.frames - before);
    before = gateway.frames;
    frames.shift();
    if (!gateway.ready || document.hidden) return;
    [status, info] = await Promise.all([gateway.request("status").catch(() => status),
      gateway.has("system.info") ? gateway.request("system.info").catch(() => info) : null]);
    paint();
  };
  paint();
  await look();
  const timer = setInterval(look, LOOK);
  const off = watch(() => paint());
  return () => (clearInterval(timer), off());
}

/** @param {string} name @param {import("../dom.js").Children} value @param {import("../dom.js").Children} note */
function tile(name, value, note) {
  return h("div", { class: "tile" }, h("span", { class: "dim" }, name), h("strong", {}, value), h("span", { class: "dim small" }, note));
}

/** @param {number[]} values */
function sparkline(values) {
  const [w, hgt] = [600, 90];
  const top = Math.max(4, ...values);
  const x = (/** @type {number} */ at) => w - (values.length - 1 - at) * (w / (KEPT - 1));
  const y = (/** @type {number} */ n) => hgt - 6 - (n / top) * (hgt - 14);
  const line = values.map((n, at) => x(at).toFixed(1) + " " + y(n).toFixed(1)).join("L");
  const last = values[values.length - 1] || 0;
  return s("svg", { viewBox: "0 0 " + w + " " + hgt, class: "spark", role: "img", "aria-label": t.overview.trafficLabel(last, top), preserveAspectRatio: "none" },
    line && s("path", { class: "area", d: "M" + x(0).toFixed(1) + " " + hgt + "L" + line + "L" + w + " " + hgt + "Z" }), line && s("path", { class: "line", d: "M" + line }));
}
