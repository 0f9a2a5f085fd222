// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Messages on their way: kept in this browser until the server says that they are stored, whatever happens to the
 * connection or the tab. Sending one twice is harmless, since the server knows it by its `client_id`.
 */

/**
 * @typedef {object} Message
 * @property {"turn.create"} type
 * @property {string} conversation
 * @property {string} client_id
 * @property {string | null} assistant
 * @property {string} text
 * @property {string[]} files
 * @property {string | null} parent
 * @property {boolean} [uses_memory] what a conversation that the message begins does; left out it does
 * @property {{message: string, retryable: boolean} | null} [refused] why the server did not take it
 * @property {string | null} [after] the client_id of a message that must be stored first: its turn is the parent
 */

export class Outbox {
  #prefix;

  /** @param {string} user whose messages these are: another person at this browser must not send them */
  constructor(user) {
    this.#prefix = `parley.outbox.${user}.`;
  }

  /** @param {Message} message */
  put(message) {
    const key = this.#prefix + message.client_id;
    const { at } = JSON.parse(localStorage.getItem(key) ?? "{}");
    localStorage.setItem(key, JSON.stringify({ at: at ?? Date.now(), message }));
  }

  /**
   * @param {string} clientId
   * @returns {Message | null}
   */
  get(clientId) {
    const kept = localStorage.getItem(this.#prefix + clientId);
    return kept ? JSON.parse(kept).message : null;
  }

  /** @param {string} clientId */
  remove(clientId) {
    localStorage.removeItem(this.#prefix + clientId);
  }

  /**
   * A message is stored as `turn`: it is forgotten here, and what waited for it follows on it.
   * @param {string} clientId
   * @param {string} turn
   */
  stored(clientId, turn) {
    this.remove(clientId);
    for (const message of this.all()) {
      if (message.after === clientId) this.put({ ...message, after: null, parent: turn });
    }
  }

  /**
   * In the order in which they were written.
   * @returns {Message[]}
   */
  all() {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(this.#prefix));
    const kept = keys.map((key) => JSON.parse(localStorage.getItem(key) ?? "null")).filter(Boolean);
    return kept.sort((one, other) => one.at - other.at).map(({ message }) => message);
  }
}
