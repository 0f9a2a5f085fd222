// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * The documents of a vector store as a list that lives: rows change in their place, what is new comes on top of the
 * latest or is counted, and filters, order and pages change the list without leaving the page.
 */

import { DocumentActions } from "../lib/document-actions.js";
import { clickedLink } from "../lib/fragment.js";
import { announce, find } from "../lib/page.js";
import { LiveRows } from "../lib/rows.js";
import { Selection } from "../lib/selection.js";
import { tabSocket } from "../lib/socket.js";

const LINKS = "[data-list] :is([data-go], .pager a, [data-fresh] a)";

class ParleyLibrary extends HTMLElement {
  #rows = new LiveRows(this, (isAnother) => this.#settle(isAnother));
  #loading = new AbortController();
  /** @type {Selection | undefined} */
  #selection;

  connectedCallback() {
    const socket = tabSocket(this.dataset.socket);
    socket.subscribe(this.#topic);
    socket.addEventListener("document.changed", this.#heard);
    socket.addEventListener("document.removed", this.#heard);
    socket.addEventListener("lost", this.#lost);
    document.addEventListener("document.uploaded", this.#heard);
    addEventListener("popstate", this.#back);
    this.addEventListener("click", this.#clicked);
    this.addEventListener("submit", this.#filtered);
    this.addEventListener("change", this.#filtered);
    if (!this.querySelector("[data-row-menu]")) return;
    new DocumentActions(this, { done: this.#done, failed: this.#fail });
    this.#selection = new Selection(this, {
      changed: (documents) => this.#rows.look(documents),
      failed: this.#fail,
    });
  }

  disconnectedCallback() {
    const socket = tabSocket();
    socket.unsubscribe(this.#topic);
    socket.removeEventListener("document.changed", this.#heard);
    socket.removeEventListener("document.removed", this.#heard);
    socket.removeEventListener("lost", this.#lost);
    document.removeEventListener("document.uploaded", this.#heard);
    removeEventListener("popstate", this.#back);
    this.#rows.stop();
  }

  get #topic() {
    return `library:${this.dataset.store}`;
  }

  /** @param {Event} event */
  #heard = (event) => {
    const { document: id, store, state } = /** @type {CustomEvent} */ (event).detail;
    if (store === this.dataset.store) this.#rows.heard(id, state);
  };

  /** @param {Event} event nothing of the store comes any more */
  #lost = (event) => {
    const { topic, message } = /** @type {CustomEvent} */ (event).detail;
    if (topic === this.#topic) this.#say(message || (this.dataset.textLost ?? ""));
  };

  /** @param {boolean} isAnother whether the list is another than the page shows around its rows */
  #settle(isAnother) {
    this.#selection?.show();
    if (isAnother) this.#go(location.href);
  }

  /** @returns {HTMLElement} */
  get #list() {
    return find(this, "[data-list]");
  }

  /** @param {MouseEvent} event */
  #clicked = (event) => {
    const target = /** @type {Element} */ (event.target);
    if (target.closest("[data-dismiss]")) {
      /** @type {HTMLElement} */ (target.closest("[data-outcome]")).hidden = true;
    }
    const link = clickedLink(event, LINKS);
    if (link) this.#go(link.href, { push: true });
  };

  /** @param {Event} event a filter that was sent, or a choice that sends it */
  #filtered = (event) => {
    const form = /** @type {Element} */ (event.target).closest("form");
    if (
      !form?.hasAttribute("data-filter") ||
      event.type === "change" && !(event.target instanceof HTMLSelectElement)
    ) {
      return;
    }
    event.preventDefault();
    const given = [...new FormData(form)].filter(([, value]) => value).map((
      [name, value],
    ) => [name, String(value)]);
    this.#go(`?${new URLSearchParams(given)}`, { push: true });
  };

  #back = () => this.#go(location.href);

  /**
   * Shows another part of the list.
   * @param {string} address
   * @param {{push?: boolean}} [options] whether it is a step to come back from
   */
  async #go(address, { push = false } = {}) {
    this.#loading.abort();
    const { signal } = this.#loading = new AbortController();
    const list = this.#list;
    list.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(address, { headers: { Accept: "text/html" }, signal });
      if (!response.ok) throw new Error(String(response.status));
      const template = document.createElement("template");
      template.innerHTML = await response.text();
      if (push) history.pushState(null, "", address);
      const focused = list.contains(document.activeElement) && selectorOf(document.activeElement);
      list.replaceChildren(...find(template.content, "[data-list]").childNodes);
      this.#rows.forget();
      this.#selection?.show();
      this.#say("");
      if (focused) /** @type {HTMLElement} */ (list.querySelector(focused) ?? list).focus();
      if (push) announce(find(list, "[data-announce]").textContent);
    } catch (error) {
      if (signal.aborted) return;
      this.#fail(/** @type {Error} */ (error).message && "");
    }
    list.removeAttribute("aria-busy");
  }

  /**
   * @param {string} act
   * @param {string} document
   */
  #done = (act, document) => {
    this.#say("");
    if (act === "delete") announce(this.dataset.textDeleted ?? "");
    this.#rows.look([document]);
  };

  /** @param {string} message of the server; empty where there was no answer */
  #fail = (message) => this.#say(message || (this.dataset.textFailed ?? ""));

  /** @param {string} message what went wrong; empty where nothing did */
  #say(message) {
    const error = find(this, "[data-error]");
    error.hidden = !message;
    error.textContent = message;
  }
}

/**
 * What finds the like of an element in a list that was made anew.
 * @param {Element | null} focused
 * @returns {string}
 */
function selectorOf(focused) {
  const column = focused?.closest("th[data-column]")?.getAttribute("data-column");
  if (focused?.id) return `#${focused.id}`;
  if (column) return `th[data-column=${column}] a`;
  if (focused?.matches(".tabs__tab")) return `.tabs__tab[data-state="${focused.getAttribute("data-state")}"]`;
  return `.pager a[rel=${focused?.getAttribute("rel") || "none"}]`;
}

customElements.define("parley-library", ParleyLibrary);
