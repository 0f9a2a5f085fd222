// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** One file of an upload as a line: how far it is, what became of it, or why it was not taken. */

import { post } from "./asking.js";
import { find, fromTemplate } from "./page.js";
import { UploadError } from "./sending.js";
import { lanes } from "./uploading.js";

/** @typedef {"waiting" | "uploading" | "offline" | "reading" | "ready" | "duplicate" | "refused" | "cancelled"} State */

/** States in which bytes of it are still here only. */
export const SENDING = new Set(["waiting", "uploading", "offline"]);

/**
 * @typedef {object} Page what a row needs of the page it stands on
 * @property {(row: UploadRow) => void} changed
 * @property {(row: UploadRow, uploaded: import("./uploading.js").Uploaded) => void} uploaded
 * @property {(url: string) => void} begun
 * @property {DOMStringMap} texts
 */

export class UploadRow {
  /** @type {State} */
  state = "waiting";
  /** @type {string} the document or archive that it became */
  id = "";
  retryable = false;
  isArchive = false;
  #page;
  #sending;
  #stop = new AbortController();

  /**
   * @param {import("./gather.js").Found} found
   * @param {import("./uploading.js").Sending} sending
   * @param {Page} page
   */
  constructor(found, sending, page) {
    this.#sending = sending;
    this.#page = page;
    this.name = found.path || found.file.name;
    this.element = fromTemplate("upload-row");
    const name = find(this.element, "[data-name]");
    name.textContent = name.title = this.name;
    find(this.element, "[data-again]").addEventListener("click", () => this.again());
    find(this.element, "[data-cancel]").addEventListener("click", () => this.cancel());
    this.show("waiting");
  }

  get signal() {
    return this.#stop.signal;
  }

  /** @param {() => Promise<void>} [first] what has to be done before it is sent */
  start(first) {
    this.show("waiting");
    const { signal } = this.#stop;
    lanes.add(() => signal.aborted ? Promise.resolve() : this.#send(signal, first));
  }

  /**
   * @param {AbortSignal} signal
   * @param {(() => Promise<void>) | undefined} first
   */
  async #send(signal, first) {
    try {
      this.show("uploading", "0 %");
      await first?.();
      const uploaded = await this.#sending.send({
        signal,
        progress: (percent) => this.show("uploading", `${percent} %`, { percent }),
        waits: () => this.show("offline"),
        begun: this.#page.begun,
      });
      this.isArchive = Boolean(uploaded.archive);
      this.id = uploaded.document ?? uploaded.archive ?? "";
      this.#page.uploaded(this, uploaded);
    } catch (error) {
      if (!(error instanceof UploadError)) return;
      this.show("refused", "", { message: error.message, retryable: error.retryable });
    }
  }

  /**
   * @param {State} state
   * @param {string} [label] in place of the state's own words
   * @param {{message?: string, retryable?: boolean, percent?: number | null}} [more]
   */
  show(state, label = "", { message = "", retryable = false, percent = null } = {}) {
    const changed = state !== this.state;
    this.state = state;
    this.retryable = retryable;
    const { element } = this;
    element.dataset.state = state;
    find(element, "[data-label]").textContent = label || this.#page.texts[`state${state}`] || "";
    const bar = find(element, "progress");
    bar.hidden = percent === null;
    bar.value = percent ?? 0;
    if (changed || message) {
      find(element, "[data-message]").textContent = message;
      find(element, "[data-again]").hidden = !(retryable || state === "cancelled");
      find(element, "[data-cancel]").hidden = !SENDING.has(state) && (state !== "reading" || this.isArchive);
      this.#page.changed(this);
    }
  }

  /** Sends it once more, or lets its document be read once more. */
  again() {
    if (this.id && this.state !== "cancelled") return this.#ask("retry", () => this.show("reading"));
    this.#stop = new AbortController();
    this.id = "";
    this.start();
  }

  /** It is not wanted any more, however far it is. */
  cancel() {
    if (this.id) return this.#ask("delete", () => this.show("cancelled"));
    this.#stop.abort(new DOMException("cancelled", "AbortError"));
    this.#sending.discard();
    this.show("cancelled");
  }

  /**
   * @param {"retry" | "delete"} what
   * @param {() => void} done
   */
  async #ask(what, done) {
    const answer = await post(`/documents/${this.id}/${what}/`).catch(() => null);
    if (answer) done();
  }
}
