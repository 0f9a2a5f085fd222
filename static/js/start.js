// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** What every page of the site does. */

import "./elements/parley-copy.js";
import "./elements/parley-connection.js";
import "./elements/parley-conversations.js";
