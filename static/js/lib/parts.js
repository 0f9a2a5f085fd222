// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Sends a file in parts, and goes on where the server has it (tus 1.0.0, docs/uploads.md). */

import { ask, UploadError } from "./sending.js";

const VERSION = { "Tus-Resumable": "1.0.0" };
const CONFLICT = 409;
const DAMAGED = 460;

/** @typedef {import("./gather.js").Found} Found */
/** @typedef {import("./uploading.js").Target} Target */
/** @typedef {{signal: AbortSignal, progress: (percent: number) => void, begun?: (url: string) => void}} Telling */

/** @param {string} text */
const packed = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/**
 * @param {Blob} part
 * @returns {Promise<Uint8Array<ArrayBuffer> | null>} its SHA-256; null where the page was not loaded in a secure context
 */
async function hashed(part) {
  if (!crypto.subtle) return null;
  return new Uint8Array(await crypto.subtle.digest("SHA-256", await part.arrayBuffer()));
}

export class Parts {
  #found;
  #target;
  #id;
  /** where the server has it, once it was begun */
  url = "";
  #offset = 0;

  /**
   * @param {Found} found
   * @param {Target} target
   * @param {string} id of our own: begun again with it, the upload is the same one
   * @param {string} [url] of an upload that was begun before
   */
  constructor(found, target, id, url = "") {
    this.#found = found;
    this.#target = target;
    this.#id = id;
    this.url = url;
  }

  /**
   * Sends what the server does not have yet.
   * @param {Telling} telling
   * @returns {Promise<import("./uploading.js").Uploaded>} rejected as `ask` says
   */
  async send({ signal, progress, begun }) {
    const { file } = this.#found;
    const common = { signal, failure: this.#target.failure };
    await this.#place(common);
    begun?.(this.url);
    while (this.#offset < file.size) {
      const part = file.slice(this.#offset, this.#offset + this.#target.partBytes);
      const tell = (/** @type {number} */ sent) => progress(100 * (this.#offset + sent) / file.size);
      tell(0);
      await this.#append(part, common, tell);
    }
    progress(100);
    const { answer } = await ask({ ...common, method: "GET", url: this.url });
    return answer;
  }

  /** @param {{signal: AbortSignal, failure: string}} common */
  async #place(common) {
    const begun = this.url
      ? await ask({ ...common, method: "HEAD", url: this.url, headers: VERSION })
      : await this.#begin(common);
    this.#offset = Number(begun.header("Upload-Offset"));
    this.url ||= begun.header("Location") ?? "";
  }

  /** @param {{signal: AbortSignal, failure: string}} common */
  #begin(common) {
    const { file, path } = this.#found;
    const told = { filename: file.name, id: this.#id, path, modified: String(file.lastModified) };
    const pairs = Object.entries({ ...told, ...this.#target.fields }).filter(([, value]) => value);
    const headers = {
      ...VERSION,
      "Upload-Length": String(file.size),
      "Upload-Metadata": pairs.map(([key, value]) => `${key} ${packed(value)}`).join(","),
    };
    return ask({ ...common, method: "POST", url: this.#target.partsUrl, headers });
  }

  /**
   * @param {Blob} part
   * @param {{signal: AbortSignal, failure: string}} common
   * @param {(sent: number) => void} progress
   */
  async #append(part, common, progress) {
    const digest = await hashed(part);
    /** @type {Record<string, string>} */
    const headers = {
      ...VERSION,
      "Content-Type": "application/offset+octet-stream",
      "Upload-Offset": String(this.#offset),
    };
    if (digest) headers["Upload-Checksum"] = `sha256 ${btoa(String.fromCharCode(...digest))}`;
    const method = "PATCH";
    try {
      const { header } = await ask({ ...common, method, url: this.url, headers, body: part, progress });
      this.#offset = Number(header("Upload-Offset"));
    } catch (error) {
      if (!(error instanceof UploadError) || ![CONFLICT, DAMAGED].includes(error.status)) throw error;
      // another tab was faster, or it arrived damaged: from where the server has it
      await this.#place(common);
    }
  }

  /**
   * Whether the stored beginning of an upload is the beginning of this file. Where that cannot be found out it is not.
   * @param {AbortSignal} signal
   */
  async fits(signal) {
    const { answer } = await ask({ method: "GET", url: this.url, signal, failure: this.#target.failure });
    for (const [start, size, sha256] of answer.parts) {
      const digest = await hashed(this.#found.file.slice(start, start + size));
      const hex = [...digest ?? []].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      if (hex !== sha256) return false;
    }
    return true;
  }

  /** Lets the server forget what it has. */
  discard() {
    if (!this.url) return;
    const signal = new AbortController().signal;
    // an upload that is left there expires by itself
    ask({ method: "DELETE", url: this.url, headers: VERSION, signal, failure: "" }).catch(() => {});
  }
}
