// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Posts to the server, and asks people before what cannot be undone. */

import { csrfToken, find } from "./page.js";

/**
 * @param {string} url
 * @param {FormData} [body]
 * @returns {Promise<Record<string, any>>} the answer; rejected with an Error that has the server's sentence, or none
 *   where there was no answer
 */
export async function post(url, body = new FormData()) {
  let response, answer;
  try {
    response = await fetch(url, {
      method: "POST",
      body,
      headers: { "X-CSRFToken": csrfToken(), Accept: "application/json" },
    });
    answer = await response.json();
  } catch {
    throw new Error("");
  }
  if (!response.ok) throw new Error(answer.message ?? "");
  return answer;
}

/**
 * @param {HTMLDialogElement} dialog with a form of `method=dialog`, whose buttons say "yes" or nothing
 * @param {string} text
 * @returns {Promise<boolean>}
 */
export function confirmed(dialog, text) {
  find(dialog, "[data-text]").textContent = text;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
