// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Keeps the rows of a list of documents as they are on the server. A frame only says that a document changed: what its
 * row shows depends on who looks, so rows are asked for, many at once.
 */

import { Arrivals } from "./arrivals.js";
import { delayAfter, element, find } from "./page.js";
import { patchElement } from "./patch.js";

// Rows are asked for a while after the first of them changed, so that many come together.
const GATHER = 300;
const PAUSE = 1_200;
const AT_ONCE = 50;
const DELAYS = { first: 2_000, longest: 30_000 };

export class LiveRows {
  #root;
  #changes;
  /** @type {Map<string, string>} documents to ask for, with the state they are said to be in */
  #changed = new Map();
  /** @type {Map<string, string>} documents that are on another page of the list, as they were last */
  #elsewhere = new Map();
  #fresh = new Set();
  #failures = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #arrivals;

  /**
   * @param {HTMLElement} root with `[data-list]`; its `data-rows` is where rows are asked for
   * @param {(isAnother: boolean) => void} changes told after each change; `isAnother` where the whole list has to be
   *   shown anew
   */
  constructor(root, changes) {
    this.#root = root;
    this.#changes = changes;
    const { textReady = "", textNotRead = "" } = root.dataset;
    this.#arrivals = new Arrivals({ ready: textReady, failed: textNotRead });
  }

  /** The list is another one now. */
  forget() {
    this.#elsewhere.clear();
    this.#fresh.clear();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  /** @returns {HTMLElement} */
  get #rows() {
    return find(this.#root, "[data-rows]");
  }

  /**
   * @param {string} id
   * @returns {HTMLElement | null}
   */
  #shown(id) {
    return this.#rows.querySelector(`[data-document="${id}"]`);
  }

  /**
   * Somebody says that a document changed, or is gone (without a state). What is shown may have another name or content.
   * @param {string} id
   * @param {string} [state]
   */
  heard(id, state = "") {
    if (this.#elsewhere.get(id) !== state) this.look([id], state);
  }

  /**
   * Asks for documents as they are now, soon.
   * @param {string[]} documents
   * @param {string} [state]
   */
  look(documents, state = "") {
    for (const id of documents) this.#changed.set(id, state);
    this.#timer ??= setTimeout(() => this.#ask(), GATHER);
  }

  async #ask() {
    const asked = [...this.#changed].slice(0, AT_ONCE);
    for (const [id] of asked) this.#changed.delete(id);
    const query = new URLSearchParams(location.search);
    for (const [id] of asked) query.append("id", id);
    try {
      const response = await fetch(`${this.#root.dataset.rows}?${query}`, {
        headers: { Accept: "application/json" },
      });
      if (!response.ok) throw new Error(String(response.status));
      this.#show(await response.json(), asked);
      this.#failures = 0;
    } catch {
      for (const [id, state] of asked) if (!this.#changed.has(id)) this.#changed.set(id, state);
      this.#failures += 1;
    }
    const wait = this.#failures ? delayAfter(this.#failures, DELAYS) : PAUSE;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#changed.size) this.#ask();
    }, wait);
  }

  /**
   * @param {{rows: {document: string, html: string, matches: boolean}[], counts: string, count: number}} answer
   * @param {[string, string][]} asked
   */
  #show({ rows, counts, count }, asked) {
    const there = new Map(rows.map((row) => [row.document, row]));
    for (const [id, state] of asked) {
      const shown = this.#shown(id);
      const row = there.get(id);
      this.#elsewhere.delete(id);
      if (!row) shown && this.#remove(shown);
      else if (shown) this.#change(shown, element(row.html));
      else if (!row.matches || !this.#add(element(row.html))) this.#elsewhere.set(id, state);
    }
    const summary = this.#root.querySelector("[data-counts]");
    if (summary) patchElement(summary, element(counts));
    const isEmpty = !this.#rows.childElementCount;
    find(this.#root, "table").hidden = isEmpty;
    find(this.#root, "[data-empty]").hidden = !isEmpty;
    // the page was emptied, or the first document has come: what is around the rows is another then
    this.#changes(count > 0 && (isEmpty || !summary));
  }

  /**
   * @param {HTMLElement} shown
   * @param {HTMLElement} fresh
   */
  #change(shown, fresh) {
    const { group = "", name = "" } = fresh.dataset;
    if (shown.dataset.group !== group) this.#arrivals.add(group, name);
    patchElement(shown, fresh);
  }

  /**
   * Puts a row where it belongs in a list that begins with the latest; elsewhere what is new is only counted.
   * @param {HTMLElement} fresh
   * @returns {boolean} whether it is shown now
   */
  #add(fresh) {
    const rows = this.#rows;
    const added = Number(fresh.dataset.added);
    if (!rows.hasAttribute("data-takes-new")) {
      if (added > Number(rows.dataset.since)) this.#count(fresh.dataset.document ?? "");
      return false;
    }
    const older = [...rows.children].find((row) =>
      Number(/** @type {HTMLElement} */ (row).dataset.added) < added
    );
    if (!older && rows.hasAttribute("data-goes-on")) return false;
    rows.insertBefore(fresh, older ?? null);
    return true;
  }

  /** @param {string} id of a document that came after the list was made */
  #count(id) {
    this.#fresh.add(id);
    const sign = find(this.#root, "[data-fresh]");
    sign.hidden = false;
    find(sign, "[data-number]").textContent = String(this.#fresh.size);
  }

  /** @param {HTMLElement} row */
  #remove(row) {
    const hadFocus = row.contains(document.activeElement);
    const near = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    if (!hadFocus) return;
    const next = near?.querySelector("[data-menu]") ?? near?.querySelector("a") ??
      find(this.#root, "[data-list]");
    /** @type {HTMLElement} */ (next).focus();
  }
}
