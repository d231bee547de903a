/**
 * The line a person writes into: text, slash commands, files, and what to do while a run is under way.
 */
import { gateway } from "../store.js";
import { button, bytes, fill, h, icon, select, toast } from "../dom.js";
import { memory, tabMemory } from "../identity.js";
import { t } from "../strings.js";

/** Commands shown at once. */
const SHOWN = 8;

/** What base64 and the frame around it add. */
const OVERHEAD = 1.4;

/** @param {any} room */
export function composer(room) {
  /** @type {any[]} */
  let files = [];
  let running = false;
  const chips = h("div", { class: "chips" });
  const menu = h("ul", { class: "slash", role: "listbox", id: "slash", hidden: true, "aria-label": t.chat.commands });
  const input = h("textarea", { rows: "1", placeholder: t.chat.placeholder, "aria-label": t.chat.message,
    enterkeyhint: "send", "aria-controls": "slash", "aria-autocomplete": "list" });
  const picker = h("input", { type: "file", multiple: true, hidden: true, "aria-label": t.chat.attach });
  const camera = h("input", { type: "file", accept: "image/*", capture: "environment", hidden: true, "aria-label": t.chat.camera });
  const sender = button(t.chat.send, () => submit(), { icon: "send", bare: true, kind: "primary round" });
  const stopper = button(t.chat.stop, () => room.abort(), { icon: "stop", bare: true, kind: "round" });
  const mode = select([{ value: "steer", label: t.chat.steer }, { value: "followup", label: t.chat.queue }], memory("queue-mode") || "steer",
    (value) => memory("queue-mode", value), { "aria-label": t.chat.whileBusy, class: "mode" });
  const node = h("form", { class: "composer", onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), submit()) },
    chips, menu,
    h("div", { class: "composer-line" },
      button(t.chat.attach, () => picker.click(), { icon: "attach", bare: true }),
      matchMedia("(pointer: coarse)").matches && button(t.chat.camera, () => camera.click(), { icon: "camera", bare: true }),
      input, mode, stopper, sender), picker, camera);

  const grow = () => {
    input.style.height = "auto";
    input.style.height = Math.min(input.scrollHeight, innerHeight * 0.4) + "px";
  };

  async function submit() {
    const text = input.value.trim();
    if (!text && !files.length) return;
    if (!gateway.ready) return toast(t.chat.offline, "bad");
    const sending = files;
    input.value = "";
    files = [];
    draw();
    grow();
    hideMenu();
    try {
      await room.send(text, sending, mode.value);
    } catch {
      // The row says why; the words are given back.
      if (!input.value) input.value = text;
      files = sending;
      draw();
      grow();
    }
  }

  function draw() {
    fill(chips, files.map((file, at) => h("span", { class: "chip" }, file.url ? h("img", { src: file.url, alt: "" }) : icon("file"),
      h("span", {}, file.fileName), h("span", { class: "dim" }, bytes(file.size)),
      button(t.chat.remove + " " + file.fileName, () => (files.splice(at, 1), draw()), { icon: "close", bare: true }))));
  }

  /** @param {Iterable<File>} list */
  async function take(list) {
    const limits = gateway.hello?.policy?.attachments;
    const whole = gateway.hello?.policy?.maxPayload || Infinity;
    for (const file of list) {
      const image = file.type.startsWith("image/");
      const limit = image ? limits?.maxImageBytes : limits?.maxBytes;
      const sum = files.reduce((all, one) => all + one.size, file.size) * OVERHEAD;
      if ((limit && file.size > limit) || sum > whole) {
        toast(t.chat.tooBig(file.name, bytes(Math.min(limit || Infinity, whole / OVERHEAD))), "bad");
        continue;
      }
      const url = await dataUrl(file);
      files.push({ type: image ? "image" : "file", mimeType: file.type || "application/octet-stream", fileName: file.name || t.chat.picture,
        content: url.slice(url.indexOf(",") + 1), size: file.size, url: image ? url : null });
    }
    draw();
  }

  // Slash commands.
  let chosen = 0;
  /** @type {any[]} */
  let offered = [];
  function offer() {
    const match = /^\/([\w-]*)$/.exec(input.value);
    const commands = room.metadata.commands || [];
    offered = match ? commands.filter((/** @type {any} */ one) => one.name.startsWith(match[1].toLowerCase())).slice(0, SHOWN) : [];
    chosen = 0;
    paint();
  }
  function paint() {
    menu.hidden = !offered.length;
    fill(menu, offered.map((one, at) => h("li", { role: "option", id: "slash" + at, "aria-selected": String(at === chosen),
      onmousedown: (/** @type {Event} */ event) => (event.preventDefault(), pick(at)) }, h("b", {}, "/" + one.name), " ", h("span", { class: "dim" }, one.description))));
    if (offered.length) input.setAttribute("aria-activedescendant", "slash" + chosen);
    else input.removeAttribute("aria-activedescendant");
  }
  function hideMenu() {
    offered = [];
    paint();
  }
  /** @param {number} at */
  function pick(at) {
    const one = offered[at];
    input.value = "/" + one.name + (one.acceptsArgs ? " " : "");
    hideMenu();
    input.focus();
  }

  input.addEventListener("input", () => (grow(), offer()));
  input.addEventListener("blur", hideMenu);
  input.addEventListener("keydown", (event) => {
    if (offered.length) {
      const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
      if (step) {
        event.preventDefault();
        chosen = (chosen + step + offered.length) % offered.length;
        return paint();
      }
      if (event.key === "Tab" || (event.key === "Enter" && input.value !== "/" + offered[chosen].name)) {
        event.preventDefault();
        return pick(chosen);
      }
      if (event.key === "Escape") {
        event.stopPropagation();
        return hideMenu();
      }
    }
    const touch = matchMedia("(pointer: coarse)").matches;
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && (!touch || event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      submit();
    }
  });
  input.addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files || [])];
    if (pasted.length) {
      event.preventDefault();
      take(pasted);
    }
  });
  for (const chooser of [picker, camera]) {
    chooser.addEventListener("change", async () => {
      await take(chooser.files || []);
      chooser.value = "";
    });
  }
  const drop = (/** @type {DragEvent} */ event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    node.classList.toggle("over", event.type === "dragover");
    if (event.type === "drop") take(event.dataTransfer.files);
  };
  queueMicrotask(() => ["dragover", "dragleave", "drop"].forEach((name) => room.node.addEventListener(name, drop)));

  const busy = (/** @type {boolean} */ is) => {
    running = is;
    stopper.hidden = !running;
    mode.hidden = !running;
  };
  busy(false);
  return {
    node,
    input,
    busy,
    /** @param {string} text */
    write(text) {
      input.value = text;
      grow();
      input.focus();
    },
    /** What was being written survives a look at another view. */
    keep: () => tabMemory("draft." + room.key, input.value || null),
    restore() {
      input.value = tabMemory("draft." + room.key) || "";
      grow();
    },
  };
}

/** @param {Blob} blob @returns {Promise<string>} */
function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
