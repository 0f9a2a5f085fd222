// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The list of conversations: live across tabs, the latest on top, earlier ones on demand. */

import { clickedLink, fetchPart } from "../lib/fragment.js";
import { element, find } from "../lib/page.js";
import { tabSocket } from "../lib/socket.js";

class ParleyConversations extends HTMLElement {
  connectedCallback() {
    const socket = tabSocket();
    socket.subscribe("feed");
    socket.addEventListener("conversation.changed", this.#changed);
    this.addEventListener("click", this.#clicked);
  }

  disconnectedCallback() {
    tabSocket().removeEventListener("conversation.changed", this.#changed);
    this.removeEventListener("click", this.#clicked);
  }

  /** @returns {HTMLElement} */
  get #list() {
    return find(this, "[data-entries]");
  }

  /** @param {Event} event */
  #changed = (event) => {
    const frame = /** @type {CustomEvent} */ (event).detail;
    const entry = element(frame.html);
    const known = this.#list.querySelector(`[data-conversation="${frame.conversation}"]`);
    const focused = known?.contains(document.activeElement) ?? false;
    const open = document.querySelector("parley-chat")?.getAttribute("data-conversation");
    if (frame.conversation === open) {
      find(entry, "a").setAttribute("aria-current", "page");
      this.#retitle(find(entry, ".entry__title").textContent);
    }
    known?.remove();
    const updated = entry.dataset.updated ?? "";
    const next = [...this.#list.children].find((item) =>
      (item.getAttribute("data-updated") ?? "") <= updated
    );
    if (next) next.before(entry);
    else this.#list.append(entry);
    if (focused) find(entry, "a").focus();
    find(this, "[data-empty]").hidden = true;
  };

  /** @param {string} title */
  #retitle(title) {
    find(document, "[data-title]").textContent = title;
    document.title = `${title} · Parley`;
  }

  /** @param {MouseEvent} event */
  #clicked = async (event) => {
    const link = clickedLink(event, "[data-more] a");
    const part = link && await fetchPart(link, "[data-entries]");
    if (!part) return;
    const first = part.querySelector("a");
    link.closest("li")?.replaceWith(...part.childNodes);
    first?.focus();
  };
}

customElements.define("parley-conversations", ParleyConversations);
