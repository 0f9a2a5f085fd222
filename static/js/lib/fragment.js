// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Fetches a further part of a list that the server renders: earlier turns, earlier conversations. */

/**
 * @param {HTMLAnchorElement} link to a page with that part; followed as a link where it cannot be fetched
 * @param {string} selector of the list in that page
 * @returns {Promise<ParentNode | null>} what to put in place of the link
 */
export async function fetchPart(link, selector) {
  link.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(link.href, { headers: { Accept: "text/html" } });
    if (!response.ok) throw new Error(String(response.status));
    const template = document.createElement("template");
    template.innerHTML = await response.text();
    return template.content.querySelector(selector) ?? template.content;
  } catch {
    location.assign(link.href);
    return null;
  }
}

/**
 * The link that was clicked, unless the click means a new tab.
 * @param {MouseEvent} event
 * @param {string} selector
 * @returns {HTMLAnchorElement | null}
 */
export function clickedLink(event, selector) {
  const link = /** @type {Element} */ (event.target).closest(selector);
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return null;
  event.preventDefault();
  return /** @type {HTMLAnchorElement} */ (link);
}
