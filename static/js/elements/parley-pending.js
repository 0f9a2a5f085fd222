// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * A message that is shown before the server has it: sending, waiting for the connection, or refused. Says
 * `parley:resend` and `parley:take-back`, with its client id.
 */

import { find, fromTemplate } from "../lib/page.js";

export class ParleyPending extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", this.#clicked);
  }

  disconnectedCallback() {
    this.removeEventListener("click", this.#clicked);
  }

  /**
   * @param {import("../lib/outbox.js").Message} message
   * @param {Iterable<HTMLElement>} [chips] of its documents
   * @returns {ParleyPending}
   */
  static of(message, chips = []) {
    const pending = /** @type {ParleyPending} */ (fromTemplate("message-pending"));
    pending.dataset.client = message.client_id;
    find(pending, "[data-files]").append(...chips);
    for (const part of message.text.split(/\n{2,}/)) {
      const paragraph = document.createElement("p");
      for (const [index, line] of part.split("\n").entries()) {
        if (index) paragraph.append(document.createElement("br"));
        paragraph.append(line);
      }
      find(pending, "[data-question]").append(paragraph);
    }
    return pending;
  }

  /** @returns {NodeListOf<HTMLElement>} the chips of its documents */
  get chips() {
    return this.querySelectorAll("[data-document]");
  }

  /**
   * @param {"sending" | "waiting" | "refused"} state
   * @param {{message?: string, retryable?: boolean}} [why]
   */
  fares(state, { message = "", retryable = true } = {}) {
    this.toggleAttribute("data-sending", state !== "refused");
    for (const line of /** @type {NodeListOf<HTMLElement>} */ (this.querySelectorAll(".question__state"))) {
      line.hidden = line.dataset.state !== state;
    }
    find(this, "[data-message]").textContent = message;
    find(this, "[data-resend]").hidden = !retryable;
  }

  /** @param {Event} event */
  #clicked = (event) => {
    const target = /** @type {Element} */ (event.target);
    const wish = target.closest("[data-resend]")
      ? "resend"
      : target.closest("[data-take-back]") && "take-back";
    if (!wish) return;
    this.dispatchEvent(new CustomEvent(`parley:${wish}`, { bubbles: true, detail: this.dataset.client }));
  };
}

customElements.define("parley-pending", ParleyPending);
