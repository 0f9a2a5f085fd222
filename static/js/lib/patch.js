// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Brings a part of the page to new HTML by changing only what differs: selection, focus and scrolling stay. */

/** Elements that fill themselves: what is in them is their own matter. */
const OPAQUE = new Set(["PARLEY-COPY"]);

/** Those of which another one, by its attributes, takes the place of the old one as a whole. */
const WHOLE = new Set(["PARLEY-PAGE-PICTURE"]);

/**
 * @param {Element} target
 * @param {string} html made and sanitised by the server
 */
export function patch(target, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  patchChildren(target, document.importNode(template.content, true));
}

/**
 * @param {Element} target
 * @param {ParentNode} source is used up
 */
export function patchChildren(target, source) {
  const old = [...target.childNodes];
  const fresh = [...source.childNodes];
  let index = 0;
  while (index < old.length && index < fresh.length && same(old[index], fresh[index])) index += 1;
  for (; index < fresh.length; index += 1) {
    if (index >= old.length) target.append(fresh[index]);
    else patchNode(old[index], fresh[index]);
  }
  for (; index < old.length; index += 1) old[index].remove();
}

/**
 * @param {Element} target
 * @param {Element} source is used up
 */
export function patchElement(target, source) {
  for (const { name } of [...target.attributes]) {
    if (!source.hasAttribute(name)) target.removeAttribute(name);
  }
  for (const { name, value } of source.attributes) {
    if (target.getAttribute(name) !== value) target.setAttribute(name, value);
  }
  patchChildren(target, source);
}

/**
 * @param {ChildNode} old
 * @param {ChildNode} fresh
 */
function patchNode(old, fresh) {
  if (same(old, fresh)) return;
  if (
    old instanceof Element && fresh instanceof Element && old.nodeName === fresh.nodeName &&
    !WHOLE.has(old.nodeName)
  ) {
    if (!OPAQUE.has(old.nodeName)) patchElement(old, fresh);
  } else if (old instanceof Text && fresh instanceof Text) {
    // adding at the end leaves a selection in the text where it is
    if (fresh.data.startsWith(old.data)) old.appendData(fresh.data.slice(old.data.length));
    else old.data = fresh.data;
  } else {
    old.replaceWith(fresh);
  }
}

/**
 * @param {Node} one
 * @param {Node} other
 * @returns {boolean}
 */
function same(one, other) {
  if (one.isEqualNode(other)) return true;
  if (!(one instanceof Element && other instanceof Element) || one.nodeName !== other.nodeName) return false;
  if (OPAQUE.has(one.nodeName)) return true;
  const alike = one.attributes.length === other.attributes.length &&
    [...one.attributes].every(({ name, value }) => other.getAttribute(name) === value);
  if (WHOLE.has(one.nodeName)) return alike;
  const children = one.childNodes;
  return one.querySelector("parley-copy, parley-page-picture") !== null &&
    alike &&
    children.length === other.childNodes.length &&
    [...children].every((child, index) => same(child, other.childNodes[index]));
}
