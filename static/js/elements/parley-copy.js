// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The copy button of a code block; the place for it comes with the answer, the button from the page. */

import { copyText, fromTemplate, showCopied } from "../lib/page.js";

class ParleyCopy extends HTMLElement {
  connectedCallback() {
    if (this.firstElementChild || !document.querySelector("template#copy-button")) return;
    const button = fromTemplate("copy-button");
    button.addEventListener("click", async () => {
      await copyText(this.closest(".code")?.querySelector("pre")?.textContent ?? "");
      showCopied(button);
    });
    this.append(button);
  }
}

customElements.define("parley-copy", ParleyCopy);
