// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Uploads in parts that were begun and not ended, as the server lists them: a page cannot keep files over a reload, so
 * they go on once the same file is chosen again.
 */

import { onPick } from "./drops.js";
import { csrfToken, find } from "./page.js";

/** @typedef {import("./gather.js").Found} Found */

const BEGUN = "parley.uploads";
// Seconds after its last part in which an upload that this tab knows nothing of may be another tab's.
const FRESH = 60;

/** @returns {string[]} the uploads that this tab has begun */
const remembered = () => JSON.parse(sessionStorage.getItem(BEGUN) ?? "[]");

/** @param {string} url of an upload that this tab has begun */
export function remember(url) {
  const begun = remembered();
  if (!begun.includes(url)) sessionStorage.setItem(BEGUN, JSON.stringify([...begun.slice(-99), url]));
}

export class Unfinished {
  #root;

  /** @param {HTMLElement} root with the lines */
  constructor(root) {
    this.#root = root;
  }

  /** @returns {HTMLElement[]} */
  get #lines() {
    return [.../** @type {NodeListOf<HTMLElement>} */ (this.#root.querySelectorAll("[data-unfinished]"))];
  }

  /**
   * The line of the upload that was begun with this file.
   * @param {Found} found
   * @returns {HTMLElement | null}
   */
  with({ file }) {
    return this.#lines.find(({ dataset }) =>
      dataset.name === file.name && Number(dataset.size) === file.size &&
      Number(dataset.modified) === file.lastModified
    ) ?? null;
  }

  /** @param {(found: Found, line: HTMLElement) => void} take told of a file that was chosen again */
  offer(take) {
    const own = remembered();
    for (const line of this.#lines) {
      const { unfinished = "", age } = line.dataset;
      if (Number(age) < FRESH && !own.includes(unfinished)) {
        line.remove();
        continue;
      }
      onPick(find(line, "[data-resume]"), ([file]) => {
        const fits = this.with({ file, path: "" }) === line;
        find(line, "[data-message]").textContent = fits ? "" : this.#root.dataset.textOtherFile ?? "";
        if (fits) take({ file, path: "" }, line);
      });
      find(line, "[data-discard]").addEventListener("click", () => this.#discard(line));
      line.hidden = false;
    }
  }

  /** @param {HTMLElement} line */
  async #discard(line) {
    const headers = { "X-CSRFToken": csrfToken(), "Tus-Resumable": "1.0.0" };
    const { unfinished = "" } = line.dataset;
    const response = await fetch(unfinished, { method: "DELETE", headers }).catch(() => null);
    if (response?.ok || response?.status === 404) line.remove();
  }
}
