// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * A page of a document as a picture: asks again where the server is busy, says why a page cannot be drawn, and marks
 * a text on it.
 */

import { delayAfter, find } from "../lib/page.js";

const TRIES = 8;
const DELAYS = { first: 1_000, longest: 15_000 };
const UNITS = 1000;
const SVG = "http://www.w3.org/2000/svg";

class ParleyPagePicture extends HTMLElement {
  #tries = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #left = new AbortController();

  connectedCallback() {
    this.#left = new AbortController();
    this.#picture.addEventListener("error", this.#failed);
    this.#picture.addEventListener("load", this.#drawn);
    // it may have failed before the scripts were there
    if (this.#picture.complete && this.#picture.currentSrc && !this.#picture.naturalWidth) this.#failed();
    if (this.dataset.marks) this.#mark(this.dataset.marks);
  }

  disconnectedCallback() {
    this.#picture.removeEventListener("error", this.#failed);
    this.#picture.removeEventListener("load", this.#drawn);
    this.#left.abort();
    clearTimeout(this.#timer);
  }

  /** @returns {HTMLImageElement} */
  get #picture() {
    return find(this, "img");
  }

  #drawn = () => {
    this.#tries = 0;
    this.#say("");
  };

  /** A picture does not say why it did not come, so it is asked for once more as data. */
  #failed = async () => {
    let why = this.dataset.textFailed ?? "";
    let again = true;
    try {
      const response = await fetch(this.#picture.currentSrc || this.#picture.src, {
        headers: { Accept: "application/json" },
        signal: this.#left.signal,
      });
      if (!response.ok) {
        const answer = await response.json();
        why = answer.message ?? why;
        again = answer.retryable;
      }
    } catch (error) {
      if (/** @type {Error} */ (error).name === "AbortError") return;
    }
    this.#tries += 1;
    if (!again || this.#tries >= TRIES) return this.#say(why);
    this.#timer = setTimeout(this.#load, delayAfter(this.#tries, DELAYS));
  };

  #load = () => {
    const picture = this.#picture;
    for (const name of ["srcset", "src"]) picture.setAttribute(name, picture.getAttribute(name) ?? "");
  };

  /** @param {string} problem empty where there is none */
  #say(problem) {
    const line = find(this, "[data-problem]");
    line.textContent = problem;
    line.hidden = !problem;
  }

  /** @param {string} url of where the text stands */
  async #mark(url) {
    try {
      const response = await fetch(url, {
        headers: { Accept: "application/json" },
        signal: this.#left.signal,
      });
      if (!response.ok) return; // the picture is there without marks, and the words stand beside it
      const { pages } = await response.json();
      this.#draw(
        pages.find((/** @type {{page: number}} */ page) => String(page.page) === this.dataset.page)?.boxes ??
          [],
      );
    } catch (error) {
      if (/** @type {Error} */ (error).name !== "AbortError") console.info(error);
    }
  }

  /** @param {number[][]} boxes shares of the page: x, y, width, height */
  #draw(boxes) {
    const marks = find(this, "[data-marked]");
    marks.replaceChildren(...boxes.map((box) => {
      const mark = document.createElementNS(SVG, "rect");
      for (const [index, name] of ["x", "y", "width", "height"].entries()) {
        mark.setAttribute(name, String(box[index] * UNITS));
      }
      return mark;
    }));
    if (!boxes.length) return;
    // a frame of its own shows the marked part; the page around it stays where it is
    const frame = this.closest("[data-frame]");
    const place = boxes[0][1] * this.offsetHeight;
    if (frame) frame.scrollTop = Math.max(0, place - frame.clientHeight / 3);
  }
}

customElements.define("parley-page-picture", ParleyPagePicture);
