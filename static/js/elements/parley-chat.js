// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The conversation on the page: brings socket, outbox, thread and composer together. */

import { Delivery } from "../lib/delivery.js";
import { announce, element, find, uuid } from "../lib/page.js";
import { pendingTurn, showState } from "../lib/sending.js";
import { RefusedError, tabSocket } from "../lib/socket.js";
import { showDocument } from "../lib/upload.js";

/** @typedef {import("../lib/socket.js").Frame} Frame */
/** @typedef {import("./parley-turn.js").ParleyTurn} ParleyTurn */

class ParleyChat extends HTMLElement {
  #socket = tabSocket(this.dataset.socket);
  #delivery = new Delivery(this.#socket, this.dataset.user ?? "");

  connectedCallback() {
    this.#listen(this.#socket, {
      "turn.created": (frame) => this.#created(frame),
      "turn.snapshot": (frame) => this.#turn(frame.turn)?.snapshot(frame),
      "turn.blocks": (frame) => this.#turn(frame.turn)?.blocks(frame),
      "turn.state": (frame) => this.#turn(frame.turn)?.state(frame),
      "turn.final": (frame) => this.#final(frame),
      "document.changed": showDocument,
      "document.removed": showDocument,
      state: (state) => this.#connection(state),
    });
    this.#listen(this.#delivery, { message: (fares) => this.#fares(fares) });
    this.#listen(this, {
      "parley:send": (message) => this.#send(message),
      "parley:files": () => this.#files(),
      "parley:stop": () => this.#stop(),
      "parley:retry": (wanted) => this.#retry(wanted),
      "parley:away": (away) => find(this, "[data-jump]").hidden = !away,
    });
    this.addEventListener("click", (event) => this.#clicked(/** @type {Element} */ (event.target)));
    this.addEventListener("change", (event) => this.#chosen(/** @type {HTMLInputElement} */ (event.target)));
    document.addEventListener("keydown", (event) => this.#key(event));
    for (const message of this.#delivery.outbox.all()) {
      if (message.conversation !== this.dataset.conversation) continue;
      this.#show(pendingTurn(message));
      if (message.refused) this.#fares({ clientId: message.client_id, state: "refused", ...message.refused });
    }
    if (!this.hasAttribute("data-new")) this.#socket.subscribe(this.#topic);
    if (this.#socket.isOpen) this.#connection("open");
    this.#settle();
  }

  /**
   * @param {EventTarget} target
   * @param {Record<string, (detail: any) => void>} handlers by the name of the event
   */
  #listen(target, handlers) {
    for (const [name, handle] of Object.entries(handlers)) {
      target.addEventListener(name, (event) => handle(/** @type {CustomEvent} */ (event).detail));
    }
  }

  get #topic() {
    return `conversation:${this.dataset.conversation}`;
  }

  /** @returns {import("./parley-composer.js").ParleyComposer} */
  get #composer() {
    return find(this, "parley-composer");
  }

  /** @returns {import("./parley-thread.js").ParleyThread} */
  get #thread() {
    return find(this, "parley-thread");
  }

  /**
   * @param {string} id
   * @returns {ParleyTurn | null}
   */
  #turn(id) {
    return this.querySelector(`parley-turn[data-turn="${id}"]`);
  }

  /**
   * @param {string} clientId
   * @returns {HTMLElement | null}
   */
  #pending(clientId) {
    return this.querySelector(`parley-turn[data-client="${clientId}"]`);
  }

  /** @returns {NodeListOf<ParleyTurn>} */
  get #running() {
    return this.querySelectorAll("parley-turn[data-live]");
  }

  /** @param {{text: string, files: string[], chips: HTMLElement[]}} written */
  #send({ text, files, chips }) {
    const last = /** @type {ParleyTurn | undefined} */ ([...this.querySelectorAll("parley-turn")].at(-1));
    /** @type {import("../lib/outbox.js").Message} */
    const message = {
      type: "turn.create",
      conversation: this.dataset.conversation ?? "",
      client_id: uuid(),
      assistant: this.dataset.assistant ?? null,
      text,
      files,
      parent: last?.dataset.turn ?? null,
      after: last?.dataset.client ?? null,
    };
    this.#show(pendingTurn(message, chips));
    this.#thread.follow();
    this.#delivery.send(message);
  }

  /** @param {HTMLElement} turn that waits to be stored */
  #show(turn) {
    this.querySelector("[data-welcome]")?.remove();
    this.#thread.turns.append(turn);
    if (!this.#socket.isOpen) showState(turn, "waiting");
  }

  /** @param {{clientId: string, state: any, message?: string, retryable?: boolean}} how a message of ours fares */
  #fares({ clientId, state, ...why }) {
    const turn = this.#pending(clientId);
    if (turn) showState(turn, state, why);
  }

  /** @param {Frame} frame turn.created */
  #created(frame) {
    if (frame.conversation !== this.dataset.conversation) return;
    this.#arrive();
    this.querySelector("[data-welcome]")?.remove();
    if (this.#turn(frame.turn)) return;
    const turn = element(frame.html);
    const shown = this.#pending(frame.client_id);
    if (!shown) this.#branch(frame.parent);
    if (shown) shown.replaceWith(turn);
    else this.#thread.turns.append(turn);
    this.#settle();
  }

  /** The first file that is stored makes the conversation, with the assistant chosen so far. */
  #files() {
    if (!this.#composer.querySelector("[data-document]")) return;
    this.#arrive();
    for (const input of this.querySelectorAll("[name=assistant]:not(:checked)")) {
      input.setAttribute("disabled", "");
    }
  }

  /** A stored conversation has an address and is watched. */
  #arrive() {
    this.#socket.subscribe(this.#topic);
    if (!this.hasAttribute("data-new")) return;
    this.removeAttribute("data-new");
    if (this.dataset.url) history.replaceState(null, "", this.dataset.url);
  }

  /**
   * A turn that goes on from another place than the end takes the place of what followed there.
   * @param {string | null} parent
   */
  #branch(parent) {
    const stored = [
      .../** @type {NodeListOf<ParleyTurn>} */ (this.querySelectorAll("parley-turn[data-turn]")),
    ];
    const index = parent ? stored.findIndex((turn) => turn.turnId === parent) : -1;
    if (parent && index < 0) return;
    for (const turn of stored.slice(index + 1)) turn.remove();
  }

  /** @param {Frame} frame turn.final */
  #final(frame) {
    this.#turn(frame.turn)?.final(element(frame.html));
    this.#settle();
    const { textFinished, textFailed } = this.dataset;
    if (frame.status !== "cancelled") announce((frame.status === "failed" ? textFailed : textFinished) ?? "");
  }

  #stop() {
    for (const turn of this.#running) this.#ask({ type: "turn.stop", turn: turn.turnId });
  }

  /** @param {{turn: string, button: HTMLButtonElement}} wanted */
  async #retry({ turn, button }) {
    if (await this.#ask({ type: "turn.retry", turn, client_id: uuid() })) this.#thread.follow();
    button.disabled = false;
  }

  /** @param {Frame} frame */
  async #ask(frame) {
    try {
      return await this.#socket.request(frame);
    } catch (error) {
      if (error instanceof RefusedError) this.#composer.showError(error.message);
      return null;
    }
  }

  /** @param {string} state of the socket */
  #connection(state) {
    const strip = find(this, "[data-offline]");
    strip.hidden = state === "open";
    if (state === "open") this.#delivery.flush();
    if (state === "signed-out") {
      find(strip, "[data-offline-text]").textContent = this.dataset.textSignedOut ?? "";
    }
  }

  /** @param {Element} target */
  #clicked(target) {
    const starter = target.closest("[data-starter]")?.getAttribute("data-starter");
    const pending = /** @type {HTMLElement | null} */ (target.closest("parley-turn[data-client]"));
    if (target.closest("[data-jump]")) this.#thread.follow();
    else if (starter) this.#composer.submit(starter);
    else if (pending && target.closest("[data-resend]")) this.#delivery.again(pending.dataset.client ?? "");
    else if (pending && target.closest("[data-take-back]")) this.#takeBack(pending);
  }

  /** @param {HTMLElement} pending a message that was refused goes back to where it was written */
  #takeBack(pending) {
    const message = this.#delivery.takeBack(pending.dataset.client ?? "");
    this.#composer.addChips(
      /** @type {NodeListOf<HTMLElement>} */ (pending.querySelectorAll("[data-document]")),
    );
    pending.remove();
    if (message) this.#composer.fill(message.text);
  }

  /** @param {HTMLInputElement} input */
  #chosen(input) {
    if (input.name !== "assistant") return;
    this.dataset.assistant = this.#composer.dataset.assistant = input.value;
    for (
      const starters of /** @type {NodeListOf<HTMLElement>} */ (this.querySelectorAll("[data-starters]"))
    ) {
      starters.hidden = starters.dataset.starters !== input.value;
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== "Escape" || event.defaultPrevented || !this.#running.length) return;
    // what lies on top closes first
    if (document.querySelector(".panel:not([hidden]), :popover-open")) return;
    event.preventDefault();
    this.#stop();
  }

  #settle() {
    this.#composer.running = this.#running.length > 0;
  }
}

customElements.define("parley-chat", ParleyChat);
