// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Posts to the server, and asks people for what that takes. */

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
 * Opens a dialog with a form of `method=dialog`, whose button says "yes", and `[data-cancel]`.
 * @param {HTMLDialogElement} dialog
 * @param {{name: string, text?: string}} about what it is about, where the dialog shows that
 * @returns {Promise<FormData | null>} what was filled in; null where people thought better of it
 */
export function asked(dialog, { name, text = "" }) {
  for (const place of dialog.querySelectorAll("[data-name]")) place.textContent = name;
  for (const place of dialog.querySelectorAll("[data-text]")) place.textContent = text;
  const form = find(dialog, "form");
  form.reset();
  dialog.returnValue = "";
  // no submit button: Enter in a field would press the first one
  find(dialog, "[data-cancel]").onclick = () => dialog.close("");
  dialog.showModal();
  return new Promise((resolve) => {
    const close = () => resolve(dialog.returnValue === "yes" ? new FormData(form) : null);
    dialog.addEventListener("close", close, { once: true });
  });
}
