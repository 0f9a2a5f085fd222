// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The rows of a list that are chosen, and what is done to all of them: part by part, with what could not be done. */

import { asked, post } from "./asking.js";
import { announce, find } from "./page.js";

const ROWS = "input[name=id]";

export class Selection {
  #root;
  #changed;
  /** @type {HTMLInputElement | null} */
  #last = null;

  /**
   * @param {HTMLElement} root with the list and its `[data-bulk]` form
   * @param {{changed: (documents: string[]) => void, failed: (message: string) => void}} list `changed` looks at
   *   documents again
   */
  constructor(root, list) {
    this.#root = root;
    this.#changed = list;
    root.addEventListener("click", this.#clicked);
    root.addEventListener("change", () => this.show());
    root.addEventListener("submit", (event) => {
      const form = /** @type {HTMLFormElement} */ (event.target);
      if (!form.hasAttribute("data-bulk")) return;
      event.preventDefault();
      this.#act(form, /** @type {HTMLButtonElement} */ (event.submitter));
    });
    this.show();
  }

  /** @returns {HTMLInputElement[]} */
  get #boxes() {
    return /** @type {HTMLInputElement[]} */ ([...this.#root.querySelectorAll(ROWS)]);
  }

  /** Brings the bar and the box of all rows to what is chosen. */
  show() {
    const boxes = this.#boxes;
    const chosen = boxes.filter((box) => box.checked);
    const bar = /** @type {HTMLElement | null} */ (this.#root.querySelector("[data-bulk]"));
    if (!bar) return;
    const everything = /** @type {HTMLInputElement | null} */ (bar.querySelector("[data-everything]"));
    if (everything && !chosen.length) everything.checked = false;
    const number = everything?.checked ? Number(everything.dataset.count) : chosen.length;
    bar.dataset.chosen = String(number);
    find(bar, "[data-number]").textContent = number.toLocaleString();
    const failed = chosen.some((box) => box.closest("[data-group=failed]"));
    find(bar, "[value=retry]").disabled = !failed && !everything?.checked;
    const all = find(this.#root, "[data-all]");
    all.checked = boxes.length > 0 && chosen.length === boxes.length;
    all.indeterminate = chosen.length > 0 && !all.checked;
  }

  /** @param {MouseEvent} event */
  #clicked = (event) => {
    const box = /** @type {HTMLInputElement} */ (event.target);
    if (box.matches("[data-all]")) {
      for (const each of this.#boxes) each.checked = box.checked;
    } else if (box.matches("[data-clear]")) {
      for (const each of this.#boxes) each.checked = false;
      find(this.#root, "[data-all]").focus();
      this.show();
    } else if (box.matches(ROWS)) {
      if (event.shiftKey && this.#last?.isConnected) this.#choose(this.#last, box);
      this.#last = box;
    }
  };

  /**
   * @param {HTMLInputElement} from
   * @param {HTMLInputElement} to
   */
  #choose(from, to) {
    const boxes = this.#boxes;
    const [first, last] = [boxes.indexOf(from), boxes.indexOf(to)].sort((one, other) => one - other);
    for (const each of boxes.slice(first, last + 1)) each.checked = to.checked;
  }

  /**
   * @param {HTMLFormElement} form
   * @param {HTMLButtonElement} button
   */
  async #act(form, button) {
    const number = Number(form.dataset.chosen);
    const dialog = /** @type {HTMLDialogElement | null} */ (
      this.#root.querySelector(`[data-dialog=${button.value}]`)
    );
    const name = (form.dataset.textMany ?? "").replace("{number}", number.toLocaleString());
    const given = dialog && await asked(dialog, { name, text: dialog.dataset.textOne });
    if (dialog && !given) return;
    const body = new FormData(form, button);
    for (const [field, value] of given ?? []) body.set(field, value);
    const chosen = body.getAll("id").map(String);
    /** @type {{done: number, refused: {name: string, message: string}[]}} */
    const sum = { done: 0, refused: [] };
    form.setAttribute("aria-busy", "true");
    try {
      for (let left = 1; left;) {
        // not `form.action`: its buttons have that name
        const answer = await post(form.getAttribute("action") ?? "", body);
        sum.done += answer.done;
        sum.refused.push(...answer.refused);
        left = answer.left;
        if (answer.after) body.set("after", answer.after);
        const progress = form.dataset.textProgress ?? "";
        const looked = sum.done + sum.refused.length;
        find(form, "[data-number]").textContent = progress
          .replace("{done}", looked.toLocaleString())
          .replace("{number}", (looked + left).toLocaleString());
      }
    } catch (error) {
      this.#changed.failed(/** @type {Error} */ (error).message);
    }
    form.removeAttribute("aria-busy");
    for (const box of this.#boxes) box.checked = false;
    this.show();
    const { textDeleting, textMoving, textSetting, textRetrying } = form.dataset;
    const told = { delete: textDeleting, move: textMoving, attributes: textSetting }[button.value] ??
      textRetrying;
    this.#tell((told ?? "").replace("{number}", sum.done.toLocaleString()), sum.refused);
    this.#changed.changed(chosen);
  }

  /**
   * @param {string} text
   * @param {{name: string, message: string}[]} refused
   */
  #tell(text, refused) {
    const outcome = find(this.#root, "[data-outcome]");
    find(outcome, "[data-text]").textContent = text;
    const lines = refused.map(({ name, message }) => {
      const line = document.createElement("li");
      const title = document.createElement("b");
      title.dir = "auto";
      title.textContent = name;
      line.append(title, " ", message);
      return line;
    });
    find(outcome, "[data-refused]").replaceChildren(...lines);
    outcome.hidden = false;
    announce(text);
  }
}
