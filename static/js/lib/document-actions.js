// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** What can be done with one document, from the menu of its row or of its page. */

import { asked, post } from "./asking.js";
import { Menu } from "./menu.js";
import { find } from "./page.js";

export class DocumentActions {
  #root;
  #told;
  #menu;
  /** @type {HTMLElement | null} */
  #about = null;

  /**
   * @param {HTMLElement} root with the menu and its dialogs; its buttons with `data-menu` stand in a `[data-document]`
   * @param {{done: (act: string, document: string) => void, failed: (message: string) => void}} told
   */
  constructor(root, told) {
    this.#root = root;
    this.#told = told;
    this.#menu = new Menu(find(root, "[data-row-menu]"), (item) => this.#chosen(item));
    root.addEventListener("click", (event) => {
      const button = /** @type {Element} */ (event.target).closest("[data-menu]");
      if (button) this.#open(/** @type {HTMLElement} */ (button));
    });
  }

  /** @param {HTMLElement} button */
  #open(button) {
    const about = this.#about = /** @type {HTMLElement} */ (button.closest("[data-document]"));
    const menu = find(this.#root, "[data-row-menu]");
    for (const link of menu.querySelectorAll("[data-to]")) link.href = about.dataset.url + link.dataset.to;
    for (const item of menu.querySelectorAll("[data-if]")) {
      item.hidden = !about.hasAttribute(`data-${item.dataset.if}`);
    }
    this.#menu.open(button);
  }

  /** @param {HTMLElement} item */
  async #chosen(item) {
    const { act } = item.dataset;
    if (!act || !this.#about) return;
    const { name = "", url = "", document: id = "" } = this.#about.dataset;
    const dialog = /** @type {HTMLDialogElement | null} */ (this.#root.querySelector(`[data-dialog=${act}]`));
    const answer = dialog && asked(dialog, { name, text: dialog.dataset.textOne });
    if (act === "rename") this.#offer(name);
    const body = dialog ? await answer : new FormData();
    if (!body) return;
    try {
      await post(`${url}${act}/`, body);
      this.#told.done(act, id);
    } catch (error) {
      this.#told.failed(/** @type {Error} */ (error).message);
    }
  }

  /** @param {string} name to change, without what says its kind */
  #offer(name) {
    const field = find(this.#root, "[data-dialog=rename] [name=name]");
    field.value = name;
    const dot = name.lastIndexOf(".");
    field.setSelectionRange(0, dot > 0 ? dot : name.length);
  }
}
