// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The documents of a vector store: upload by choosing or dropping, states live, try again and remove. */

import { onPick } from "../lib/drops.js";
import { element, find } from "../lib/page.js";
import { tabSocket } from "../lib/socket.js";
import { documentAction, showDocument, uploadInto } from "../lib/upload.js";

class ParleyDocuments extends HTMLElement {
  connectedCallback() {
    const socket = tabSocket(this.dataset.socket);
    socket.subscribe(this.#topic);
    socket.addEventListener("document.changed", this.#changed);
    socket.addEventListener("document.removed", this.#changed);
    socket.addEventListener("lost", this.#lost);
    this.addEventListener("click", this.#clicked);
    if (this.dataset.uploadUrl) this.#takeFiles();
  }

  disconnectedCallback() {
    const socket = tabSocket();
    socket.unsubscribe(this.#topic);
    socket.removeEventListener("document.changed", this.#changed);
    socket.removeEventListener("document.removed", this.#changed);
    socket.removeEventListener("lost", this.#lost);
  }

  get #topic() {
    return `library:${this.dataset.store}`;
  }

  /** @returns {HTMLElement} */
  get #list() {
    return find(this, "[data-documents]");
  }

  #takeFiles() {
    const drop = find(this, "[data-drop]");
    onPick(find(this, "[data-pick]"), (files) => this.#upload(files));
    drop.addEventListener("dragover", (/** @type {DragEvent} */ event) => {
      event.preventDefault();
      drop.toggleAttribute("data-over", true);
    });
    drop.addEventListener("dragleave", () => drop.removeAttribute("data-over"));
    drop.addEventListener("drop", (/** @type {DragEvent} */ event) => {
      event.preventDefault();
      drop.removeAttribute("data-over");
      this.#upload(event.dataTransfer?.files ?? []);
    });
  }

  /** @param {Iterable<File>} files */
  #upload(files) {
    for (const file of files) {
      uploadInto(this.#list, file, {
        url: this.dataset.uploadUrl ?? "",
        failure: this.dataset.textUploadFailed ?? "",
        changed: this.#settle,
        first: true,
      });
    }
  }

  #settle = () => {
    find(this, "[data-empty]").hidden = this.#list.childElementCount > 0;
  };

  /** @param {Event} event */
  #changed = (event) => {
    const frame = /** @type {CustomEvent} */ (event).detail;
    if (frame.store !== this.dataset.store) return;
    const known = this.#list.querySelector(`[data-document="${frame.document}"]`);
    // somebody else's upload appears on top; on further pages the list is a look back
    if (!known && frame.type === "document.changed" && !new URL(location.href).searchParams.has("page")) {
      this.#list.prepend(element(frame.html));
    } else {
      showDocument(frame);
    }
    this.#settle();
  };

  /** @param {MouseEvent} event */
  #clicked = async (event) => {
    const button = /** @type {HTMLElement | null} */ (
      /** @type {Element} */ (event.target).closest("[data-document-action]")
    );
    if (!button) return;
    this.#say(await documentAction(button));
    this.#settle();
  };

  /** @param {Event} event nothing of the store comes any more */
  #lost = (event) => {
    const { topic, message } = /** @type {CustomEvent} */ (event).detail;
    if (topic === this.#topic) this.#say(message || (this.dataset.textLost ?? ""));
  };

  /** @param {string} message what went wrong; empty where nothing did */
  #say(message) {
    const error = find(this, "[data-error]");
    error.hidden = !message;
    error.textContent = message;
  }
}

customElements.define("parley-documents", ParleyDocuments);
