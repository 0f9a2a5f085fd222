// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Makes the site's elements known to the browser. */

import "./elements/parley-copy.js";
import "./elements/parley-editor.js";
import "./elements/parley-turn.js";
import "./elements/parley-page-picture.js";
import "./elements/parley-pending.js";
import "./elements/parley-thread.js";
import "./elements/parley-composer.js";
import "./elements/parley-citation-panel.js";
import "./elements/parley-sent.js";
import "./elements/parley-memory.js";
import "./elements/parley-reindexing.js";
import "./elements/parley-remembering.js";
import "./elements/parley-connection.js";
import "./elements/parley-conversations.js";
import "./elements/parley-document.js";
import "./elements/parley-library.js";
import "./elements/parley-uploads.js";
import "./elements/parley-welcome.js";
import "./elements/parley-chat.js";
