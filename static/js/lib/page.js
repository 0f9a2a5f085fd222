// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Small things that every element needs of its page. */

/**
 * The element that must be there: its absence is a fault of the template, not a case to handle.
 * @template {keyof HTMLElementTagNameMap} [K=any]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {any}
 */
export function find(root, selector) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`the page lacks ${selector}`);
  return found;
}

/**
 * The first element of an HTML fragment made by the server.
 * @param {string} html
 * @returns {HTMLElement}
 */
export function element(html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  return /** @type {HTMLElement} */ (document.importNode(template.content, true).firstElementChild);
}

/**
 * A copy of what the page holds in `<template id="…">`.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function fromTemplate(id) {
  const content = find(document, `template#${id}`).content;
  return /** @type {HTMLElement} */ (document.importNode(content, true).firstElementChild);
}

/** A random UUID, also where the page was not loaded in a secure context. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The token that every POST carries. */
export function csrfToken() {
  return document.querySelector('meta[name="csrf-token"]')?.getAttribute("content") ?? "";
}

/**
 * Says something once to people who use a screen reader, without taking the focus.
 * @param {string} text
 */
export function announce(text) {
  const announcer = document.querySelector("[data-announcer]");
  if (!announcer) return;
  announcer.textContent = "";
  // the same sentence twice is news only if there was nothing in between
  requestAnimationFrame(() => announcer.textContent = text);
}

/**
 * Puts text on the clipboard, also where the page was not loaded in a secure context.
 * @param {string} text
 */
export async function copyText(text) {
  if (navigator.clipboard) return await navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/**
 * Shows on a button that its copying is done, and says so.
 * @param {HTMLElement} button with `data-copied`
 */
export function showCopied(button) {
  const use = find(button, "use");
  const before = use.getAttribute("href");
  use.setAttribute("href", before.replace(/#.*/, "#done"));
  announce(button.dataset.copied ?? "");
  setTimeout(() => use.setAttribute("href", before), 1600);
}

/**
 * Hands the details of events to functions.
 * @param {EventTarget} target
 * @param {Record<string, (detail: any) => void>} handlers by the name of the event
 */
export function listen(target, handlers) {
  for (const [name, handle] of Object.entries(handlers)) {
    target.addEventListener(name, (event) => handle(/** @type {CustomEvent} */ (event).detail));
  }
}

/**
 * Milliseconds to wait before the next try: they grow, and no two tabs take the same.
 * @param {number} failures so far
 * @param {{first: number, longest: number}} bounds
 */
export function delayAfter(failures, { first, longest }) {
  return Math.min(longest, first * 2 ** failures) * (0.5 + Math.random() / 2);
}
