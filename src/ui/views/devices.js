/** Devices and nodes: who may connect, who asks to, and what a node can be told to do. */
import { gateway, readDecisions } from "../store.js";
import { ask, badge, button, card, command, confirm, copier, dialog, empty, facts, fill, h, labelled, pretty, select, toast, uuid, when } from "../dom.js";
import { identity } from "../identity.js";
import { code } from "../markdown.js";
import { t } from "../strings.js";
import { into, page } from "./common.js";

/** @type {import("../app.js").View["show"]} */
export async function show(place) {
  const me = (await identity()).id;
  const body = page(place, t.nav.devices, t.devices.lead, gateway.has("device.pair.setupCode") && button(t.devices.invite, () => invite(), { icon: "plus", kind: "primary" }));
  const [devices, nodes] = [h("div", { class: "stack" }), h("div", { class: "stack" })];
  body.append(devices, nodes);
  const drawDevices = () => into(devices, async () => {
    if (!gateway.may("operator.pairing")) return empty(t.devices.notYours);
    const { pending = [], paired = [] } = await gateway.request("device.pair.list", {});
    return [pending.map((/** @type {any} */ one) => requestCard("device.pair", one, drawDevices)),
      card(t.devices.paired, badge(String(paired.length)), paired.length ? h("ul", { class: "rows" }, paired.map((/** @type {any} */ one) => deviceRow(one, me, drawDevices))) : empty(t.devices.none))];
  });
  const drawNodes = () => into(nodes, async () => {
    if (!gateway.has("node.list")) return card(t.devices.nodes, null, empty(t.common.missing("node.list")));
    const [list, pairs] = await Promise.all([gateway.request("node.list", {}), gateway.has("node.pair.list") && gateway.may("operator.pairing") ? gateway.request("node.pair.list", {}) : { pending: [] }]);
    return [(pairs.pending || []).map((/** @type {any} */ one) => requestCard("node.pair", one, drawNodes)),
      card(t.devices.nodes, badge(String(list.nodes.length)), list.nodes.length ? h("ul", { class: "rows" }, list.nodes.map((/** @type {any} */ one) => nodeRow(one, drawNodes))) : empty(t.devices.noNodes, command("openclaw node run")))];
  });
  await Promise.all([drawDevices(), drawNodes()]);
  const names = ["device.pair.requested", "device.pair.resolved", "device.pair.changed"];
  const nodeNames = ["presence", "node.pair.requested", "node.pair.resolved", "node.presence", "node.runnerInventory.changed"];
  const offs = [...names.map((name) => gateway.on(name, drawDevices)), ...nodeNames.map((name) => gateway.on(name, drawNodes))];
  return () => offs.forEach((off) => off());
}

/** @param {string} family @param {any} one @param {() => any} draw */
function requestCard(family, one, draw) {
  const decide = (/** @type {string} */ verb) => async () => {
    await gateway.request(family + "." + verb, { requestId: one.requestId });
    await Promise.all([draw(), readDecisions()]);
  };
  const id = one.deviceId || one.nodeId || "";
  return h("section", { class: "card decision" },
    h("header", { class: "card-head" }, h("h2", {}, family === "node.pair" ? t.devices.nodeAsks : t.devices.deviceAsks), badge(one.isRepair ? t.devices.more : t.devices.fresh, "warn")),
    facts([[t.devices.name, one.displayName || one.clientId || "–"], [t.devices.kind, [one.clientId, one.clientMode, one.platform].filter(Boolean).join(" · ")], [t.devices.from, one.remoteIp || t.devices.here],
      [t.devices.role, one.role || "node"], [t.devices.scopes, (one.scopes || one.commands || []).join(", ") || "–"], [t.devices.id, h("code", {}, id.slice(0, 16) + "…")], [t.approvals.asked, when(one.ts)]]),
    h("div", { class: "row" }, button(t.devices.approve, decide("approve"), { kind: "primary" }), button(t.devices.reject, decide("reject"), { kind: "danger" })));
}

