// @ts-check
/** Why a request over the socket was not done. */

/** The server could not do what was asked; `retryable` says whether asking again may help. */
export class RefusedError extends Error {
  /** @param {import("./socket.js").Frame} frame of type "error" */
  constructor(frame) {
    super(frame.message);
    this.code = frame.code;
    this.retryable = Boolean(frame.retryable);
  }
}

/** There was no connection, or it ended before the answer. */
export class DisconnectedError extends Error {}
