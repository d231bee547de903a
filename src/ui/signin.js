/**
 * When there is no connection: what happened, what to do, and the command that does it.
 */
import { base, gateway } from "./store.js";
import { button, command, fill, h, icon, labelled, mark } from "./dom.js";
import { forgetIdentity, memory, tabMemory } from "./identity.js";
import { t } from "./strings.js";

/** @typedef {{title: string, text: string, commands?: string[], form?: boolean, reset?: boolean, reload?: boolean, wait?: boolean}} Advice */

/** The whole page without a connection. @param {HTMLElement} app */
export function showSignIn(app) {
  const state = gateway.state;
  const advice = adviceFor(state);
  if (advice.wait && app.dataset.advice === advice.title) return;
  app.dataset.advice = advice.title;
  const typed = /** @type {HTMLInputElement} */ (h("input", { type: "password", autocomplete: "current-password", spellcheck: "false",
    autocapitalize: "off", "aria-invalid": advice.form && state.refusal && gateway.secret ? "true" : null }));
  const submit = /** @type {HTMLButtonElement} */ (h("button", { class: "btn primary wide", type: "submit" }, t.signin.connect));
  const form = h("form", {
    class: "stack",
    onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      // The answer draws the form anew: what is typed until then would be lost.
      form.setAttribute("aria-busy", "true");
      submit.disabled = typed.readOnly = true;
      fill(submit, t.signin.say.connecting.title);
      gateway.secret = typed.value.trim();
      tabMemory("secret", gateway.secret || null);
      delete app.dataset.advice;
      gateway.connect();
    },
  }, labelled(t.signin.secret, typed, t.signin.secretHelp), submit);
  fill(app, h("main", { class: "signin", id: "main", tabindex: "-1" },
    h("div", { class: "signin-box" },
      h("div", { class: "brand" }, mark(), h("span", {}, t.app.name)),
      h("h1", {}, advice.title),
      h("p", { class: "lead", role: "status" }, advice.text),
      (advice.commands || []).map((text) => command(text)),
      advice.form && form,
      h("div", { class: "row" },
        !advice.form && !advice.reload && button(t.signin.again, () => {
          delete app.dataset.advice;
          gateway.connect();
        }, { kind: "primary", icon: "refresh" }),
        advice.reload && button(t.signin.reload, () => location.reload(), { kind: "primary", icon: "refresh" }),
        advice.reset && button(t.signin.newIdentity, async () => {
          await forgetIdentity();
          delete app.dataset.advice;
          gateway.connect();
        }),
        !advice.form && gateway.secret && button(t.signin.otherSecret, () => {
          gateway.secret = "";
          tabMemory("secret", null);
          memory("device-token", null);
          delete app.dataset.advice;
          gateway.connect();
        })),
      state.refusal && h("details", {}, h("summary", {}, t.signin.details),
        h("pre", { tabindex: "0" }, [state.refusal.code, state.refusal.message, state.refusal.details.code]
          .filter(Boolean).join("\n"))))));
  if (advice.form) typed.focus();
}

/** The strip above a page that has lost its gateway and is coming back. */
export function strip() {
  const { refusal, retryAt, close } = gateway.state;
  const restarting = close?.code === 1012 || close?.code === 1013 || refusal?.code === "UNAVAILABLE";
  return h("div", { class: "strip", role: "status" }, icon("alert"),
    h("span", {}, restarting ? t.signin.restarting : t.signin.lost), retryAt > Date.now() + 1500 &&
    button(t.signin.now, () => gateway.connect(), { kind: "small" }));
}

/** @param {import("./client.js").State} state @returns {Advice} */
function adviceFor(state) {
  const { refusal, reached } = state;
  const [say, code] = [t.signin.say, refusal?.details?.code || refusal?.code || ""];
  const id = refusal?.details?.requestId;
  if (state.phase === "connecting" && !refusal) return { ...say.connecting, wait: true };
  if (!refusal) return reached ? { ...say.dropped, wait: true } : { ...say.offline, commands: ["openclaw gateway status"], wait: true };
  switch (code) {
    case "PAIRING_REQUIRED":
      return { ...say.pairing, commands: ["openclaw devices approve " + (id || "")], wait: true };
    case "AUTH_TOKEN_MISSING":
    case "AUTH_PASSWORD_MISSING":
    case "AUTH_REQUIRED":
      return { ...say.welcome, form: true };
    case "AUTH_TOKEN_MISMATCH":
    case "AUTH_PASSWORD_MISMATCH":
    case "AUTH_UNAUTHORIZED":
      return { ...say.wrong, form: true };
    case "AUTH_DEVICE_TOKEN_MISMATCH":
    case "REVOKED":
      return { ...say.revoked, form: true };
    case "AUTH_RATE_LIMITED":
      return say.limited;
    case "CONTROL_UI_ORIGIN_NOT_ALLOWED":
      return { ...say.origin,
        commands: ["openclaw config set gateway.controlUi.allowedOrigins '[\"" + location.origin + "\"]'"] };
    case "PROTOCOL_MISMATCH":
      return { ...say.version, reload: true };
    case "DEVICE_AUTH_SIGNATURE_EXPIRED":
      return { ...say.clock, commands: ["date"] };
    case "PROXY":
      return { ...say.proxy, commands: ["openclaw config set gateway.trustedProxies '[\"PROXY_ADDRESS\"]'"] };
    case "UNAVAILABLE":
      return { ...say.starting, wait: true };
    default:
      return /^DEVICE|^CONTROL_UI_DEVICE|NOT_PAIRED/.test(code) ? { ...say.device, reset: true }
        : { title: say.other.title, text: refusal.message, commands: ["openclaw doctor"] };
  }
}

/** A socket that never opens does not say why; plain HTTP may. */
export async function whyNot() {
  if (gateway.state.reached || gateway.state.refusal) return;
  try {
    const reply = await fetch(base.replace(/\/.*/, "") + "/healthz", { cache: "no-store" });
    if (reply.status === 403) gateway.state.refusal = /** @type {any} */ ({ code: "PROXY", message: "", details: {} });
  } catch {
    // Nobody is there, which is what the page says already.
  }
}
