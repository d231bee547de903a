/** One key of the configuration as a control, by its schema. */
import { h, select } from "../dom.js";
import { t } from "../strings.js";

/** What stands in for a secret that is set. */
export const STAND_IN = "__OPENCLAW_REDACTED__";

let number = 0;

/**
 * @param {string} path @param {any} schema @param {any} hint @param {any} value
 * @param {(value: any) => void} changed with undefined when the key is to be left to its default
 * @returns {HTMLElement}
 */
export function control(path, schema, hint, value, changed) {
  const id = "k" + ++number;
  const label = hint.label || path.split(".").pop();
  const help = schema.description || hint.help || "";
  const fallback = schema.default === undefined ? "" : typeof schema.default === "object" ? JSON.stringify(schema.default) : String(schema.default);
  /** @type {HTMLElement} */
  let input;
  if (schema.type === "boolean") {
    input = select([{ value: "", label: t.config.default + (fallback ? " (" + (fallback === "true" ? t.common.on : t.common.off) + ")" : "") }, { value: "true", label: t.common.on }, { value: "false", label: t.common.off }],
      value === undefined ? "" : String(value), (text) => changed(text === "" ? undefined : text === "true"), { id });
  } else if (schema.enum) {
    input = select([{ value: "", label: t.config.default + (fallback ? " (" + fallback + ")" : "") }, ...schema.enum.map((/** @type {any} */ one) => String(one))], value === undefined ? "" : String(value),
      (text) => changed(text === "" ? undefined : text), { id });
  } else if (schema.type === "integer" || schema.type === "number") {
    const box = h("input", { id, type: "number", min: schema.minimum, max: schema.maximum, step: schema.type === "integer" ? 1 : "any", placeholder: fallback, value: value ?? "" });
    box.addEventListener("input", () => changed(box.value === "" ? undefined : Number(box.value)));
    input = box;
  } else if (schema.type === "array") {
    const box = h("textarea", { id, rows: "2", placeholder: t.config.perLine, value: Array.isArray(value) ? value.join("\n") : "" });
    box.addEventListener("input", () => changed(box.value.trim() ? box.value.split("\n").map((line) => line.trim()).filter(Boolean) : undefined));
    input = box;
  } else {
    const secret = hint.sensitive === true;
    const shown = value === STAND_IN || (value && typeof value === "object") ? "" : value ?? "";
    const box = h("input", { id, type: secret ? "password" : "text", autocomplete: "off", spellcheck: "false", placeholder: secret && value ? t.config.secretSet : fallback, value: shown });
    box.addEventListener("input", () => changed(box.value === "" ? (secret && value ? value : undefined) : box.value));
    input = box;
  }
  input.setAttribute("aria-describedby", id + "h");
  return h("div", { class: "field" }, h("label", { for: id }, label), input, h("p", { class: "help", id: id + "h" }, h("code", {}, path), help && " · " + help));
}
