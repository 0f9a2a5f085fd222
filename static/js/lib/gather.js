// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Files that people choose, drop or paste, folders included, each with its way through the folders. */

/** @typedef {{file: File, path: string}} Found `path` is empty where there is no folder */
/** @typedef {{found: Found[], hidden: number, more: boolean}} Gathered `hidden` were left out, `more` are beyond the limit */

// What systems leave in folders; and in folders whatever begins with a dot. A hidden file that is named is wanted.
const LEFT_BEHIND = /(^|\/)(\.DS_Store|Thumbs\.db|desktop\.ini)$|(^|\/)__MACOSX\//i;
const HIDDEN = /\/\./;

class Gatherer {
  /** @type {Gathered} */
  gathered = { found: [], hidden: 0, more: false };
  #limit;

  /** @param {number} limit */
  constructor(limit) {
    this.#limit = limit;
  }

  /**
   * @param {File} file
   * @param {string} path
   */
  add(file, path) {
    const { found } = this.gathered;
    if (LEFT_BEHIND.test(path || file.name) || HIDDEN.test(path)) this.gathered.hidden += 1;
    else if (found.length >= this.#limit) this.gathered.more = true;
    else found.push({ file, path: path.includes("/") ? path : "" });
  }

  /**
   * @param {FileSystemEntry} entry
   * @returns {Promise<void>}
   */
  async walk(entry) {
    const path = entry.fullPath.replace(/^\//, "");
    if (this.gathered.more) return;
    if (entry.isFile) {
      const { file } = /** @type {FileSystemFileEntry} */ (entry);
      this.add(await new Promise((resolve, reject) => file.call(entry, resolve, reject)), path);
    } else if (LEFT_BEHIND.test(`${path}/`) || HIDDEN.test(path)) this.gathered.hidden += 1;
    else await this.#walkFolder(/** @type {FileSystemDirectoryEntry} */ (entry).createReader());
  }

  /** @param {FileSystemDirectoryReader} reader which gives some entries at a time, and none at the end */
  async #walkFolder(reader) {
    for (;;) {
      /** @type {FileSystemEntry[]} */
      const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!entries.length) return;
      for (const entry of entries) await this.walk(entry);
    }
  }
}

/**
 * @param {Iterable<File>} files that were chosen, by themselves or with their folder
 * @param {number} limit
 * @returns {Gathered}
 */
export function gatherFiles(files, limit) {
  const gatherer = new Gatherer(limit);
  for (const file of files) gatherer.add(file, file.webkitRelativePath);
  return gatherer.gathered;
}

/**
 * What was dropped. To be called while the event is handled: later there is nothing left to read.
 * @param {DataTransfer} transfer
 * @param {number} limit
 */
export async function gatherDrop(transfer, limit) {
  const gatherer = new Gatherer(limit);
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const dropped = items.map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  for (const { entry, file } of dropped) {
    if (entry?.isDirectory) await gatherer.walk(entry);
    else if (file) gatherer.add(file, "");
  }
  return gatherer.gathered;
}

/**
 * What was pasted; pictures from the clipboard, which all have one name, get one that says when.
 * @param {ClipboardEvent} event
 * @param {string} name of a picture, with `{when}`
 * @returns {File[]} empty where it was text
 */
export function pastedFiles(event, name) {
  const files = [...event.clipboardData?.files ?? []];
  if (!files.length || event.clipboardData?.getData("text/plain")) return [];
  event.preventDefault();
  return files.map((file) => {
    if (!/^image\.\w+$/.test(file.name)) return file;
    const now = new Date();
    const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString();
    const when = `${local.slice(0, 10)} ${local.slice(11, 16).replace(":", ".")}`;
    return new File([file], name.replace("{when}", when) + file.name.slice(5), { type: file.type });
  });
}
