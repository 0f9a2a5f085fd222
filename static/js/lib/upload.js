// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The chips of documents: those on their way, and those that are there. */

import { csrfToken, element, fromTemplate } from "./page.js";
import { UploadError } from "./sending.js";
import { lanes, Sending } from "./uploading.js";

/** @typedef {import("./gather.js").Found} Found */
/** @typedef {import("./uploading.js").Target} Target */

/**
 * Uploads a file into the chips of a message: a chip with progress that the server's own replaces, or that says why not.
 * @param {Element} list
 * @param {Found} found
 * @param {Target} target
 * @param {() => void} changed called whenever the state of the list is another
 */
export function uploadInto(list, found, target, changed) {
  const chip = fromTemplate("document-uploading");
  const bar = /** @type {HTMLProgressElement} */ (chip.querySelector("progress"));
  const message = /** @type {HTMLElement} */ (chip.querySelector("[data-message]"));
  const again = /** @type {HTMLElement} */ (chip.querySelector("[data-again]"));
  const label = /** @type {HTMLElement} */ (chip.querySelector("[data-label]"));
  const sending = new Sending(found, target);
  const stop = new AbortController();
  /** @type {HTMLElement} */ (chip.querySelector("[data-name]")).textContent = found.file.name;
  chip.querySelector("[data-discard]")?.addEventListener("click", () => {
    stop.abort(new DOMException("discarded", "AbortError"));
    sending.discard();
    chip.remove();
    changed();
  });
  const { textWaiting = "", textUploading = "", textRefused = "" } = chip.dataset;
  const run = async () => {
    if (stop.signal.aborted) return;
    try {
      const { html } = await sending.send({
        signal: stop.signal,
        waits: () => label.textContent = textWaiting,
        progress: (percent) => {
          label.textContent = textUploading;
          bar.value = percent;
        },
      });
      replaceDocument(chip, element(html));
    } catch (error) {
      if (!(error instanceof UploadError)) return;
      refused(error);
    }
    changed();
  };
  const refused = (/** @type {UploadError} */ error) => {
    chip.dataset.state = "refused";
    label.textContent = textRefused;
    bar.hidden = true;
    message.hidden = false;
    message.textContent = error.message;
    again.hidden = !error.retryable;
  };
  again.addEventListener("click", () => {
    chip.dataset.state = "uploading";
    message.hidden = again.hidden = true;
    bar.hidden = false;
    lanes.add(run);
  });
  list.append(chip);
  changed();
  lanes.add(run);
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
