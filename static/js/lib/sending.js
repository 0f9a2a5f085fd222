// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** A message that is shown before the server has it: sending, waiting for the connection, or refused. */

import { find, fromTemplate } from "./page.js";

/**
 * @param {import("./outbox.js").Message} message
 * @param {Iterable<HTMLElement>} chips of its documents
 * @returns {HTMLElement} a turn that only has its question
 */
export function pendingTurn(message, chips = []) {
  const turn = fromTemplate("turn-sending");
  turn.dataset.client = message.client_id;
  const text = find(turn, "[data-question]");
  for (const part of message.text.split(/\n{2,}/)) {
    const paragraph = document.createElement("p");
    for (const [index, line] of part.split("\n").entries()) {
      if (index) paragraph.append(document.createElement("br"));
      paragraph.append(line);
    }
    text.append(paragraph);
  }
  find(turn, "[data-files]").append(...chips);
  return turn;
}

/**
 * @param {Element} turn made by `pendingTurn`
 * @param {"sending" | "waiting" | "refused"} state
 * @param {{message?: string, retryable?: boolean}} [why]
 */
export function showState(turn, state, { message = "", retryable = true } = {}) {
  turn.toggleAttribute("data-sending", state !== "refused");
  for (const line of /** @type {NodeListOf<HTMLElement>} */ (turn.querySelectorAll("[data-state]"))) {
    if (line.classList.contains("question__state")) line.hidden = line.dataset.state !== state;
  }
  find(turn, "[data-message]").textContent = message;
  find(turn, "[data-resend]").hidden = !retryable;
}
