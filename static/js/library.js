// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The library: lists, uploads, one document, another index. */

import "./elements/parley-library.js";
import "./elements/parley-document.js";
import "./elements/parley-uploads.js";
import "./elements/parley-reindexing.js";
import "./elements/parley-page-picture.js";
