// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** One request with bytes: its progress, an end to a stalled one, and what its answer means. */

import { csrfToken } from "./page.js";

// Milliseconds without a byte going out or an answer coming after which a connection counts as lost.
const STALLED = 60_000;
// Answers of a site that is there but cannot do it now.
const BUSY = new Set([408, 425, 429, 502, 503, 504]);

/** The server's sentence about what went wrong with a file. */
export class UploadError extends Error {
  /**
   * @param {string} message
   * @param {boolean} retryable
   * @param {number} [status]
   */
  constructor(message, retryable, status = 0) {
    super(message);
    this.retryable = retryable;
    this.status = status;
  }
}

/** Nobody knows whether it got through: the network is away, or the site just starts again. */
export class LostError extends Error {}

/**
 * @typedef {object} Wanted
 * @property {string} method
 * @property {string} url
 * @property {Record<string, string>} [headers]
 * @property {XMLHttpRequestBodyInit | null} [body]
 * @property {AbortSignal} signal
 * @property {string} failure said where the server did not get to say anything
 * @property {(sent: number) => void} [progress] bytes that went out
 */

/**
 * @param {Wanted} wanted
 * @returns {Promise<{answer: any, header: (name: string) => string | null, status: number}>} rejected with UploadError,
 *   LostError, or the signal's reason
 */
export function ask({ method, url, headers = {}, body = null, signal, failure, progress }) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.responseType = "json";
    const sent = { "X-CSRFToken": csrfToken(), Accept: "application/json", ...headers };
    for (const [name, value] of Object.entries(sent)) request.setRequestHeader(name, value);
    const lost = () => reject(new LostError(failure));
    const stop = () => request.abort();
    /** @type {ReturnType<typeof setTimeout>} */
    let timer;
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        lost();
        stop();
      }, STALLED);
    };
    request.upload.addEventListener("progress", ({ loaded }) => {
      watch();
      progress?.(loaded);
    });
    request.addEventListener("load", () => {
      const { response: answer, status } = request;
      if (status < 300) resolve({ answer, status, header: (name) => request.getResponseHeader(name) });
      else if (BUSY.has(status)) lost();
      else reject(new UploadError(answer?.message ?? failure, answer?.retryable ?? status >= 500, status));
    });
    request.addEventListener("error", lost);
    request.addEventListener("abort", () => reject(signal.reason ?? new LostError(failure)));
    request.addEventListener("loadend", () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    });
    signal.addEventListener("abort", stop);
    watch();
    request.send(body);
  });
}
