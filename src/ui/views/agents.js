/** Agents and models: who answers, with which model, and the files that make them who they are. */
import { gateway } from "../store.js";
import { ask, badge, button, bytes, card, command, confirm, count, dialog, empty, facts, fill, h, labelled, select, toast, when } from "../dom.js";
import { t } from "../strings.js";
import { into, missing, page, table } from "./common.js";

/** @type {import("../app.js").View["show"]} */
export async function show(place) {
  const body = page(place, t.nav.agents, t.agents.lead, gateway.has("agents.create") && button(t.agents.add, () => create(draw), { icon: "plus", kind: "primary" }));
  const [agents, models] = [h("div", { class: "stack" }), h("div", { class: "stack" })];
  body.append(agents, models);
  const draw = () => into(agents, async () => {
    const [list, available] = await Promise.all([gateway.request("agents.list", {}), gateway.request("models.list", { view: "configured" }).catch(() => ({ models: [] }))]);
    return list.agents.map((/** @type {any} */ one) => agentCard(one, list, available.models, draw));
  });
  const drawModels = () => into(models, async () => {
    const [list, status] = await Promise.all([gateway.request("models.list", { view: "all" }), gateway.has("models.authStatus") ? gateway.request("models.authStatus", {}) : { providers: [] }]);
    return [card(t.agents.providers, null, status.providers?.length ? h("ul", { class: "plain-list" }, status.providers.map((/** @type {any} */ one) => provider(one))) : empty(t.agents.noProviders, command("openclaw setup"))),
      card(t.agents.models, badge(String(list.models.length)), list.models.length ? table([t.agents.model, t.agents.provider, t.agents.window, t.agents.reads], list.models.slice(0, 200).map((/** @type {any} */ one) => [
        h("span", {}, h("b", {}, one.name || one.id), " ", one.tags?.map((/** @type {string} */ tag) => badge(tag))), one.provider, count(one.contextWindow), (one.input || []).join(", ")]), t.agents.models) : empty(t.agents.noModels))];
  });
  await Promise.all([draw(), drawModels()]);
  const off = gateway.on("config.changed", () => (draw(), drawModels()));
  return off;
}

/** @param {any} one @param {any} list @param {any[]} models @param {() => any} draw */
function agentCard(one, list, models, draw) {
  const now = typeof one.model === "string" ? one.model : one.model?.primary || "";
  const names = models.map((model) => (model.id.includes("/") && model.id.startsWith(model.provider + "/") ? model.id : model.provider + "/" + model.id));
  if (now && !names.includes(now)) names.unshift(now);
  const choice = select(names.length ? names : [now], now, async (model) => {
    try {
      await gateway.request("agents.update", { agentId: one.id, model });
      toast(t.common.saved);
    } catch (error) {
      toast(/** @type {any} */ (error).message, "bad");
    }
  }, { disabled: !gateway.has("agents.update") });
  return card(one.name || one.identity?.name || one.id, [one.id === list.defaultId && badge(t.agents.default, "good"),
    gateway.has("agents.delete") && one.id !== list.defaultId && button(t.agents.remove, async () => {
      if (await confirm(t.agents.remove, t.agents.removeText, t.agents.remove)) await gateway.request("agents.delete", { agentId: one.id, deleteFiles: false });
      await draw();
    }, { kind: "small danger" })],
  facts([["id", h("code", {}, one.id)], [t.agents.workspace, h("code", {}, one.workspace || "–")]]),
  labelled(t.agents.model, choice, gateway.has("agents.update") ? t.agents.modelHelp : t.common.missing("agents.update")), h("h3", {}, t.agents.files), files(one.id));
}

/** @param {string} agentId */
function files(agentId) {
  const place = h("div");
  const draw = () => into(place, async () => missing("agents.files.list", "agents.files.get") || h("ul", { class: "plain-list" },
    (await gateway.request("agents.files.list", { agentId })).files.map((/** @type {any} */ file) => h("li", {},
      h("button", { type: "button", class: "linkish", onclick: () => edit(agentId, file, draw) }, file.name), h("span", { class: "dim" }, file.missing ? t.agents.missing : [bytes(file.size), " · ", when(file.updatedAtMs)])))));
  draw();
  return place;
}

/** @param {string} agentId @param {any} file @param {() => any} draw */
async function edit(agentId, file, draw) {
  const read = file.missing ? { file: { content: "" } } : await gateway.request("agents.files.get", { agentId, name: file.name });
  const before = read.file?.content || "";
  await dialog(file.name, (close) => {
    const area = h("textarea", { rows: "18", class: "mono", spellcheck: "false", value: before, "aria-label": file.name });
    return h("div", { class: "stack" }, area, h("div", { class: "row end" }, button(t.common.cancel, () => close(null)),
      button(t.common.save, async () => {
        const now = file.missing ? null : await gateway.request("agents.files.get", { agentId, name: file.name });
        if (now && (now.file?.content || "") !== before && !(await confirm(t.agents.changed, t.agents.changedText, t.agents.overwrite))) return;
        await gateway.request("agents.files.set", { agentId, name: file.name, content: area.value });
        toast(t.common.saved);
        close(true);
        draw();
      }, { kind: "primary", disabled: !gateway.has("agents.files.set") })));
  }, "wide");
}

/** @param {any} one */
function provider(one) {
  const state = h("span", { class: "row", role: "status" }, badge(one.status || "?", /ok|static|valid/.test(one.status) ? "good" : "warn"));
  return h("li", {}, h("span", {}, h("b", {}, one.displayName || one.provider), " ", h("span", { class: "dim" }, one.apiKey?.source ? t.agents.keyFrom(one.apiKey.source) : "")),
    h("span", { class: "row" }, state, gateway.has("models.probe") && button(t.agents.check, async () => {
      const answer = await gateway.request("models.probe", { provider: one.provider, timeoutMs: 20000 }, 40000);
      const ok = answer.ok ?? answer.status === "ok";
      fill(state, badge(ok ? t.agents.works : answer.error || answer.reason || answer.status || t.chat.failed, ok ? "good" : "bad"));
    }, { kind: "small" })));
}

/** @param {() => any} draw */
async function create(draw) {
  const name = await ask(t.agents.add, t.devices.name, "", t.common.save);
  if (!name) return;
  await gateway.request("agents.create", { name });
  toast(t.common.saved);
  // It is there when the configuration is in force again.
  setTimeout(draw, 1200);
}
