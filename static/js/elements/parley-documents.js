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
    socket.subscribe(`library:${this.dataset.store}`);
    socket.addEventListener("document.changed", this.#changed);
    socket.addEventListener("document.removed", this.#changed);
    this.addEventListener("click", this.#clicked);
    if (this.dataset.uploadUrl) this.#takeFiles();
  }

  disconnectedCallback() {
    const socket = tabSocket();
    socket.unsubscribe(`library:${this.dataset.store}`);
    socket.removeEventListener("document.changed", this.#changed);
    socket.removeEventListener("document.removed", this.#changed);
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
    const message = await documentAction(button);
    const error = find(this, "[data-error]");
    error.hidden = !message;
    error.textContent = message;
    this.#settle();
  };
}

customElements.define("parley-documents", ParleyDocuments);
