// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * The tab's one WebSocket (docs/websocket.md). It comes back by itself and subscribes again; every frame from the
 * server is dispatched as an event named by its type ("turn.text" for the one that is an array), with the frame as
 * `detail`. `state` events say "open", "closed" or "signed-out"; `lost` {topic, message} that a topic may not be watched
 * any more.
 */

import { delayAfter, uuid } from "./page.js";
import { DisconnectedError, RefusedError } from "./refusals.js";
import { Topics } from "./topics.js";

const SIGNED_OUT = 4401;
const FLOODED = 4429;
const DELAYS = { first: 400, longest: 15_000 };
const SILENCE = 25_000;
const ANSWER_WITHIN = 10_000;
const ANSWER_SOON = 3_000;

/** @typedef {{type: string, [field: string]: any}} Frame */

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
  #topics = new Topics(this, (lost) => this.dispatchEvent(new CustomEvent("lost", { detail: lost })));
  /** @type {Map<string, {frame: Frame, resolve: (frame: Frame) => void, reject: (error: Error) => void}>} */
  #waiting = new Map();

  /** @param {string} path of the endpoint on this site */
  constructor(path) {
    super();
    const url = new URL(path, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.#url = url.href;
    addEventListener("online", () => this.#wake());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#wake();
    });
    // a page that comes back from the browser's memory has lost its socket
    addEventListener("pageshow", (event) => event.persisted && this.#connectNow());
    this.#connect();
  }

  get isOpen() {
    return this.#open;
  }

  /** The present connection, for telling it from later ones; null where frames cannot be sent. */
  get connection() {
    return this.#open ? this.#socket : null;
  }

  /**
   * @param {string} topic
   * @param {() => string[]} [live] the turns that the page shows as live: it is told of those that ended meanwhile
   */
  subscribe(topic, live = () => []) {
    this.#topics.add(topic, live);
  }

  /** @param {string} topic */
  unsubscribe(topic) {
    if (this.#topics.remove(topic) && this.#open) this.#send({ type: "unsubscribe", topic });
  }

  /**
   * Sends a frame and waits for its answer.
   * @param {Frame} frame
   * @returns {Promise<Frame>} rejected with RefusedError or DisconnectedError
   */
  request(frame) {
    if (!this.#open) return Promise.reject(new DisconnectedError("not connected"));
    const sent = { ...frame, ref: uuid() };
    return new Promise((resolve, reject) => {
      this.#waiting.set(sent.ref, { frame: sent, resolve, reject });
      this.#send(sent);
    });
  }

  /** @param {Frame} frame */
  #send(frame) {
    this.#socket?.send(JSON.stringify(frame));
  }

  /**
   * The server had no room for it, and did not look at it.
   * @param {Frame} frame
   * @param {number} seconds
   */
  #sendLater(frame, seconds) {
    setTimeout(() => this.#waiting.has(frame.ref) && this.#send(frame), seconds * 1000);
  }

  #connectNow() {
    if (this.#socket) return;
    this.#failures = 0;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#timer);
    const socket = this.#socket = new WebSocket(this.#url);
    socket.addEventListener("message", ({ data }) => {
      // what a connection says that was given up is nobody's any more
      if (socket === this.#socket) this.#receive(named(JSON.parse(data)));
    });
    socket.addEventListener("close", ({ code }) => socket === this.#socket && this.#lost(code));
    this.#watch();
  }

  /** @param {Frame} frame */
  #receive(frame) {
    this.#watch();
    if (frame.type === "hello") this.#greet();
    const waiting = this.#waiting.get(frame.ref);
    if (waiting && frame.wait) return this.#sendLater(waiting.frame, frame.wait);
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
    this.#topics.follow();
    this.#tell("open");
  }

  /** A connection that died without a word is found by asking after a while of silence. */
  #watch() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(
      () => this.#doubt(ANSWER_WITHIN),
      this.#open ? SILENCE : ANSWER_WITHIN,
    );
  }

  /** @param {number} within milliseconds in which a living connection says something */
  #doubt(within) {
    clearTimeout(this.#watchdog);
    if (this.#open) this.#send({ type: "ping", ref: "watchdog" });
    this.#watchdog = setTimeout(() => {
      const socket = this.#socket;
      if (!socket) return;
      this.#lost(0);
      socket.close();
    }, within);
  }

  /** The network or the person has come back: a connection that seems to live may have died meanwhile. */
  #wake() {
    if (this.#open) this.#doubt(ANSWER_SOON);
    else this.#connectNow();
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
    const delay = code === FLOODED ? DELAYS.longest : delayAfter(this.#failures, DELAYS);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#connect(), delay);
  }

  /** @param {string} state */
  #tell(state) {
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

/**
 * @param {any} frame
 * @returns {Frame}
 */
function named(frame) {
  if (!Array.isArray(frame)) return frame;
  const [handle, number, end, html] = frame;
  return { type: "turn.text", handle, number, end, html };
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
