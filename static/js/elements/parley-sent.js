// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The dialog that shows what was sent for an answer. It is fetched when somebody asks for it. */

import { clickedLink } from "../lib/fragment.js";
import { find } from "../lib/page.js";

class ParleySent extends HTMLElement {
  /** @type {AbortController | null} */
  #loading = null;

  connectedCallback() {
    document.addEventListener("click", this.#clicked);
    find(this, "[data-close]").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", this.#closed);
    this.#dialog.addEventListener("click", this.#besides);
  }

  disconnectedCallback() {
    document.removeEventListener("click", this.#clicked);
  }

  /** @returns {HTMLDialogElement} */
  get #dialog() {
    return find(this, "dialog");
  }

  /** @param {HTMLAnchorElement} link */
  async open(link) {
    this.#loading?.abort();
    this.#loading = new AbortController();
    const body = find(this, "[data-body]");
    body.replaceChildren();
    body.setAttribute("aria-busy", "true");
    // the browser keeps the focus inside, closes with Escape, and gives the focus back to the link
    this.#dialog.showModal();
    try {
      const response = await fetch(link.href, {
        headers: { Accept: "text/html" },
        signal: this.#loading.signal,
      });
      if (!response.ok || response.redirected) throw new Error(String(response.status));
      body.innerHTML = await response.text();
      body.scrollTop = 0;
    } catch (error) {
      if (/** @type {Error} */ (error).name === "AbortError") return;
      const notice = document.createElement("p");
      notice.className = "notice notice--error";
      notice.textContent = this.dataset.textFailed ?? "";
      body.replaceChildren(notice);
    }
    body.removeAttribute("aria-busy");
  }

  /** @param {MouseEvent} event */
  #clicked = (event) => {
    const link = clickedLink(event, "a[data-sent]");
    if (link) this.open(link);
  };

  /** @param {MouseEvent} event a click on the backdrop is one on the dialog itself */
  #besides = (event) => {
    if (event.target === this.#dialog) this.#dialog.close();
  };

  #closed = () => {
    this.#loading?.abort();
    find(this, "[data-body]").replaceChildren();
  };
}

customElements.define("parley-sent", ParleySent);
