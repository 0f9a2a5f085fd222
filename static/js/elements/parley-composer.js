// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Where a message is written. It says `parley:send` {text, files, chips} and `parley:stop`; it keeps the text until
 * the message is in safe hands, and a draft of it for this tab.
 */

import { acceptDrops, onPick } from "../lib/drops.js";
import { gatherDrop, gatherFiles, pastedFiles } from "../lib/gather.js";
import { find } from "../lib/page.js";
import { documentAction, uploadInto } from "../lib/upload.js";
import { targetOf } from "../lib/uploading.js";

const NEAR_THE_LIMIT = 0.9;

export class ParleyComposer extends HTMLElement {
  #limits = { chars: 0, bytes: 0, files: 0 };
  #keptAs = "";

  connectedCallback() {
    const { maxChars, maxBytes, maxFiles } = this.dataset;
    this.#limits = { chars: Number(maxChars), bytes: Number(maxBytes), files: Number(maxFiles) };
    find(this, "[data-form]").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#send();
    });
    const text = this.#text;
    text.addEventListener("input", () => this.#typed());
    text.addEventListener("keydown", (event) => this.#key(event));
    text.addEventListener("paste", (event) => this.#pasted(event));
    onPick(find(this, "[data-pick]"), (files) => this.#addFiles(files));
    find(this, "[data-stop]").addEventListener("click", () => this.#stop());
    this.#files.addEventListener("click", (event) => this.#fileClicked(event));
    acceptDrops(
      find(this, "[data-veil]"),
      async (dropped) => this.#add(await gatherDrop(dropped, this.#room)),
    );
    this.#keptAs = this.#draftKey;
    if (!text.value) text.value = sessionStorage.getItem(this.#keptAs) ?? "";
    this.#typed();
  }

  /** @returns {HTMLTextAreaElement} */
  get #text() {
    return find(this, "textarea");
  }

  /** @returns {HTMLElement} */
  get #files() {
    return find(this, "[data-files]");
  }

  get #draftKey() {
    return `parley.draft.${location.pathname}`;
  }

  /** @param {boolean} running whether there is an answer to stop */
  set running(running) {
    find(this, "[data-stop]").hidden = !running;
  }

  /**
   * Puts words into the field: a starter, or a message taken back.
   * @param {string} text
   */
  fill(text) {
    const written = this.#text.value;
    this.#text.value = written && written !== text ? `${written}\n${text}` : text;
    this.#typed();
    this.#text.focus();
  }

  /** @param {Iterable<HTMLElement>} chips of documents that come back with a message */
  addChips(chips) {
    this.#files.append(...chips);
  }

  /** @param {string} message empty hides it */
  showError(message) {
    const error = find(this, "[data-error]");
    error.textContent = message;
    error.hidden = !message;
  }

  /** @param {string} text to send now; what is being written stays where it is */
  submit(text) {
    const written = this.#text.value;
    this.#text.value = text;
    this.#send();
    if (written) this.fill(written);
  }

  #send() {
    const text = this.#text.value.trim();
    const chips = [
      .../** @type {NodeListOf<HTMLElement>} */ (this.#files.querySelectorAll("[data-document]")),
    ];
    if (this.#files.querySelector('[data-state="uploading"]')) {
      return this.showError(this.dataset.textUploading ?? "");
    }
    if (text.length > this.#limits.chars) return this.showError(this.dataset.textTooLong ?? "");
    if (!text) return;
    this.showError("");
    const files = chips.map((chip) => chip.dataset.document ?? "");
    const sending = new CustomEvent("parley:send", { bubbles: true, detail: { text, files, chips } });
    this.dispatchEvent(sending);
    this.#text.value = "";
    this.#files.replaceChildren();
    this.#typed();
    this.#text.focus();
  }

  #stop() {
    this.dispatchEvent(new CustomEvent("parley:stop", { bubbles: true }));
    this.#text.focus();
  }

  #typed() {
    const text = this.#text;
    const length = text.value.length;
    this.#keep();
    find(this, "[data-send]").disabled = !text.value.trim();
    const hint = find(this, "[data-hint]");
    const near = length > this.#limits.chars * NEAR_THE_LIMIT;
    hint.classList.toggle("composer__hint--over", length > this.#limits.chars);
    find(hint, "[data-keys]").hidden = near;
    let count = hint.querySelector("[data-count]");
    if (!count) {
      count = document.createElement("span");
      count.setAttribute("data-count", "");
      hint.append(count);
    }
    count.textContent = near ? `${length.toLocaleString()} / ${this.#limits.chars.toLocaleString()}` : "";
    if (!CSS.supports("field-sizing", "content")) {
      text.style.blockSize = "auto";
      text.style.blockSize = `${text.scrollHeight}px`;
    }
  }

  /** The conversation has got an address of its own: the draft moves there. */
  arrived() {
    this.#keep();
  }

  #keep() {
    const draft = this.#text.value;
    if (this.#keptAs !== this.#draftKey) sessionStorage.removeItem(this.#keptAs);
    this.#keptAs = this.#draftKey;
    if (draft) sessionStorage.setItem(this.#keptAs, draft);
    else sessionStorage.removeItem(this.#keptAs);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // while an input method composes, Enter belongs to it
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
      event.preventDefault();
      this.#send();
    }
  }

  /** @param {ClipboardEvent} event */
  #pasted(event) {
    const files = pastedFiles(event, this.dataset.textPasted ?? "");
    if (files.length) this.#addFiles(files);
  }

  /** How many files the message can still take. */
  get #room() {
    return Math.max(0, this.#limits.files - this.#files.childElementCount);
  }

  /** @param {Iterable<File>} files */
  #addFiles(files) {
    this.#add(gatherFiles(files, this.#room));
  }

  /** @param {import("../lib/gather.js").Gathered} gathered */
  #add({ found, hidden, more }) {
    const tooBig = found.filter(({ file }) => file.size > this.#limits.bytes).map(({ file }) => file.name);
    const problems = tooBig.map((name) => `${name}: ${this.dataset.textTooBig ?? ""}`);
    if (more) problems.push(this.dataset.textTooMany ?? "");
    if (hidden) problems.push(this.dataset.textHidden ?? "");
    const target = targetOf(this, { assistant: this.dataset.assistant ?? "" });
    for (const one of found.filter(({ file }) => file.size <= this.#limits.bytes)) {
      uploadInto(this.#files, one, target, () => {
        this.dispatchEvent(new CustomEvent("parley:files", { bubbles: true }));
      });
    }
    this.showError(problems.join(" "));
    this.#text.focus();
  }

  /** @param {MouseEvent} event */
  async #fileClicked(event) {
    const button = /** @type {HTMLElement | null} */ (
      /** @type {Element} */ (event.target).closest("[data-document-action]")
    );
    if (button) this.showError(await documentAction(button));
  }
}

customElements.define("parley-composer", ParleyComposer);
