// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * One turn: takes the frames of its running answer, in the order that epoch and number give them.
 *
 * Says what a person wants with events: `parley:retry`.
 */

import { copyText, find, showCopied } from "../lib/page.js";
import { patch, patchElement } from "../lib/patch.js";

/** @typedef {import("../lib/socket.js").Frame} Frame */

export class ParleyTurn extends HTMLElement {
  #epoch = -1;
  #number = -1;
  /** @type {string[]} */
  #blocks = [];

  connectedCallback() {
    this.addEventListener("click", this.#clicked);
  }

  disconnectedCallback() {
    this.removeEventListener("click", this.#clicked);
  }

  get isLive() {
    return this.hasAttribute("data-live");
  }

  get turnId() {
    return this.dataset.turn ?? "";
  }

  /** @param {Frame} frame turn.snapshot */
  snapshot(frame) {
    if (frame.epoch < this.#epoch) return;
    this.#epoch = frame.epoch;
    this.#number = frame.number;
    this.#blocks = frame.blocks;
    this.#show(0);
  }

  /** @param {Frame} frame turn.blocks */
  blocks(frame) {
    if (frame.epoch !== this.#epoch || frame.number <= this.#number || frame.first > this.#blocks.length) {
      return;
    }
    this.#number = frame.number;
    const blocks = this.#blocks.slice(0, frame.first);
    for (const [index, { keep, html }] of frame.blocks.entries()) {
      blocks.push((this.#blocks[frame.first + index] ?? "").slice(0, keep) + html);
    }
    this.#blocks = blocks;
    this.#show(frame.first);
  }

  /** @param {Frame} frame turn.state */
  state(frame) {
    if (!this.isLive || frame.epoch < this.#epoch) return;
    this.dataset.status = frame.status;
    const label = this.querySelector("[data-label]");
    if (label) label.textContent = frame.label;
  }

  /** @param {HTMLElement} turn as the server shows it after the end */
  final(turn) {
    this.#unwrap();
    patchElement(this, turn);
  }

  get #answer() {
    return /** @type {HTMLElement} */ (find(this, "[data-answer]"));
  }

  /** @param {number} first */
  #show(first) {
    const answer = this.#answer;
    if (!answer.classList.contains("prose--live")) {
      answer.classList.add("prose--live");
      answer.replaceChildren();
    }
    for (let index = first; index < this.#blocks.length; index += 1) {
      const wrapper = answer.children[index] ?? answer.appendChild(newBlock());
      patch(wrapper, this.#blocks[index]);
    }
    while (answer.children.length > this.#blocks.length) answer.lastElementChild?.remove();
    this.toggleAttribute("data-streaming", this.#blocks.length > 0);
  }

  /** Takes the wrappers of streamed blocks away, so that the final HTML finds what it already shows. */
  #unwrap() {
    for (const wrapper of this.querySelectorAll(".prose__block")) wrapper.replaceWith(...wrapper.childNodes);
  }

  /** @param {MouseEvent} event */
  #clicked = async (event) => {
    const button =
      /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("button"));
    if (button?.hasAttribute("data-copy-answer")) {
      await copyText(find(this, "[data-markdown]").content.textContent);
      showCopied(button);
    } else if (button?.hasAttribute("data-retry")) {
      button.setAttribute("disabled", "");
      this.dispatchEvent(
        new CustomEvent("parley:retry", { bubbles: true, detail: { turn: this.turnId, button } }),
      );
    }
  };
}

function newBlock() {
  const block = document.createElement("div");
  block.className = "prose__block";
  return block;
}

customElements.define("parley-turn", ParleyTurn);
