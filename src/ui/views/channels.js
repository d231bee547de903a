/** Channels: the messengers, how they are, and setting one up. */
import { gateway } from "../store.js";
import { badge, button, card, dialog, empty, facts, h, labelled, select, toast, when } from "../dom.js";
import { t } from "../strings.js";
import { into, page } from "./common.js";
import { control } from "./fields.js";

/** @type {import("../app.js").View["show"]} */
export async function show(place) {
  let probe = false;
  const body = page(place, t.nav.channels, t.channels.lead, [
    button(t.channels.probe, () => ((probe = true), draw()), { icon: "bolt" }),
    gateway.has("channels.start") && button(t.channels.add, () => add(draw), { icon: "plus", kind: "primary" })]);
  const [list, pairing] = [h("div", { class: "stack" }), h("div")];
  body.append(pairing, list);
  const draw = () => into(list, async () => {
    const status = await gateway.request("channels.status", { probe, timeoutMs: 8000 }, 60000);
    probe = false;
    const order = status.channelOrder || [];
    return order.length ? order.map((/** @type {string} */ id) => channel(id, status, draw)) : empty(t.channels.none, h("p", { class: "dim" }, gateway.has("channels.start") ? t.channels.noneHelp : t.common.missing("channels.start")));
  });
  const requests = () => into(pairing, async () => {
    if (!gateway.has("channels.pairing.list") || !gateway.may("operator.pairing")) return null;
    const { requests = [] } = await gateway.request("channels.pairing.list");
    return requests.length > 0 && card(t.channels.pairing, badge(String(requests.length), "warn"), h("ul", { class: "plain-list" }, requests.map((/** @type {any} */ one) => h("li", {},
      h("span", {}, h("b", {}, one.senderLabel || one.senderId), " ", h("span", { class: "dim" }, [one.channelLabel || one.channel, one.accountId, one.senderId].filter(Boolean).join(" · "))),
      h("span", { class: "row" }, button(t.devices.approve, () => decide("channels.pairing.approve", one), { kind: "primary small" }), button(t.devices.reject, () => decide("channels.pairing.dismiss", one), { kind: "small" }))))));
  });
  const decide = async (/** @type {string} */ method, /** @type {any} */ one) => {
    await gateway.request(method, { channel: one.channel, accountId: one.accountId, requestId: one.requestId });
    await requests();
  };
  await Promise.all([draw(), requests()]);
  const offs = [gateway.on("health", () => document.hidden || draw()), gateway.on("channels.pairing.changed", requests)];
  return () => offs.forEach((off) => off());
}

/** @param {string} id @param {any} status @param {() => any} draw */
function channel(id, status, draw) {
  const accounts = status.channelAccounts?.[id] || [];
  const label = status.channelLabels?.[id] || id;
  const act = (/** @type {string} */ method, /** @type {string} */ accountId) => async () => {
    await gateway.request(method, { channel: id, ...(accountId ? { accountId } : {}) }, 60000);
    await draw();
  };
  return card(label, badge(accounts.some((/** @type {any} */ one) => one.running) ? t.channels.running : t.channels.stopped, accounts.some((/** @type {any} */ one) => one.running) ? "good" : ""),
    accounts.length ? accounts.map((/** @type {any} */ one) => h("div", { class: "account" },
      h("div", { class: "row spread" }, h("b", {}, one.name || one.accountId), h("span", { class: "row" },
        gateway.has("channels.start") && !one.running && button(t.channels.start, act("channels.start", one.accountId), { kind: "small primary" }),
        gateway.has("channels.stop") && one.running && button(t.channels.stop, act("channels.stop", one.accountId), { kind: "small" }),
        gateway.has("channels.logout") && button(t.channels.logout, act("channels.logout", one.accountId), { kind: "small" }))),
      one.lastError && h("p", { class: "bad-text" }, one.lastError),
      one.qrDataUrl && /^data:image\/png;base64,/.test(one.qrDataUrl) && h("img", { class: "qr", src: one.qrDataUrl, alt: t.channels.qr }),
      facts([...(one.identity ? [/** @type {[string, any]} */ ([t.channels.identity, one.identity])] : []), [t.channels.enabled, one.enabled === false ? t.common.no : t.common.yes], [t.channels.connected, one.connected === undefined ? "–" : one.connected ? t.common.yes : t.common.no],
        [t.channels.inbound, when(one.lastInboundAt)], [t.channels.outbound, when(one.lastOutboundAt)], ...(one.dmPolicy ? [/** @type {[string, any]} */ ([t.channels.direct, one.dmPolicy])] : []),
        ...(one.queued ? [/** @type {[string, any]} */ ([t.channels.queued, one.queued])] : []), ...(one.nextRetryAt ? [/** @type {[string, any]} */ ([t.channels.retry, when(one.nextRetryAt)])] : []),
        ...(one.probe ? [/** @type {[string, any]} */ ([t.channels.probed, one.probe.ok ? t.common.yes : one.probe.error || t.common.no])] : [])])))
      : empty(t.channels.unconfigured));
}

/** Guided fields: what a messenger cannot do without, and who may write. @param {() => any} done */
async function add(done) {
  const known = await gateway.request("config.schema.lookup", { path: "channels" });
  const labels = new Map(known.children.map((/** @type {any} */ one) => [one.key, one.hint.label]));
  const id = await dialog(t.channels.add, (close) => {
    const which = select([...labels].map(([value, label]) => ({ value, label })), known.children[0].key);
    return [labelled(t.channels.which, which), h("div", { class: "row end" }, button(t.common.next, () => close(which.value), { kind: "primary" }))];
  });
  if (!id) return;
  const section = await gateway.request("config.schema.lookup", { path: "channels." + id });
  /** @type {Record<string, any>} */
  const values = {};
  const guide = t.channels.guide[id];
  const needed = section.children.filter((/** @type {any} */ one) => one.required);
  const set = (/** @type {string} */ key) => (/** @type {any} */ value) => value === undefined ? delete values[key] : (values[key] = value);
  const row = (/** @type {string} */ key, /** @type {any} */ schema, /** @type {string} */ description, sensitive = false) =>
    control("channels." + id + "." + key, { ...schema, description }, { label: t.channels.keys[key] || key, sensitive }, undefined, set(key));
  const saved = await dialog(t.channels.setUp(labels.get(id)), (close) => h("form", { class: "stack", onsubmit: async (/** @type {Event} */ event) => {
    event.preventDefault();
    try {
      const { hash } = await gateway.request("config.get");
      await gateway.request("config.patch", { raw: JSON.stringify({ channels: { [id]: { enabled: true, ...values } } }), baseHash: hash }, 60000);
      close(true);
    } catch (error) {
      toast(/** @type {any} */ (error).message, "bad");
    }
  } }, guide && h("p", { class: "dim" }, guide),
  needed.map((/** @type {any} */ one) => row(one.key, { type: "string" }, one.hint.help, one.hint.sensitive)),
  SHARED.map(([key, schema]) => row(key, schema, t.channels.shared[key])),
  h("div", { class: "row end" }, h("button", { class: "btn primary", type: "submit" }, t.common.save))), "wide");
  if (saved) await done();
}

/** Key and schema of what is asked for every messenger. @type {Array<[string, any]>} */
const SHARED = [
  ["dmPolicy", { enum: ["pairing", "allowlist", "open", "disabled"], default: "pairing" }],
  ["allowFrom", { type: "array" }],
  ["requireMention", { type: "boolean", default: true }],
];
