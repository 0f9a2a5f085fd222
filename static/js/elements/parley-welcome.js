// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * The beginning of a conversation: who answers, and what to ask first. Says `parley:assistant` {id, name, memory, blind} and
 * `parley:starter` (a text).
 */

class ParleyWelcome extends HTMLElement {
  connectedCallback() {
    this.addEventListener("change", this.#chosen);
    this.addEventListener("click", this.#clicked);
  }

  disconnectedCallback() {
    this.removeEventListener("change", this.#chosen);
    this.removeEventListener("click", this.#clicked);
  }

  /** The conversation exists, so it has its assistant for good. */
  settle() {
    for (const input of this.querySelectorAll("[name=assistant]:not(:checked)")) {
      input.setAttribute("disabled", "");
    }
  }

  /** @param {Event} event */
  #chosen = (event) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    const { value } = input;
    for (
      const starters of /** @type {NodeListOf<HTMLElement>} */ (this.querySelectorAll("[data-starters]"))
    ) {
      starters.hidden = starters.dataset.starters !== value;
    }
    const name = input.closest("label")?.querySelector(".assistant__name")?.textContent ?? "";
    const blind = input.hasAttribute("data-blind");
    const detail = { id: value, name, memory: input.dataset.memory ?? "", blind };
    this.dispatchEvent(new CustomEvent("parley:assistant", { bubbles: true, detail }));
  };

  /** @param {Event} event */
  #clicked = (event) => {
    const text = /** @type {Element} */ (event.target).closest("[data-starter]")?.getAttribute(
      "data-starter",
    );
    if (text) this.dispatchEvent(new CustomEvent("parley:starter", { bubbles: true, detail: text }));
  };
}

customElements.define("parley-welcome", ParleyWelcome);
