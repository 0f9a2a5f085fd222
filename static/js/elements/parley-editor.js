// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Changes a message where it stands. Says `parley:edit` {turn, clientId, text, files, failed}; `files` is left out where
 * they stay as they are. It keeps what was written until the changed message is in its place.
 */

import { find, fromTemplate, uuid } from "../lib/page.js";

export class ParleyEditor extends HTMLElement {
  // sent again after a lost answer, it is the same change
  #clientId = uuid();
  #sent = "";
  #given = 0;

  connectedCallback() {
    this.addEventListener("click", this.#clicked);
    this.addEventListener("keydown", this.#key);
    this.addEventListener("input", this.#typed);
    this.addEventListener("submit", this.#submitted);
  }

  disconnectedCallback() {
    this.removeEventListener("click", this.#clicked);
    this.removeEventListener("keydown", this.#key);
    this.removeEventListener("input", this.#typed);
    this.removeEventListener("submit", this.#submitted);
  }

  /**
   * Opens an editor in the place of a turn's message, or goes to the one that is open.
   * @param {HTMLElement} turn
   */
  static open(turn) {
    const question = find(turn, ".question");
    const open = /** @type {ParleyEditor | null} */ (question.querySelector("parley-editor"));
    if (open) return open.#text.focus();
    const editor = /** @type {ParleyEditor} */ (fromTemplate("message-editor"));
    question.toggleAttribute("data-editing", true);
    question.append(editor);
    editor.#fill(question);
  }

  /** @returns {HTMLTextAreaElement} */
  get #text() {
    return find(this, "textarea");
  }

  /** @returns {HTMLElement} */
  get #question() {
    return /** @type {HTMLElement} */ (this.closest(".question"));
  }

  /** @returns {string[]} */
  get #files() {
    const chips = /** @type {NodeListOf<HTMLElement>} */ (this.querySelectorAll("[data-document]"));
    return [...chips].map((chip) => chip.dataset.document ?? "");
  }

  /** @param {HTMLElement} question */
  #fill(question) {
    const text = this.#text;
    text.value = find(question, "[data-source]").content.textContent;
    for (const chip of question.querySelectorAll('.question__files > :not([data-state="gone"])')) {
      const copy = /** @type {HTMLElement} */ (chip.cloneNode(true));
      copy.querySelector(".document__actions")?.remove();
      copy.append(fromTemplate("file-discard"));
      find(this, "[data-files]").append(copy);
    }
    this.#given = this.#files.length;
    text.focus();
    text.setSelectionRange(text.value.length, text.value.length);
    this.#typed();
  }

  #send() {
    const text = this.#text.value.trim();
    if (!text || this.hasAttribute("aria-busy")) return;
    const files = this.#files;
    const changed = files.length < this.#given;
    const written = JSON.stringify([text, files]);
    if (this.#sent && this.#sent !== written) this.#clientId = uuid();
    this.#sent = written;
    this.#busy(true);
    this.#error("");
    const detail = {
      turn: /** @type {HTMLElement} */ (this.closest("[data-turn]")).dataset.turn,
      clientId: this.#clientId,
      text,
      files: changed ? files : undefined,
      failed: this.#failed,
    };
    this.dispatchEvent(new CustomEvent("parley:edit", { bubbles: true, detail }));
  }

  /** @param {string} message empty where there was no connection */
  #failed = (message) => {
    this.#busy(false);
    this.#error(message || (find(this, "[data-form]").dataset.textDisconnected ?? ""));
    this.#text.focus();
  };

  /** @param {boolean} busy */
  #busy(busy) {
    this.toggleAttribute("aria-busy", busy);
    find(this, "[data-send]").setAttribute("aria-disabled", String(busy));
  }

  /** @param {string} message */
  #error(message) {
    const error = find(this, "[data-error]");
    error.textContent = message;
    error.hidden = !message;
  }

  #cancel() {
    const question = this.#question;
    this.remove();
    question.removeAttribute("data-editing");
    find(question, "[data-edit]").focus();
  }

  #typed = () => {
    const text = this.#text;
    find(this, "[data-send]").disabled = !text.value.trim();
    if (!CSS.supports("field-sizing", "content")) {
      text.style.blockSize = "auto";
      text.style.blockSize = `${text.scrollHeight}px`;
    }
  };

  /** @param {Event} event */
  #submitted = (event) => {
    event.preventDefault();
    this.#send();
  };

  /** @param {Event} event */
  #clicked = (event) => {
    const target = /** @type {Element} */ (event.target);
    if (target.closest("[data-cancel]")) this.#cancel();
    if (target.closest("[data-discard]")) {
      target.closest("[data-document]")?.remove();
      this.#text.focus();
    }
  };

  /** @param {KeyboardEvent} event */
  #key = (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape") {
      // the page's own Escape stops an answer
      event.preventDefault();
      this.#cancel();
    } else if (event.key === "Enter" && !event.shiftKey && event.target === this.#text) {
      event.preventDefault();
      this.#send();
    }
  };
}

customElements.define("parley-editor", ParleyEditor);
