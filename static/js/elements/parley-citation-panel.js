// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The side panel with a cited passage. Opens from any citation on the page, gives the focus back when it closes. */

import { clickedLink } from "../lib/fragment.js";
import { find } from "../lib/page.js";

/**
 * Wait until a turn is no longer live.
 *
 * @param {Element} turn
 * @param {AbortSignal} signal
 * @returns {Promise<void>} rejected when it is aborted
 */
function ended(turn, signal) {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (turn.hasAttribute("data-live")) return;
      observer.disconnect();
      resolve();
    };
    const observer = new MutationObserver(look);
    observer.observe(turn, { attributeFilter: ["data-live"] });
    signal.addEventListener("abort", () => {
      observer.disconnect();
      reject(signal.reason);
    });
    look();
  });
}

class ParleyCitationPanel extends HTMLElement {
  /** @type {HTMLElement | null} */
  #opener = null;
  /** @type {AbortController | null} */
  #loading = null;

  connectedCallback() {
    document.addEventListener("click", this.#clicked);
    document.addEventListener("keydown", this.#key);
    find(this, "[data-close]").addEventListener("click", () => this.close());
  }

  disconnectedCallback() {
    document.removeEventListener("click", this.#clicked);
    document.removeEventListener("keydown", this.#key);
  }

  /** @param {HTMLAnchorElement} link */
  async open(link) {
    this.#mark(false);
    this.#opener = link;
    this.#mark(true);
    this.#loading?.abort();
    this.#loading = new AbortController();
    const body = find(this, "[data-body]");
    body.setAttribute("aria-busy", "true");
    this.hidden = false;
    find(this, "#panel-title").focus();
    try {
      const response = await this.#ask(link, this.#loading.signal);
      if (!response.ok) throw new Error(String(response.status));
      body.innerHTML = await response.text();
      body.scrollTop = 0;
      // where there is a picture of the page, it shows the place
      if (!body.querySelector("parley-page-picture")) {
        body.querySelector("mark")?.scrollIntoView({ block: "center" });
      }
    } catch (error) {
      if (/** @type {Error} */ (error).name === "AbortError") return;
      const notice = document.createElement("p");
      notice.className = "notice notice--error";
      notice.textContent = this.dataset.textFailed ?? "";
      body.replaceChildren(notice);
    }
    body.removeAttribute("aria-busy");
  }

  /**
   * A citation in an answer that still grows may be seen before it is stored, which it is when the answer ends.
   *
   * @param {HTMLAnchorElement} link
   * @param {AbortSignal} signal
   */
  async #ask(link, signal) {
    const turn = link.closest("parley-turn");
    const grows = turn?.hasAttribute("data-live");
    const options = { headers: { Accept: "text/html" }, signal };
    const response = await fetch(link.href, options);
    if (response.status !== 404 || !turn || !grows) return response;
    await ended(turn, signal);
    return fetch(link.href, options);
  }

  close() {
    this.#loading?.abort();
    this.hidden = true;
    this.#mark(false);
    this.#opener?.focus();
    this.#opener = null;
  }

  /** @param {boolean} expanded */
  #mark(expanded) {
    if (expanded) this.#opener?.setAttribute("aria-expanded", "true");
    else this.#opener?.removeAttribute("aria-expanded");
  }

  /** @param {MouseEvent} event */
  #clicked = (event) => {
    const link = clickedLink(event, "a[data-citation]");
    if (link) this.open(link);
  };

  /** @param {KeyboardEvent} event */
  #key = (event) => {
    if (event.key !== "Escape" || this.hidden || event.defaultPrevented) return;
    event.preventDefault();
    this.close();
  };
}

customElements.define("parley-citation-panel", ParleyCitationPanel);
