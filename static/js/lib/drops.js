// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Lets files be dropped anywhere on the page. */

/** @param {DragEvent} event */
const carriesFiles = (event) => event.dataTransfer?.types.includes("Files") ?? false;

/**
 * @param {HTMLElement} veil shown while files are dragged over the page
 * @param {(files: Iterable<File>) => void} take
 */
export function acceptDrops(veil, take) {
  addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) veil.hidden = true;
  });
  addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    take(event.dataTransfer?.files ?? []);
  });
}
