// @ts-check
/** Some things at a time, in the order in which they were asked for. */

export class Lanes {
  #free;
  /** @type {(() => Promise<void>)[]} */
  #waiting = [];

  /** @param {number} number how many at a time */
  constructor(number) {
    this.#free = number;
  }

  /** @param {() => Promise<void>} run that does not reject */
  add(run) {
    this.#waiting.push(run);
    this.#next();
  }

  async #next() {
    if (!this.#free) return;
    const run = this.#waiting.shift();
    if (!run) return;
    this.#free -= 1;
    await run();
    this.#free += 1;
    this.#next();
  }
}
