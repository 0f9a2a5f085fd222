// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * One turn: takes the frames of its running answer, in the order that epoch and number give them.
 *
 * Says what a person wants with events: `parley:retry`, `parley:continue` and `parley:withdraw` {turn, button}.
 */

import { copyText, find, showCopied } from "../lib/page.js";
import { patch, patchElement } from "../lib/patch.js";
import { ParleyEditor } from "./parley-editor.js";

const WISHES = ["retry", "continue", "withdraw"];

/** @typedef {import("../lib/socket.js").Frame} Frame */

export class ParleyTurn extends HTMLElement {
  #epoch = -1;
  #number = -1;
  #handle = -1;
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

  get isQueued() {
    return this.dataset.status === "queued";
  }

  /** @returns {NodeListOf<HTMLElement>} the chips of its documents */
  get chips() {
    return this.querySelectorAll(".question__files [data-document]");
  }

  get turnId() {
    return this.dataset.turn ?? "";
  }

  /** @param {Frame} frame turn.snapshot */
  snapshot(frame) {
    if (frame.epoch < this.#epoch) return;
    this.#epoch = frame.epoch;
    this.#number = frame.number;
    this.#handle = frame.handle;
    // an answer that goes on: what it begins with came with the page, and is said again in a moment
    if (!frame.blocks.length && !this.#blocks.length) return;
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

  /** @param {Frame} frame turn.text */
  text(frame) {
    const last = this.#blocks.length - 1;
    if (frame.handle !== this.#handle || frame.number <= this.#number || last < 0) return;
    this.#number = frame.number;
    const block = this.#blocks[last];
    const at = block.length - frame.end;
    this.#blocks[last] = block.slice(0, at) + frame.html + block.slice(at);
    this.#show(last);
  }

  /** @param {Frame} frame turn.state */
  state(frame) {
    if (!this.isLive || frame.epoch < this.#epoch) return;
    this.dataset.status = frame.status;
    const label = this.querySelector("[data-label]");
    if (label) label.textContent = frame.label;
    // the words stand still while something else is done
    this.removeAttribute("data-streaming");
  }

  /** Nothing more is heard of it. */
  abandon() {
    for (const name of ["data-live", "data-streaming"]) this.removeAttribute(name);
    find(this, ".answer").removeAttribute("aria-busy");
    find(this, ".answer__status").remove();
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
    } else if (button?.hasAttribute("data-edit")) {
      ParleyEditor.open(this);
    } else if (button) this.#wish(button);
  };

  /** @param {HTMLElement} button */
  #wish(button) {
    const wish = WISHES.find((name) => button.hasAttribute(`data-${name}`));
    if (!wish || button.getAttribute("aria-disabled") === "true") return;
    // not `disabled`: that would lose the focus before the answer comes
    button.setAttribute("aria-disabled", "true");
    const detail = { turn: this.turnId, button };
    this.dispatchEvent(new CustomEvent(`parley:${wish}`, { bubbles: true, detail }));
  }
}

function newBlock() {
  const block = document.createElement("div");
  block.className = "prose__block";
  return block;
}

customElements.define("parley-turn", ParleyTurn);
