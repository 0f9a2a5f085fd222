// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The conversation on the page: brings socket, outbox, thread and composer together. */

import { TurnActions } from "../lib/actions.js";
import { Delivery } from "../lib/delivery.js";
import { announce, element, find, listen, uuid } from "../lib/page.js";
import { tabSocket } from "../lib/socket.js";
import { showDocument } from "../lib/upload.js";
import { ParleyPending } from "./parley-pending.js";

/** @typedef {import("../lib/socket.js").Frame} Frame */
/** @typedef {import("./parley-turn.js").ParleyTurn} ParleyTurn */

class ParleyChat extends HTMLElement {
  #socket = tabSocket(this.dataset.socket);
  /** @type {Map<number, string>} turns by what stands for them in turn.text */
  #handles = new Map();
  #delivery = new Delivery(this.#socket, this.dataset.user ?? "");
  #actions = new TurnActions(this.#socket, {
    refused: (message) => this.#composer.showError(message),
    started: () => this.#thread.follow(),
  });

  connectedCallback() {
    listen(this.#socket, {
      "turn.created": (frame) => this.#created(frame),
      "turn.snapshot": (frame) => {
        this.#handles.set(frame.handle, frame.turn);
        this.#turn(frame.turn)?.snapshot(frame);
      },
      "turn.text": (frame) => this.#turn(this.#handles.get(frame.handle) ?? "")?.text(frame),
      "turn.blocks": (frame) => this.#turn(frame.turn)?.blocks(frame),
      "turn.state": (frame) => this.#turn(frame.turn)?.state(frame),
      "turn.final": (frame) => this.#final(frame),
      "turn.withdrawn": (frame) => this.#withdrawn(frame),
      "document.changed": showDocument,
      "document.removed": showDocument,
      lost: (lost) => this.#lost(lost),
      state: () => this.#delivery.flush(),
    });
    listen(this.#delivery, {
      message: ({ clientId, state, ...why }) => this.#pending(clientId)?.fares(state, why),
    });
    listen(this, {
      "parley:send": (message) => this.#send(message),
      "parley:assistant": (chosen) => this.#assistant(chosen),
      "parley:starter": (text) => this.#composer.submit(text),
      "parley:files": () => this.#files(),
      "parley:stop": () => this.#actions.stop([...this.#running]),
      "parley:resend": (clientId) => this.#delivery.again(clientId),
      "parley:take-back": (clientId) => this.#takeBack(clientId),
      "parley:retry": (wanted) => this.#actions.retry(wanted),
      "parley:continue": (wanted) => this.#actions.goOn(wanted),
      "parley:withdraw": (wanted) => this.#actions.withdraw(wanted),
      "parley:edit": (edited) => this.#actions.edit(edited),
      "parley:away": (away) => find(this, "[data-jump]").hidden = !away,
    });
    find(this, "[data-jump]").addEventListener("click", () => this.#thread.follow());
    document.addEventListener("keydown", (event) => this.#key(event));
    for (const message of this.#delivery.outbox.all()) {
      if (message.conversation !== this.dataset.conversation) continue;
      this.#show(ParleyPending.of(message)).fares(
        message.refused ? "refused" : "waiting",
        message.refused ?? {},
      );
    }
    if (!this.hasAttribute("data-new")) this.#subscribe();
    this.#delivery.flush();
    this.#settle();
  }

  #subscribe() {
    const live = () => [...this.#running].map((turn) => turn.turnId);
    this.#socket.subscribe(this.#topic, live);
  }

  get #topic() {
    return `conversation:${this.dataset.conversation}`;
  }

  /**
   * Nothing of the conversation comes any more.
   * @param {{topic: string, message: string}} lost
   */
  #lost({ topic, message }) {
    if (topic !== this.#topic) return;
    const notice = find(this, "[data-lost]");
    if (message) find(notice, "[data-text]").textContent = message;
    notice.hidden = false;
    for (const turn of this.#running) turn.abandon();
    this.#settle();
  }

  /** @returns {import("./parley-composer.js").ParleyComposer} */
  get #composer() {
    return find(this, "parley-composer");
  }

  /** @returns {import("./parley-thread.js").ParleyThread} */
  get #thread() {
    return find(this, "parley-thread");
  }

  /** @returns {import("./parley-remembering.js").ParleyRemembering} in the bar above the conversation */
  get #remembering() {
    return find(document, "parley-remembering");
  }

  /** @returns {any} where the conversation has not begun */
  get #welcome() {
    return this.querySelector("parley-welcome");
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
   * @returns {ParleyPending | null}
   */
  #pending(clientId) {
    return this.querySelector(`parley-pending[data-client="${clientId}"]`);
  }

  /** @returns {NodeListOf<ParleyTurn>} */
  get #running() {
    return this.querySelectorAll("parley-turn[data-live]");
  }

  /** @param {{id: string, name: string, blind: boolean}} chosen */
  #assistant({ id, name, blind }) {
    this.dataset.assistant = this.#composer.dataset.assistant = id;
    this.#composer.toggleAttribute("data-blind", blind);
    find(document, "[data-assistant-name]").dataset.assistantName = name;
  }

  /** @param {{text: string, files: string[], chips: HTMLElement[]}} written */
  #send({ text, files, chips }) {
    const turns =
      /** @type {NodeListOf<HTMLElement>} */ (this.querySelectorAll("parley-turn, parley-pending"));
    const last = [...turns].at(-1);
    /** @type {import("../lib/outbox.js").Message} */
    const message = {
      type: "turn.create",
      conversation: this.dataset.conversation ?? "",
      client_id: uuid(),
      assistant: this.dataset.assistant ?? null,
      text,
      files,
      uses_memory: this.#remembering.usesMemory,
      parent: last?.dataset.turn ?? null,
      after: last?.dataset.client ?? null,
    };
    this.#show(ParleyPending.of(message, chips)).fares(this.#socket.isOpen ? "sending" : "waiting");
    this.#thread.follow();
    this.#delivery.send(message);
  }

  /** @param {ParleyPending} pending */
  #show(pending) {
    this.#welcome?.remove();
    this.#thread.turns.append(pending);
    return pending;
  }

  /** @param {Frame} frame turn.created */
  #created(frame) {
    if (frame.conversation !== this.dataset.conversation) return;
    this.#arrive();
    this.#welcome?.remove();
    if (this.#turn(frame.turn)) return;
    const turn = element(frame.html);
    const pending = this.#pending(frame.client_id);
    if (pending) pending.replaceWith(turn);
    else this.#thread.branch(frame.parent, turn);
    // the address may name a branch that is not shown any more
    if (turn.isConnected && location.search) history.replaceState(null, "", this.dataset.url);
    this.#settle();
  }

  /** The first file that is stored makes the conversation, with the assistant chosen so far. */
  #files() {
    if (!this.#composer.querySelector("[data-document]")) return;
    this.#arrive();
    this.#welcome?.settle();
  }

  /** A stored conversation has an address and is watched. */
  #arrive() {
    this.#subscribe();
    if (!this.hasAttribute("data-new")) return;
    this.removeAttribute("data-new");
    if (this.dataset.url) history.replaceState(null, "", this.dataset.url);
    this.#composer.arrived();
    this.#remembering.arrived();
    const shown = find(document, "[data-assistant-name]");
    shown.textContent = shown.dataset.assistantName;
  }

  /** @param {Frame} frame turn.final */
  #final(frame) {
    this.#turn(frame.turn)?.final(element(frame.html));
    this.#settle();
    const { textFinished, textFailed } = this.dataset;
    if (frame.status !== "cancelled") announce((frame.status === "failed" ? textFailed : textFinished) ?? "");
  }

  /** @param {Frame} frame turn.withdrawn; with a `ref` where this tab asked for it */
  #withdrawn({ turn: id, active, text, ref }) {
    const turn = this.#turn(id);
    if (ref && text !== null) {
      this.#composer.addChips(turn?.chips ?? []);
      this.#composer.fill(text);
    }
    if (!turn) return;
    turn.remove();
    this.#settle();
    // the answer whose place it had taken is shown again
    if (active && !this.#turn(active)) location.reload();
  }

  /** @param {string} clientId of a message that was refused: it goes back to where it was written */
  #takeBack(clientId) {
    const message = this.#delivery.takeBack(clientId);
    const pending = this.#pending(clientId);
    if (pending) this.#composer.addChips(pending.chips);
    pending?.remove();
    if (message) this.#composer.fill(message.text);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== "Escape" || event.defaultPrevented || !this.#running.length) return;
    // what lies on top closes first
    if (document.querySelector(".panel:not([hidden]), :popover-open")) return;
    event.preventDefault();
    this.#actions.stop([...this.#running]);
  }

  #settle() {
    this.#composer.running = this.#running.length > 0;
  }
}

customElements.define("parley-chat", ParleyChat);
