// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Sends one file with progress, and keeps the chips of documents up to date. */

import { csrfToken, element, fromTemplate } from "./page.js";

/** @typedef {{document: string, html: string}} Uploaded */

/** The server's sentence about what went wrong with a file. */
export class UploadError extends Error {
  /**
   * @param {string} message
   * @param {boolean} retryable
   */
  constructor(message, retryable) {
    super(message);
    this.retryable = retryable;
  }
}

/**
 * @param {string} url
 * @param {File} file
 * @param {{progress: (percent: number) => void, signal: AbortSignal, failure: string,
 *   fields?: Record<string, string>}} options `fields` go with the file; `failure` is said where the server did not get to say anything
 * @returns {Promise<Uploaded>} rejected with UploadError
 */
export function upload(url, file, { progress, signal, failure, fields = {} }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("file", file);
    request.open("POST", url);
    request.responseType = "json";
    request.setRequestHeader("X-CSRFToken", csrfToken());
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) progress(Math.round(100 * event.loaded / event.total));
    });
    request.addEventListener("load", () => {
      const answer = request.response;
      if (request.status < 300 && answer?.document) resolve(answer);
      else reject(new UploadError(answer?.message ?? failure, answer?.retryable ?? request.status >= 500));
    });
    request.addEventListener("error", () => reject(new UploadError(failure, true)));
    request.addEventListener("abort", () => reject(signal.reason));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/**
 * Uploads a file into a list of documents: a chip with progress that the server's own replaces, or that says why not.
 * @param {Element} list
 * @param {File} file
 * @param {{url: string, failure: string, changed: () => void, first?: boolean,
 *   fields?: Record<string, string>}} options
 *   `changed` is called whenever the state of the list is another; `first` puts the chip on top
 */
export async function uploadInto(list, file, options) {
  const { url, failure, changed, first = false, fields } = options;
  const chip = fromTemplate("document-uploading");
  const bar = /** @type {HTMLProgressElement} */ (chip.querySelector("progress"));
  const message = /** @type {HTMLElement} */ (chip.querySelector("[data-message]"));
  const again = /** @type {HTMLElement} */ (chip.querySelector("[data-again]"));
  const stop = new AbortController();
  /** @type {HTMLElement} */ (chip.querySelector("[data-name]")).textContent = file.name;
  chip.querySelector("[data-discard]")?.addEventListener("click", () => {
    stop.abort(new DOMException("discarded", "AbortError"));
    chip.remove();
    changed();
  });
  again.addEventListener("click", () => {
    chip.remove();
    uploadInto(list, file, options);
  });
  if (first) list.prepend(chip);
  else list.append(chip);
  changed();
  try {
    const { html } = await upload(url, file, {
      signal: stop.signal,
      failure,
      fields,
      progress: (percent) => bar.value = percent,
    });
    replaceDocument(chip, element(html));
  } catch (error) {
    if (!(error instanceof UploadError)) return;
    chip.dataset.state = "refused";
    const label = chip.querySelector("[data-label]");
    if (label) label.textContent = chip.dataset.textRefused ?? "";
    bar.hidden = true;
    message.hidden = false;
    message.textContent = error.message;
    again.hidden = !error.retryable;
  }
  changed();
}

/**
 * @param {HTMLElement} chip
 * @param {HTMLElement} fresh
 */
function replaceDocument(chip, fresh) {
  // the same file given twice is one document: its chip may be there already
  const known = chip.parentElement?.querySelector(`[data-document="${fresh.dataset.document}"]`);
  if (known) chip.remove();
  else chip.replaceWith(fresh);
}

/**
 * Shows a `document.changed` or `document.removed` frame wherever the document is on the page.
 * @param {import("./socket.js").Frame} frame
 */
export function showDocument(frame) {
  for (const shown of document.querySelectorAll(`[data-document="${frame.document}"]`)) {
    if (frame.type === "document.removed") shown.remove();
    else shown.replaceWith(element(frame.html));
  }
}

/**
 * Does what a button on a document's chip says (try again, remove).
 * @param {HTMLElement} button with `data-document-action`
 * @returns {Promise<string>} empty, or the sentence why not
 */
export async function documentAction(button) {
  const url = button.dataset.documentAction ?? "";
  button.setAttribute("disabled", "");
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "X-CSRFToken": csrfToken(), Accept: "application/json" },
    });
    const answer = await response.json();
    if (!response.ok) return answer.message;
    if (button.hasAttribute("data-removes")) button.closest("[data-document]")?.remove();
    else if (answer.html) showDocument({ type: "document.changed", ...answer });
    return "";
  } catch (error) {
    return String(/** @type {Error} */ (error).message);
  } finally {
    button.removeAttribute("disabled");
  }
}
