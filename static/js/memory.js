// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** What is remembered of a person. */

import "./elements/parley-memory.js";
