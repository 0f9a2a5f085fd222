// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** How far a store is on its way to another index: the same part of the page, sent again as it goes on. */

import { announce, element, find } from "../lib/page.js";
import { tabSocket } from "../lib/socket.js";

class ParleyReindexing extends HTMLElement {
  connectedCallback() {
    const socket = tabSocket(this.dataset.socket);
    socket.subscribe(this.#topic);
    socket.addEventListener("reindexing.changed", this.#changed);
  }

  disconnectedCallback() {
    const socket = tabSocket();
    socket.unsubscribe(this.#topic);
    socket.removeEventListener("reindexing.changed", this.#changed);
  }

  get #topic() {
    return `library:${this.dataset.store}`;
  }

  /** @param {Event} event */
  #changed = (event) => {
    const { store, state, html } = /** @type {CustomEvent} */ (event).detail;
    if (store !== this.dataset.store) return;
    const progress = element(html);
    find(this, "[data-progress]").replaceWith(progress);
    if (state === this.dataset.state) return;
    this.dataset.state = state;
    this.toggleAttribute("data-changed", true);
    announce(find(progress, "p").textContent ?? "");
  };
}

customElements.define("parley-reindexing", ParleyReindexing);
