// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Takes files, folders and archives into a vector store: a line for each, and one that sums them up. Says
 * `document.uploaded` {document, store, state} to the page for what has become a document.
 */

import { post } from "../lib/asking.js";
import { acceptDrops, onPick } from "../lib/drops.js";
import { gatherDrop, gatherFiles, pastedFiles } from "../lib/gather.js";
import { announce, find } from "../lib/page.js";
import { remember, Unfinished } from "../lib/unfinished.js";
import { SENDING, UploadRow } from "../lib/upload-row.js";
import { Sending, targetOf } from "../lib/uploading.js";

/** @typedef {import("../lib/gather.js").Found} Found */

const LOOK_EVERY = 1_500;
// Lines that are made in one go, before the page may do something else.
const AT_ONCE = 50;

class ParleyUploads extends HTMLElement {
  /** @type {UploadRow[]} */
  #rows = [];
  #unfinished = new Unfinished(this);
  #busy = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #frame = 0;

  connectedCallback() {
    for (const field of this.querySelectorAll("[data-pick]")) {
      onPick(/** @type {HTMLInputElement} */ (field), (files) => this.#take(gatherFiles(files, this.#limit)));
    }
    acceptDrops(find(this, "[data-veil]"), async (drop) => this.#take(await gatherDrop(drop, this.#limit)));
    addEventListener("paste", this.#pasted);
    addEventListener("beforeunload", this.#leaving);
    this.addEventListener("click", this.#clicked);
    this.#unfinished.offer((found, line) => find(this, "[data-rows]").append(this.#row(found, line).element));
  }

  disconnectedCallback() {
    removeEventListener("paste", this.#pasted);
    removeEventListener("beforeunload", this.#leaving);
    clearTimeout(this.#timer);
  }

  get #limit() {
    return Number(this.dataset.maxFiles);
  }

  /** @param {ClipboardEvent} event */
  #pasted = (event) => {
    if (/** @type {Element} */ (event.target).closest("input, textarea, [contenteditable]")) return;
    const files = pastedFiles(event, this.dataset.textPasted ?? "");
    if (files.length) this.#take(gatherFiles(files, this.#limit));
  };

  /** @param {Event} event */
  #leaving = (event) => {
    if (this.#rows.some((row) => SENDING.has(row.state))) event.preventDefault();
  };

  /** @param {import("../lib/gather.js").Gathered} gathered */
  async #take({ found, hidden, more }) {
    const { textHidden = "", textTooMany = "" } = this.dataset;
    this.#say([more && textTooMany, hidden && textHidden.replace("{n}", String(hidden))]);
    for (let at = 0; at < found.length; at += AT_ONCE) {
      const rows = found.slice(at, at + AT_ONCE).map((one) => this.#row(one));
      find(this, "[data-rows]").append(...rows.map((row) => row.element));
      await new Promise(requestAnimationFrame);
    }
  }

  /**
   * @param {Found} found
   * @param {HTMLElement | null} [unfinished] the line of an upload that was begun with this file
   */
  #row(found, unfinished = this.#unfinished.with(found)) {
    const target = targetOf(this);
    const sending = new Sending(found, target, unfinished?.dataset.unfinished ?? "");
    const row = new UploadRow(found, sending, {
      changed: () => this.#sum(),
      uploaded: (which, uploaded) => this.#uploaded(which, uploaded),
      begun: remember,
      texts: this.dataset,
    });
    this.#rows.push(row);
    unfinished?.remove();
    const tooBig = found.file.size > Number(this.dataset.maxBytes);
    if (tooBig) row.show("refused", "", { message: this.dataset.textTooBig });
    else if (!unfinished) row.start();
    else {
      row.start(async () => {
        if (!await sending.goesOn(row.signal)) this.#say([`${row.name}: ${this.dataset.textAnew ?? ""}`]);
      });
    }
    return row;
  }

  /**
   * @param {UploadRow} row
   * @param {import("../lib/uploading.js").Uploaded} uploaded
   */
  #uploaded(row, { created, kept_as: keptAs, document: id }) {
    const told = { document: id, store: this.dataset.store, state: "" };
    if (id) document.dispatchEvent(new CustomEvent("document.uploaded", { detail: told }));
    if (
      created || this.#rows.some((other) => other !== row && other.id === id && other.state === "cancelled")
    ) {
      row.show("reading");
    } else {row.show("duplicate", "", {
        message: (this.dataset.textDuplicate ?? "").replace("{name}", keptAs),
      });}
    this.#look();
  }

  /** Asks how far the documents are, as long as some are on their way. */
  #look() {
    this.#timer ??= setTimeout(async () => {
      const open = this.#rows.filter((row) => row.state === "reading");
      if (open.length) await this.#compare(open);
      this.#timer = undefined;
      if (this.#rows.some((row) => row.state === "reading")) this.#look();
    }, LOOK_EVERY);
  }

  /** @param {UploadRow[]} open */
  async #compare(open) {
    const asked = new FormData();
    asked.append("ids", open.map((row) => row.id).join(","));
    // where there was no answer it is asked again
    const states = await post(this.dataset.statesUrl ?? "", asked).catch(() => null);
    if (!states) return;
    for (const row of open) {
      const { state, label, message, retryable } = states[row.id] ?? { state: "gone" };
      if (row.state !== "reading") continue;
      if (state === "ready") row.show("ready", label, { message });
      else if (state === "failed") row.show("refused", label, { message, retryable });
      else if (state === "gone") row.show("cancelled");
      else row.show("reading", label);
    }
  }

  #sum() {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#showSum());
  }

