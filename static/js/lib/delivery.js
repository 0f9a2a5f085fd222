// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Brings the outbox to the server, one message after the other, whenever there is a connection.
 *
 * Tells how each one fares with `message` events: detail {clientId, state, message, retryable}, where state is
 * "sending", "waiting" (for the connection) or "refused". That it is stored the server tells everybody (`turn.created`).
 */

import { Outbox } from "./outbox.js";
import { RefusedError } from "./refusals.js";

/** @typedef {import("./outbox.js").Message} Message */

export class Delivery extends EventTarget {
  #socket;
  #running = false;

  /**
   * @param {import("./socket.js").Socket} socket
   * @param {string} user
   */
  constructor(socket, user) {
    super();
    this.#socket = socket;
    this.outbox = new Outbox(user);
    socket.addEventListener("turn.created", (event) => {
      const { client_id, turn } = /** @type {CustomEvent} */ (event).detail;
      this.outbox.stored(client_id, turn);
    });
  }

  /** @param {Message} message */
  send(message) {
    this.outbox.put(message);
    this.flush();
  }

  /** @param {string} clientId of a message that was refused */
  again(clientId) {
    const message = this.outbox.get(clientId);
    if (message) this.send({ ...message, refused: null });
  }

  /**
   * @param {string} clientId
   * @returns {Message | null} the message, which is no longer kept here
   */
  takeBack(clientId) {
    const message = this.outbox.get(clientId);
    if (!message) return null;
    this.outbox.remove(clientId);
    // what was to follow it follows what it was to follow
    for (const kept of this.outbox.all()) {
      if (kept.after === clientId) this.outbox.put({ ...kept, after: message.after, parent: message.parent });
    }
    this.flush();
    return message;
  }

  async flush() {
    if (this.#running) return;
    this.#running = true;
    while (this.#socket.isOpen) {
      // what follows a message waits until that one has a turn
      const message = this.outbox.all().find((kept) => !kept.refused && !kept.after);
      if (!message || !await this.#deliver(message)) break;
    }
    this.#running = false;
  }

  /**
   * @param {Message} message
   * @returns {Promise<boolean>} whether to go on with the next one
   */
  async #deliver(message) {
    const { after: _after, refused: _refused, ...frame } = message;
    this.#tell(message.client_id, "sending");
    try {
      await this.#socket.request(frame);
      return true;
    } catch (error) {
      if (!(error instanceof RefusedError)) {
        this.#tell(message.client_id, "waiting");
        return false;
      }
      const refused = { message: error.message, retryable: error.retryable };
      this.outbox.put({ ...message, refused });
      this.#tell(message.client_id, "refused", refused);
      return true;
    }
  }

  /**
   * @param {string} clientId
   * @param {string} state
   * @param {object} [why]
   */
  #tell(clientId, state, why = {}) {
    this.dispatchEvent(new CustomEvent("message", { detail: { clientId, state, ...why } }));
  }
}
