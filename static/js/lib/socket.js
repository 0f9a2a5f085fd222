// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * The tab's one WebSocket (docs/websocket.md). It comes back by itself and subscribes again; every frame from the
 * server is dispatched as an event named by its type, with the frame as `detail`. `state` events say "open",
 * "closed" or "signed-out".
 */

import { uuid } from "./page.js";

const SIGNED_OUT = 4401;
const FLOODED = 4429;
const FIRST_DELAY = 400;
const LONGEST_DELAY = 15_000;
const SILENCE = 25_000;
const ANSWER_WITHIN = 10_000;

/** @typedef {{type: string, [field: string]: any}} Frame */

/** The server could not do what was asked; `retryable` says whether asking again may help. */
export class RefusedError extends Error {
  /** @param {Frame} frame of type "error" */
  constructor(frame) {
    super(frame.message);
    this.code = frame.code;
    this.retryable = Boolean(frame.retryable);
  }
}

/** There was no connection, or it ended before the answer. */
export class DisconnectedError extends Error {}

export class Socket extends EventTarget {
  #url;
  /** @type {WebSocket | null} */
  #socket = null;
  #open = false;
  #failures = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watchdog;
  /** @type {Map<string, () => string[]>} */
  #topics = new Map();
  /** @type {Map<string, {resolve: (frame: Frame) => void, reject: (error: Error) => void}>} */
  #waiting = new Map();

  /** @param {string} path of the endpoint on this site */
  constructor(path) {
    super();
    const url = new URL(path, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.#url = url.href;
    addEventListener("online", () => this.#connectNow());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#connectNow();
    });
    // a page that comes back from the browser's memory has lost its socket
    addEventListener("pageshow", (event) => event.persisted && this.#connectNow());
    this.#connect();
  }

  get isOpen() {
    return this.#open;
  }

  /**
   * @param {string} topic
   * @param {() => string[]} [live] the turns that the page shows as live: it is told of those that ended meanwhile
   */
  subscribe(topic, live = () => []) {
    if (this.#topics.has(topic)) return;
    this.#topics.set(topic, live);
    if (this.#open) this.#send({ type: "subscribe", topic, live: live() });
  }

  /** @param {string} topic */
  unsubscribe(topic) {
    if (this.#topics.delete(topic) && this.#open) this.#send({ type: "unsubscribe", topic });
  }

  /**
   * Sends a frame and waits for its answer.
   * @param {Frame} frame
   * @returns {Promise<Frame>} rejected with RefusedError or DisconnectedError
   */
  request(frame) {
    if (!this.#open) return Promise.reject(new DisconnectedError("not connected"));
    const ref = uuid();
    return new Promise((resolve, reject) => {
      this.#waiting.set(ref, { resolve, reject });
      this.#send({ ...frame, ref });
    });
  }

  /** @param {Frame} frame */
  #send(frame) {
    this.#socket?.send(JSON.stringify(frame));
  }

  #connectNow() {
    if (this.#socket) return;
    this.#failures = 0;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#timer);
    const socket = this.#socket = new WebSocket(this.#url);
    socket.addEventListener("message", ({ data }) => this.#receive(JSON.parse(data)));
    socket.addEventListener("close", ({ code }) => socket === this.#socket && this.#lost(code));
    this.#watch();
  }

  /** @param {Frame} frame */
  #receive(frame) {
    this.#watch();
    if (frame.type === "hello") this.#greet();
    const waiting = this.#waiting.get(frame.ref);
    if (waiting) {
      this.#waiting.delete(frame.ref);
      if (frame.type === "error") waiting.reject(new RefusedError(frame));
      else waiting.resolve(frame);
    }
    this.dispatchEvent(new CustomEvent(frame.type, { detail: frame }));
  }

  #greet() {
    this.#open = true;
    this.#failures = 0;
    for (const [topic, live] of this.#topics) this.#send({ type: "subscribe", topic, live: live() });
    this.#tell("open");
  }

  /** A connection that died without a word is found by asking after a while of silence. */
  #watch() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      if (this.#open) this.#send({ type: "ping", ref: "watchdog" });
      this.#watchdog = setTimeout(() => {
        const socket = this.#socket;
        if (!socket) return;
        this.#lost(0);
        socket.close();
      }, ANSWER_WITHIN);
    }, this.#open ? SILENCE : ANSWER_WITHIN);
  }

  /** @param {number} code */
  #lost(code) {
    clearTimeout(this.#watchdog);
    this.#socket = null;
    this.#open = false;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(new DisconnectedError("the connection ended"));
    if (code === SIGNED_OUT) return this.#tell("signed-out");
    this.#tell("closed");
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#failures);
    this.#failures += 1;
    const delay = code === FLOODED ? LONGEST_DELAY : longest * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.#connect(), delay);
  }

  /** @param {string} state */
  #tell(state) {
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

/** @type {Socket | undefined} */
let shared;

/**
 * The socket of this tab, made on first use.
 * @param {string} [path]
 */
export function tabSocket(path = "/ws/") {
  return shared ??= new Socket(path);
}
