// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Takes files into a vector store, by choosing or dropping. What is stored is told to the list below it. */

import { onPick } from "../lib/drops.js";
import { find } from "../lib/page.js";
import { uploadInto } from "../lib/upload.js";

class ParleyDocuments extends HTMLElement {
  connectedCallback() {
    const drop = find(this, "[data-drop]");
    onPick(find(this, "[data-pick]"), (files) => this.#take(files));
    drop.addEventListener("dragover", (/** @type {DragEvent} */ event) => {
      event.preventDefault();
      drop.toggleAttribute("data-over", true);
    });
    drop.addEventListener("dragleave", () => drop.removeAttribute("data-over"));
    drop.addEventListener("drop", (/** @type {DragEvent} */ event) => {
      event.preventDefault();
      drop.removeAttribute("data-over");
      this.#take(event.dataTransfer?.files ?? []);
    });
  }

  /** @param {Iterable<File>} files */
  #take(files) {
    for (const file of files) this.#upload(file);
  }

  /** @param {File} file */
  async #upload(file) {
    const list = find(this, "[data-documents]");
    await uploadInto(list, file, {
      url: this.dataset.uploadUrl ?? "",
      failure: this.dataset.textUploadFailed ?? "",
      changed: () => this.#hand(list),
      first: true,
    });
  }

  /**
   * What has become a document stands in the list below.
   * @param {HTMLElement} list
   */
  #hand(list) {
    for (const chip of /** @type {NodeListOf<HTMLElement>} */ (list.querySelectorAll("[data-document]"))) {
      const detail = {
        document: chip.dataset.document,
        store: this.dataset.store,
        state: chip.dataset.state,
      };
      chip.remove();
      document.dispatchEvent(new CustomEvent("document.uploaded", { detail }));
    }
  }
}

customElements.define("parley-documents", ParleyDocuments);
