// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Takes files: those chosen in a field, and those dropped anywhere on the page. */

/** @param {DragEvent} event */
const carriesFiles = (event) => event.dataTransfer?.types.includes("Files") ?? false;

/**
 * @param {HTMLElement} veil shown while files are dragged over the page
 * @param {(transfer: DataTransfer) => void} take
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
    if (event.dataTransfer) take(event.dataTransfer);
  });
}

/**
 * @param {HTMLInputElement} field
 * @param {(files: File[]) => void} take
 */
export function onPick(field, take) {
  const taken = () => {
    const files = [...field.files ?? []];
    field.value = "";
    if (files.length) take(files);
  };
  field.addEventListener("change", taken);
  // chosen before the scripts were there, or kept by the browser over a reload
  taken();
}