  #showSum() {
    this.#frame = 0;
    const rows = this.#rows;
    const count = (/** @type {string[]} */ ...states) =>
      rows.filter((row) => states.includes(row.state)).length;
    const [ready, refused, duplicates] = [count("ready"), count("refused"), count("duplicate")];
    const [cancelled, under] = [count("cancelled"), count(...SENDING, "reading")];
    const { textRead = "", textDuplicates = "", textRefused = "", textCancelled = "" } = this.dataset;
    const fill = (/** @type {string} */ text, /** @type {number} */ number) =>
      text.replace("{n}", String(number)).replace("{all}", String(rows.length));
    const parts = [fill(textRead, ready)];
    if (duplicates) parts.push(fill(textDuplicates, duplicates));
    if (refused) parts.push(fill(textRefused, refused));
    if (cancelled) parts.push(fill(textCancelled, cancelled));
    const summary = parts.join(", ");
    find(this, "[data-panel]").hidden = !rows.length;
    find(this, "[data-summary]").textContent = summary;
    const bar = find(this, "[data-total]");
    bar.hidden = !under;
    bar.max = rows.length;
    bar.value = rows.length - under;
    find(this, "[data-only]").hidden = !refused && !duplicates;
    find(this, "[data-retry-all]").hidden = !rows.some((row) => row.retryable);
    find(this, "[data-cancel-all]").hidden = !rows.some((row) => SENDING.has(row.state));
    find(this, "[data-close]").hidden = under > 0;
    if (this.#busy && !under) announce(summary);
    this.#busy = under > 0;
  }

  /** @param {MouseEvent} event */
  #clicked = (event) => {
    const button = /** @type {HTMLElement | null} */ (
      /** @type {Element} */ (event.target).closest("button")
    );
    if (!button) return;
    if ("only" in button.dataset) {
      const only = find(this, "[data-rows]").toggleAttribute("data-only-refused");
      button.setAttribute("aria-pressed", String(only));
    } else if ("retryAll" in button.dataset) this.#retryAll();
    else if ("cancelAll" in button.dataset) {
      for (const row of this.#rows) if (SENDING.has(row.state)) row.cancel();
    } else if ("close" in button.dataset) this.#close();
  };

  /** The documents that failed are put back at once, also those of earlier uploads; what was refused is sent again. */
  async #retryAll() {
    const again = this.#rows.filter((row) => row.retryable);
    const failed = again.filter((row) => row.id);
    if (failed.length && await post(this.dataset.retryUrl ?? "").catch(() => null)) {
      for (const row of failed) row.show("reading");
      this.#look();
    }
    for (const row of again) if (!row.id) row.again();
  }

  #close() {
    this.#rows = [];
    find(this, "[data-rows]").replaceChildren();
    this.#showSum();
  }

  /** @param {(string | false | 0)[]} sentences */
  #say(sentences) {
    const said = find(this, "[data-said]");
    said.textContent = sentences.filter(Boolean).join(" ");
    said.hidden = !said.textContent;
  }
}

customElements.define("parley-uploads", ParleyUploads);
