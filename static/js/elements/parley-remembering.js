// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * The sign that an assistant remembers, and the switch of this conversation. Before the first message the choice goes
 * with that message; a choice that could not be sent goes out as soon as there is a connection, before any message.
 */

import { find } from "../lib/page.js";
import { RefusedError } from "../lib/refusals.js";
import { tabSocket } from "../lib/socket.js";

export class ParleyRemembering extends HTMLElement {
  #socket = tabSocket();
  #isUnsent = false;

  connectedCallback() {
    this.#switch.addEventListener("click", () => this.#choose(!this.usesMemory));
    document.addEventListener("parley:assistant", this.#assistant);
    this.#socket.addEventListener("conversation.memory", this.#told);
    this.#socket.addEventListener("state", this.#send);
  }

  disconnectedCallback() {
    document.removeEventListener("parley:assistant", this.#assistant);
    this.#socket.removeEventListener("conversation.memory", this.#told);
    this.#socket.removeEventListener("state", this.#send);
  }

  /** @returns {HTMLElement} */
  get #switch() {
    return find(this, "[data-switch]");
  }

  /** Whether the person lets this conversation use memory. */
  get usesMemory() {
    return this.#switch.getAttribute("aria-checked") === "true";
  }

  /** The conversation is stored now: with a file it began without a choice, and another tab may have made one. */
  arrived() {
    this.removeAttribute("data-new");
    this.#send();
  }

  /** @param {boolean} uses */
  #choose(uses) {
    this.#isUnsent = true;
    this.#show(uses);
    this.#send();
  }

  #send = async () => {
    if (!this.#isUnsent || this.hasAttribute("data-new") || !this.#socket.isOpen) return;
    this.#isUnsent = false;
    const error = find(this, "[data-error]");
    error.hidden = true;
    const { conversation } = this.dataset;
    const wanted = this.usesMemory;
    try {
      await this.#socket.request({ type: "conversation.memory", conversation, uses_memory: wanted });
    } catch (reason) {
      if (!(reason instanceof RefusedError)) {
        this.#isUnsent = true;
        return;
      }
      error.textContent = reason.message;
      error.hidden = false;
      this.#show(!wanted);
    }
  };

  /** @param {Event} event */
  #told = (event) => {
    const frame = /** @type {CustomEvent} */ (event).detail;
    if (frame.conversation === this.dataset.conversation && !this.#isUnsent) this.#show(frame.uses_memory);
  };

  /** @param {Event} event the person chose whom to talk to */
  #assistant = (event) => {
    this.dataset.memory = /** @type {CustomEvent} */ (event).detail.memory;
    this.hidden = !this.dataset.memory;
    this.#show(this.usesMemory);
  };

  /** @param {boolean} uses */
  #show(uses) {
    this.#switch.setAttribute("aria-checked", String(uses));
    const isOn = uses && this.dataset.memory === "on";
    this.toggleAttribute("data-on", isOn);
    find(this, "[data-label]").textContent = (isOn ? this.dataset.textOn : this.dataset.textOff) ?? "";
  }
}

customElements.define("parley-remembering", ParleyRemembering);
