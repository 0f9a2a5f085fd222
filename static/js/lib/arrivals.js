// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Says now and then which documents are done, to people who use a screen reader: many at once in one sentence. */

import { announce } from "./page.js";

const QUIET = 2_500;
const NAMED = 3;

export class Arrivals {
  #texts;
  /** @type {Map<string, string[]>} names by the group they have come to */
  #names = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Record<string, string>} texts sentences with `{names}`, by group; others are not told */
  constructor(texts) {
    this.#texts = texts;
  }

  /**
   * @param {string} group
   * @param {string} name
   */
  add(group, name) {
    if (!this.#texts[group]) return;
    this.#names.set(group, [...this.#names.get(group) ?? [], name]);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell(), QUIET);
  }

  #tell() {
    const sentences = [...this.#names].map(([group, names]) => {
      const more = names.length > NAMED ? ` +${names.length - NAMED}` : "";
      return this.#texts[group].replace("{names}", names.slice(0, NAMED).join(", ") + more);
    });
    this.#names.clear();
    announce(sentences.join(" "));
  }
}
