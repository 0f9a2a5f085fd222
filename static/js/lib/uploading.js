// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Sends a file, and again after a lost connection, until the site has it or says why not. */

import { delayAfter, uuid } from "./page.js";
import { Parts } from "./parts.js";
import { ask, LostError, UploadError } from "./sending.js";

/** @typedef {import("./gather.js").Found} Found */
/** @typedef {{document: string | null, archive?: string, html: string, created: boolean, kept_as: string}} Uploaded */
/**
 * Where files go. `fields` go with each; `failure` is said where the server did not get to say anything.
 * @typedef {{url: string, partsUrl: string, partBytes: number, failure: string, fields?: Record<string, string>}} Target
 */

const DELAYS = { first: 1_000, longest: 15_000 };
// Tries in a row without a byte getting through: some four minutes.
const TRIES = 20;
const AT_ONCE = 3;
const GONE = 404;

/** Some things at a time, in the order in which they were asked for. */
class Lanes {
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

/** All uploads of this tab. */
export const lanes = new Lanes(AT_ONCE);

/**
 * @param {HTMLElement} element with the target in its data
 * @param {Record<string, string>} [fields]
 * @returns {Target}
 */
export function targetOf({ dataset }, fields = {}) {
  const { uploadUrl: url = "", partsUrl = "", partBytes, textUploadFailed: failure = "" } = dataset;
  return { url, partsUrl, partBytes: Number(partBytes), failure, fields };
}

/** One file on its way. What was sent of it stays when it is sent again. */
export class Sending {
  #found;
  #target;
  #parts;

  /**
   * @param {Found} found
   * @param {Target} target
   * @param {string} [url] of an upload in parts that was begun before
   */
  constructor(found, target, url = "") {
    this.#found = found;
    this.#target = target;
    const isLarge = found.file.size > target.partBytes;
    this.#parts = isLarge || url ? new Parts(found, target, uuid(), url) : null;
  }

  /**
   * @param {import("./parts.js").Telling & {waits?: () => void}} telling `waits` is told where there is no connection,
   *   `begun` where the parts of the file go
   * @returns {Promise<Uploaded>} rejected with UploadError, or the signal's reason
   */
  async send({ waits, ...telling }) {
    const { signal, progress } = telling;
    let best = 0;
    for (let failures = 0;;) {
      try {
        const counted = (/** @type {number} */ percent) => {
          if (percent > best) failures = 0;
          best = Math.max(best, percent);
          progress(Math.floor(percent));
        };
        return await this.#try({ ...telling, progress: counted });
      } catch (error) {
        if (error instanceof UploadError && error.status === GONE && this.#parts?.url) {
          // it stood still for too long; from the beginning
          this.#parts = new Parts(this.#found, this.#target, uuid());
        } else if (!(error instanceof LostError)) throw error;
        failures += 1;
        if (failures > TRIES) throw new UploadError(this.#target.failure, true);
        waits?.();
        await pause(delayAfter(failures - 1, DELAYS), signal);
      }
    }
  }

  /** @param {import("./parts.js").Telling} telling */
  async #try(telling) {
    if (this.#parts) return await this.#parts.send(telling);
    const { signal, progress } = telling;
    const { url, failure, fields } = this.#target;
    const { file, path } = this.#found;
    const form = new FormData();
    for (const [name, value] of Object.entries({ ...fields, path })) form.append(name, value);
    form.append("file", file);
    const tell = (/** @type {number} */ sent) => progress(Math.min(100, 100 * sent / file.size));
    const { answer } = await ask({ method: "POST", url, body: form, signal, failure, progress: tell });
    return answer;
  }

  /** It is not wanted any more. */
  discard() {
    this.#parts?.discard();
  }

  /**
   * Whether the file is the one that was begun. Otherwise it is sent from its beginning.
   * @param {AbortSignal} signal
   */
  async goesOn(signal) {
    if (!this.#parts || await this.#parts.fits(signal)) return true;
    this.#parts.discard();
    this.#parts = new Parts(this.#found, this.#target, uuid());
    return false;
  }
}

/**
 * Waits, but not longer than the network is away.
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}
