// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** What is remembered of a person: facts changed in their place, deleted, switched off; older ones on demand. */

import { clickedLink, fetchPart } from "../lib/fragment.js";
import { announce, csrfToken, element, find, fromTemplate } from "../lib/page.js";

class ParleyMemory extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", this.#clicked);
    this.addEventListener("submit", this.#submitted);
    this.addEventListener("keydown", this.#key);
  }

  disconnectedCallback() {
    this.removeEventListener("click", this.#clicked);
    this.removeEventListener("submit", this.#submitted);
    this.removeEventListener("keydown", this.#key);
  }

  /** @param {MouseEvent} event */
  #clicked = (event) => {
    const clicked = /** @type {HTMLElement} */ (event.target);
    /** @param {string} selector */
    const within = (selector) => /** @type {HTMLElement | null} */ (clicked.closest(selector));
    const fact = within("[data-fact]");
    if (fact && within("[data-edit]")) this.#edit(fact);
    else if (fact && within("[data-cancel]")) this.#leave(fact);
    else if (fact && within("[data-delete]")) this.#delete(fact);
    else if (within("[data-ask]")) find(within("[data-memory]") ?? this, "dialog").showModal();
    else if (within("[data-close]") || clicked.matches("dialog")) {
      within("dialog")?.closest("dialog")?.close();
    } else this.#older(event);
  };

  /** @param {SubmitEvent} event */
  #submitted = (event) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    event.preventDefault();
    if (form.hasAttribute("data-editor")) this.#save(form);
    else this.#change(form, event.submitter);
  };

  /** @param {KeyboardEvent} event */
  #key = (event) => {
    const editor = /** @type {Element} */ (event.target).closest("[data-editor]");
    if (!editor || event.isComposing) return;
    if (event.key === "Escape") {
      event.preventDefault();
      this.#leave(/** @type {HTMLElement} */ (editor.closest("[data-fact]")));
    }
    if (event.key === "Enter" && !event.shiftKey && event.keyCode !== 229) {
      event.preventDefault();
      /** @type {HTMLFormElement} */ (editor).requestSubmit();
    }
  };

  // One fact ------------------------------------------------------------------------------------------------------

  /** @param {HTMLElement} fact */
  #edit(fact) {
    const editor = /** @type {HTMLFormElement} */ (fromTemplate("fact-editor"));
    const seen = find(fact, "[data-text]").textContent;
    const text = find(editor, "textarea");
    editor.action = find(fact, "[data-edit]").dataset.edit;
    editor.dataset.seen = text.value = seen;
    fact.setAttribute("data-editing", "");
    fact.append(editor);
    text.focus();
    text.setSelectionRange(seen.length, seen.length);
  }

  /** @param {HTMLElement} fact */
  #leave(fact) {
    fact.querySelector("[data-editor]")?.remove();
    fact.removeAttribute("data-editing");
    find(fact, "[data-edit]").focus();
  }

  /** @param {HTMLFormElement} editor */
  async #save(editor) {
    const fact = /** @type {HTMLElement} */ (editor.closest("[data-fact]"));
    const form = new FormData(editor);
    form.set("seen", editor.dataset.seen ?? "");
    const answer = await this.#post(editor.action, form, editor);
    if (answer?.html) {
      const changed = element(answer.html);
      fact.replaceWith(changed);
      find(changed, "[data-edit]").focus();
      announce(this.dataset.textSaved ?? "");
    } else if (answer?.text) {
      // somebody's other tab was faster: what is saved next is meant to replace that
      editor.dataset.seen = find(fact, "[data-text]").textContent = answer.text;
    }
  }

  /** @param {HTMLElement} fact */
  async #delete(fact) {
    const answer = await this.#post(find(fact, "[data-delete]").dataset.delete, new FormData(), this);
    if (!answer?.deleted) return;
    const near = fact.nextElementSibling ?? fact.previousElementSibling;
    const memory = fact.closest("[data-memory]");
    fact.remove();
    const next = near?.querySelector("[data-delete], a") ?? memory?.querySelector("[role=switch]");
    /** @type {HTMLElement | null | undefined} */ (next)?.focus();
    announce(this.dataset.textDeleted ?? "");
  }

  // All of an assistant -------------------------------------------------------------------------------------------

  /**
   * @param {HTMLFormElement} form that switches memory or deletes all
   * @param {HTMLElement | null} submitter
   */
  async #change(form, submitter) {
    const memory = /** @type {HTMLElement} */ (form.closest("[data-memory]"));
    const answer = await this.#post(form.action, new FormData(form, submitter), this);
    form.closest("dialog")?.close();
    if (!answer || answer.html === undefined) return;
    const changed = answer.html ? element(answer.html) : null;
    if (changed) memory.replaceWith(changed);
    else memory.remove();
    /** @type {HTMLElement | null | undefined} */ (changed?.querySelector("[role=switch]"))?.focus();
    if ("deleted" in answer) announce(this.dataset.textDeleted ?? "");
  }

  /** @param {MouseEvent} event */
  async #older(event) {
    const link = clickedLink(event, "[data-more] a");
    const part = link && await fetchPart(link, "[data-facts]");
    if (!part) return;
    const first = /** @type {HTMLElement | null} */ (part.querySelector("[data-edit]"));
    link.closest("li")?.replaceWith(...part.childNodes);
    first?.focus();
  }

  /**
   * @param {string} url
   * @param {FormData} body
   * @param {Element} place that shows why it was not done
   * @returns {Promise<Record<string, any> | null>} the answer, also one that refuses
   */
  async #post(url, body, place) {
    const error = find(place, "[data-error]");
    error.hidden = true;
    try {
      const headers = { "X-CSRFToken": csrfToken(), Accept: "application/json" };
      const response = await fetch(url, { method: "POST", headers, body });
      const answer = await response.json();
      if (response.ok) return answer;
      error.textContent = answer.message;
      error.hidden = false;
      return answer;
    } catch {
      error.textContent = this.dataset.textFailed ?? "";
      error.hidden = false;
      return null;
    }
  }
}

customElements.define("parley-memory", ParleyMemory);
