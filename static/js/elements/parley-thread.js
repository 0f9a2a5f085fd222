// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * The scrolling list of turns. It stays where the reader put it, and follows what is written only while the reader is
 * at its end. Earlier turns are loaded in front without moving what is in view.
 */

import { clickedLink, fetchPart } from "../lib/fragment.js";
import { find } from "../lib/page.js";

const AT_END = 48;

export class ParleyThread extends HTMLElement {
  #following = true;
  #top = 0;
  #height = 0;
  /** @type {ResizeObserver | null} */
  #observer = null;

  connectedCallback() {
    this.addEventListener("scroll", this.#scrolled, { passive: true });
    this.addEventListener("click", this.#clicked);
    this.#observer = new ResizeObserver(() => this.#settle());
    this.#observer.observe(this);
    this.#observer.observe(this.turns);
    // a reload lands at the end, unless the address names a turn
    this.#following = this.turns.childElementCount > 0 && !location.hash;
    this.#settle();
  }

  disconnectedCallback() {
    this.#observer?.disconnect();
    this.removeEventListener("scroll", this.#scrolled);
    this.removeEventListener("click", this.#clicked);
  }

  /** @returns {HTMLElement} */
  get turns() {
    return find(this, "[data-turns]");
  }

  /** Goes to the end and stays there. */
  follow() {
    this.#following = true;
    this.#settle();
  }

  /**
   * Shows a new turn behind its parent; what followed there goes. The focus does not get lost with it.
   * @param {string | null} parent where it is not shown, neither is the turn: it belongs to another branch
   * @param {HTMLElement} turn
   */
  branch(parent, turn) {
    const stored = [
      .../** @type {NodeListOf<HTMLElement>} */ (this.querySelectorAll("parley-turn[data-turn]")),
    ];
    const index = parent ? stored.findIndex((shown) => shown.dataset.turn === parent) : -1;
    if (parent && index < 0) return;
    if (!parent) this.querySelector("[data-older]")?.remove();
    const gone = stored.slice(index + 1);
    const focused = gone.some((shown) => shown.contains(document.activeElement));
    for (const shown of gone) shown.remove();
    this.turns.append(turn);
    if (!focused) return;
    turn.tabIndex = -1;
    turn.focus({ preventScroll: true });
  }

  get #distance() {
    return this.scrollHeight - this.clientHeight - this.scrollTop;
  }

  #scrolled = () => {
    // what was written since the thread went to its end is no sign that the reader left it
    const upwards = this.scrollTop < this.#top && this.scrollHeight >= this.#height;
    if (this.#distance < AT_END) this.#following = true;
    else if (upwards) this.#following = false;
    this.#note();
    this.#tell();
  };

  #settle() {
    if (this.#following) this.scrollTop = this.scrollHeight;
    this.#note();
    this.#tell();
  }

  #note() {
    this.#top = this.scrollTop;
    this.#height = this.scrollHeight;
  }

  #tell() {
    const away = !this.#following && this.#distance > AT_END && this.turns.childElementCount > 0;
    this.dispatchEvent(new CustomEvent("parley:away", { bubbles: true, detail: away }));
  }

  /** @param {MouseEvent} event */
  #clicked = async (event) => {
    const link = clickedLink(event, "[data-older]");
    const part = link && await fetchPart(link, "[data-turns]");
    if (!part) return;
    const first = /** @type {HTMLElement | null} */ (part.querySelector("parley-turn"));
    const height = this.scrollHeight;
    const top = this.scrollTop;
    link.replaceWith(...part.childNodes);
    this.scrollTop = top + this.scrollHeight - height;
    first?.setAttribute("tabindex", "-1");
    first?.focus({ preventScroll: true });
  };
}

customElements.define("parley-thread", ParleyThread);
