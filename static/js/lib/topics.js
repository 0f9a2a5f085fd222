// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** What a tab watches: subscribed to on every connection, until it may not be watched any more. */

import { delayAfter } from "./page.js";
import { RefusedError } from "./refusals.js";

const DELAYS = { first: 1_000, longest: 15_000 };
const NOT_FOUND = "not_found";

export class Topics {
  #socket;
  #lost;
  /** @type {Map<string, () => string[]>} the turns that the page shows as live, by topic */
  #live = new Map();

  /**
   * @param {import("./socket.js").Socket} socket
   * @param {(lost: {topic: string, message: string}) => void} lost told where a topic may not be watched any more;
   *   `message` is the server's reason where there is another one
   */
  constructor(socket, lost) {
    this.#socket = socket;
    this.#lost = lost;
    socket.addEventListener("unsubscribed", (event) => {
      const { topic, code } = /** @type {CustomEvent} */ (event).detail;
      if (code === NOT_FOUND) this.#lose(topic, "");
    });
  }

  /**
   * @param {string} topic
   * @param {() => string[]} live
   */
  add(topic, live) {
    if (this.#live.has(topic)) return;
    this.#live.set(topic, live);
    this.#follow(topic, live);
  }

  /**
   * @param {string} topic
   * @returns {boolean} whether it was there
   */
  remove(topic) {
    return this.#live.delete(topic);
  }

  /** There is a new connection. */
  follow() {
    for (const [topic, live] of this.#live) this.#follow(topic, live);
  }

  /**
   * Subscribes; where the server cannot do it now, again and again on this connection.
   * @param {string} topic
   * @param {() => string[]} live
   * @param {number} [failures]
   */
  async #follow(topic, live, failures = 0) {
    const { connection } = this.#socket;
    if (!connection) return;
    try {
      await this.#socket.request({ type: "subscribe", topic, live: live() });
    } catch (error) {
      if (!(error instanceof RefusedError) || this.#live.get(topic) !== live) return;
      if (!error.retryable) return this.#lose(topic, error.code === NOT_FOUND ? "" : error.message);
      setTimeout(() => {
        const wanted = connection === this.#socket.connection && this.#live.get(topic) === live;
        if (wanted) this.#follow(topic, live, failures + 1);
      }, delayAfter(failures, DELAYS));
    }
  }

  /**
   * It is asked for on no connection any more.
   * @param {string} topic
   * @param {string} message
   */
  #lose(topic, message) {
    if (this.#live.delete(topic)) this.#lost({ topic, message });
  }
}