/** @param {any} one @param {string} me @param {() => any} draw */
function deviceRow(one, me, draw) {
  const deviceId = one.deviceId;
  const name = one.label || one.displayName || one.clientId;
  const menu = async () => {
    const act = await dialog(name, (close) => h("div", { class: "menu" }, h("p", { class: "dim" }, h("code", {}, deviceId)),
      button(t.sessions.rename, () => close("rename")),
      (one.tokens || []).map((/** @type {any} */ token) => [button(t.devices.rotate(token.role), () => close("rotate " + token.role)), button(t.devices.revoke(token.role), () => close("revoke " + token.role), { kind: "danger" })]),
      button(t.devices.remove, () => close("remove"), { kind: "danger" })));
    if (!act) return;
    const [verb, role] = act.split(" ");
    if (verb === "rename") {
      const label = await ask(t.sessions.rename, t.devices.name, name, t.common.save);
      if (label) await gateway.request("device.pair.rename", { deviceId, label });
    } else if (verb === "rotate") {
      const answer = await gateway.request("device.token.rotate", { deviceId, role });
      if (answer.token) await dialog(t.devices.newToken, () => [h("p", {}, t.devices.newTokenText), command(answer.token)]);
      else toast(t.devices.withheld);
    } else if (await confirm(verb === "remove" ? t.devices.remove : t.devices.revoke(role), deviceId === me ? t.devices.removeMe : t.devices.removeText, t.common.yes)) {
      if (verb === "remove") await gateway.request("device.pair.remove", { deviceId });
      else await gateway.request("device.token.revoke", { deviceId, role });
    }
    if (gateway.ready) await draw();
  };
  return h("li", { class: "rows-row" }, h("div", { class: "rows-main" },
    h("span", { class: "rows-title" }, one.connected && h("span", { class: "dot on", role: "img", "aria-label": t.channels.connected }), h("b", {}, name), deviceId === me && badge(t.devices.me, "good"), one.roles?.map((/** @type {string} */ role) => badge(role))),
    h("span", { class: "rows-text" }, (one.scopes || []).join(", ")),
    h("span", { class: "rows-meta" }, h("span", {}, [one.platform, one.remoteIp].filter(Boolean).join(" · ")), h("span", {}, t.devices.seen, " ", when(one.lastSeenAtMs || one.approvedAtMs)), h("code", {}, deviceId.slice(0, 12)))),
  button(t.sessions.actions + " " + name, menu, { icon: "more", bare: true }));
}

/** @param {any} one @param {() => any} draw */
function nodeRow(one, draw) {
  const name = one.displayName || one.nodeId.slice(0, 12);
  const remove = async () => {
    if (await confirm(t.devices.remove, t.devices.removeText, t.common.yes)) await gateway.request("node.pair.remove", { nodeId: one.nodeId });
    await draw();
  };
  return h("li", { class: "rows-row" }, h("div", { class: "rows-main" },
    h("span", { class: "rows-title" }, h("span", { class: "dot " + (one.connected ? "on" : ""), role: "img", "aria-label": one.connected ? t.channels.connected : t.devices.away }), h("b", {}, name), badge(one.connected ? t.channels.connected : t.devices.away, one.connected ? "good" : "")),
    h("span", { class: "rows-text" }, (one.commands || []).join(", ")),
    h("span", { class: "rows-meta" }, h("span", {}, [one.platform, one.version].filter(Boolean).join(" · ")), h("span", {}, (one.caps || []).join(", ")))),
  gateway.has("node.invoke") && button(t.devices.invoke, () => invoke(one), { kind: "small", disabled: !one.connected }), gateway.has("node.pair.remove") && button(t.devices.remove, remove, { icon: "close", bare: true }));
}

/** @param {any} one */
function invoke(one) {
  return dialog(t.devices.invoke + " · " + (one.displayName || ""), () => {
    const which = select(one.commands || [], one.commands?.[0]);
    const params = h("textarea", { rows: "4", value: "{}", spellcheck: "false", class: "mono" });
    const result = h("div", { role: "status" });
    return h("div", { class: "stack" }, labelled(t.devices.commandName, which), labelled(t.debug.params, params),
      h("div", { class: "row end" }, button(t.devices.invoke, async () => {
        const answer = await gateway.request("node.invoke", { nodeId: one.nodeId, command: which.value, params: JSON.parse(params.value || "{}"), idempotencyKey: uuid(), timeoutMs: 15000 });
        fill(result, code(pretty(answer.payload ?? answer), "json"));
      }, { kind: "primary" })), result);
  }, "wide");
}

/** A code for another device. */
function invite() {
  return dialog(t.devices.invite, () => {
    const kind = select([{ value: "limited", label: t.devices.forPerson }, { value: "node", label: t.devices.forNode }], "limited");
    const result = h("div", { class: "stack", role: "status" });
    return h("div", { class: "stack" }, h("p", { class: "dim" }, t.devices.inviteText), labelled(t.devices.kind, kind),
      h("div", { class: "row end" }, button(t.devices.make, async () => {
        const made = await gateway.request("device.pair.setupCode", { bootstrapProfile: kind.value, includeQr: false, joinUrl: true });
        fill(result, labelled(t.devices.code, h("textarea", { rows: "3", readonly: true, class: "mono", value: made.setupCode })), h("div", { class: "row" }, copier(() => made.setupCode), h("span", { class: "dim" }, t.devices.until, " ", when(made.expiresAtMs))),
          made.joinUrl && command(made.joinUrl), h("p", { class: "dim small" }, t.devices.qrHint), command("openclaw qr"));
      }, { kind: "primary" })), result);
  }, "wide");
}
