// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The page of one document: follows what happens to it, and does what its menu offers. */

import { DocumentActions } from "../lib/document-actions.js";
import { delayAfter, find } from "../lib/page.js";
import { patchElement } from "../lib/patch.js";
import { tabSocket } from "../lib/socket.js";

const GATHER = 400;
const DELAYS = { first: 2_000, longest: 30_000 };

class ParleyDocument extends HTMLElement {
  #failures = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  connectedCallback() {
    const socket = tabSocket(this.dataset.socket);
    socket.subscribe(this.#topic);
    socket.addEventListener("document.changed", this.#heard);
    socket.addEventListener("document.removed", this.#heard);
    socket.addEventListener("lost", this.#lost);
    if (!this.querySelector("[data-row-menu]")) return;
    new DocumentActions(this, { done: this.#done, failed: this.#fail });
  }

  disconnectedCallback() {
    const socket = tabSocket();
    socket.unsubscribe(this.#topic);
    socket.removeEventListener("document.changed", this.#heard);
    socket.removeEventListener("document.removed", this.#heard);
    socket.removeEventListener("lost", this.#lost);
    clearTimeout(this.#timer);
  }

  get #topic() {
    return `library:${this.dataset.store}`;
  }

  /** @param {Event} event */
  #heard = (event) => {
    const frame = /** @type {CustomEvent} */ (event).detail;
    if (frame.document === this.dataset.document) this.#look();
  };

  /** @param {Event} event */
  #lost = (event) => {
    if (/** @type {CustomEvent} */ (event).detail.topic === this.#topic) this.#go();
  };

  #look(wait = GATHER) {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#load();
    }, wait);
  }

  /** Brings the page to what it is now; what is the same stays as it is. */
  async #load() {
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (response.status === 404) return this.#go();
      if (!response.ok) throw new Error(String(response.status));
      const template = document.createElement("template");
      template.innerHTML = await response.text();
      this.#failures = 0;
      patchElement(find(this, "[data-live]"), find(template.content, "[data-live]"));
      for (const title of ["title", "h1"]) {
        find(document, title).textContent = find(template.content, title).textContent;
      }
    } catch {
      this.#failures += 1;
      this.#look(delayAfter(this.#failures, DELAYS));
    }
  }

  #go() {
    find(this, "[data-gone]").hidden = false;
    find(this, "[data-live]").hidden = true;
  }

  /** @param {string} act */
  #done = (act) => {
    find(this, "[data-error]").hidden = true;
    if (act === "delete") location.assign(this.dataset.back ?? "");
    else this.#look(0);
  };

  /** @param {string} message of the server; empty where there was no answer */
  #fail = (message) => {
    const error = find(this, "[data-error]");
    error.hidden = false;
    error.textContent = message || (this.dataset.failure ?? "");
  };
}

customElements.define("parley-document", ParleyDocument);
