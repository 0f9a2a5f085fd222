// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Says that there is no connection, or no session any more; silent while all is well. */

import { find } from "../lib/page.js";
import { tabSocket } from "../lib/socket.js";

// a reconnect that succeeds at once is nobody's business
const PATIENCE = 700;

class ParleyConnection extends HTMLElement {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  connectedCallback() {
    tabSocket().addEventListener("state", this.#changed);
  }

  disconnectedCallback() {
    tabSocket().removeEventListener("state", this.#changed);
    clearTimeout(this.#timer);
  }

  /** @param {Event} event */
  #changed = (event) => {
    const state = /** @type {CustomEvent} */ (event).detail;
    clearTimeout(this.#timer);
    if (state === "open") {
      this.hidden = true;
      return;
    }
    if (state === "signed-out") find(this, "[data-text]").textContent = this.dataset.textSignedOut ?? "";
    this.#timer = setTimeout(() => this.hidden = false, PATIENCE);
  };
}

customElements.define("parley-connection", ParleyConnection);
