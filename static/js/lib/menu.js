// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** One menu for many buttons: opened below the button that asks, walked with the arrow keys, left with Escape or Tab. */

import { find } from "./page.js";

const GAP = 4;

export class Menu {
  #menu;

  /**
   * @param {HTMLElement} menu a popover with `role=menuitem` in it
   * @param {(item: HTMLElement) => void} choose called with the item that was chosen, once the menu has closed
   */
  constructor(menu, choose) {
    this.#menu = menu;
    menu.addEventListener("keydown", this.#key);
    menu.addEventListener("click", (event) => {
      const item =
        /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[role=menuitem]"));
      if (!item) return;
      menu.hidePopover();
      choose(item);
    });
  }

  /** @param {HTMLElement} button */
  open(button) {
    this.#menu.showPopover();
    const { left, right, top, bottom } = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.#menu;
    const isLeft = getComputedStyle(button).direction === "rtl";
    const x = Math.min(Math.max(GAP, isLeft ? left : right - width), innerWidth - width - GAP);
    const y = bottom + GAP + height > innerHeight ? Math.max(GAP, top - GAP - height) : bottom + GAP;
    this.#menu.style.insetInlineStart = `${isLeft ? innerWidth - x - width : x}px`;
    this.#menu.style.insetBlockStart = `${y}px`;
    find(this.#menu, "[role=menuitem]:not([hidden])").focus();
  }

  /** @param {KeyboardEvent} event */
  #key = (event) => {
    const items =
      /** @type {HTMLElement[]} */ ([...this.#menu.querySelectorAll("[role=menuitem]:not([hidden])")]);
    const now = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const step = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      items.at(step % items.length)?.focus();
    } else if (event.key === "Tab") {
      this.#menu.hidePopover();
    }
  };
}
