// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** What a person does with turns that are there: stop, answer again, let go on, change, take back. */

import { uuid } from "./page.js";
import { RefusedError } from "./refusals.js";

/** @typedef {import("./socket.js").Frame} Frame */
/** @typedef {import("../elements/parley-turn.js").ParleyTurn} ParleyTurn */

export class TurnActions {
  #socket;
  #page;

  /**
   * @param {import("./socket.js").Socket} socket
   * @param {{refused: (message: string) => void, started: () => void}} page `refused` shows why something was not
   *   done, `started` goes to the turn that now is at the end
   */
  constructor(socket, page) {
    this.#socket = socket;
    this.#page = page;
  }

  /**
   * Stops what is being written. Where everything still waits the last message is taken back: it is the one that the
   * person has just sent.
   * @param {ParleyTurn[]} live
   */
  stop(live) {
    const running = live.filter((turn) => !turn.isQueued);
    const last = live.at(-1);
    if (!running.length && last) return this.#stopOrWithdraw(last);
    for (const turn of running) this.#ask({ type: "turn.stop", turn: turn.turnId });
  }

  /** @param {ParleyTurn} turn */
  async #stopOrWithdraw(turn) {
    try {
      await this.#withdraw(turn.turnId);
    } catch (error) {
      // it began at this moment
      if (error instanceof RefusedError) this.#ask({ type: "turn.stop", turn: turn.turnId });
    }
  }

  /** @param {{turn: string, button: HTMLButtonElement}} wanted */
  retry(wanted) {
    return this.#start("turn.retry", wanted);
  }

  /** @param {{turn: string, button: HTMLButtonElement}} wanted */
  goOn(wanted) {
    return this.#start("turn.continue", wanted);
  }

  /**
   * @param {string} type
   * @param {{turn: string, button: HTMLButtonElement}} wanted
   */
  async #start(type, { turn, button }) {
    if (await this.#ask({ type, turn, client_id: uuid() })) this.#page.started();
    button.removeAttribute("aria-disabled");
  }

  /** @param {{turn: string, clientId: string, text: string, files?: string[], failed: (message: string) => void}} edited */
  async edit({ turn, clientId, text, files, failed }) {
    try {
      const change = files ? { text, files } : { text };
      await this.#socket.request({ type: "turn.edit", turn, client_id: clientId, ...change });
      this.#page.started();
    } catch (error) {
      failed(error instanceof RefusedError ? error.message : "");
    }
  }

  /** @param {{turn: string, button: HTMLButtonElement}} wanted */
  async withdraw({ turn, button }) {
    try {
      await this.#withdraw(turn);
    } catch (error) {
      if (error instanceof RefusedError) this.#page.refused(error.message);
      button.removeAttribute("aria-disabled");
    }
  }

  /**
   * That it is done the page is told by its frame.
   * @param {string} turn
   */
  #withdraw(turn) {
    return this.#socket.request({ type: "turn.withdraw", turn });
  }

  /** @param {Frame} frame */
  async #ask(frame) {
    try {
      return await this.#socket.request(frame);
    } catch (error) {
      if (error instanceof RefusedError) this.#page.refused(error.message);
      return null;
    }
  }
}
