// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** A conversation: asking, answers as they come, citations. */

import "./elements/parley-editor.js";
import "./elements/parley-turn.js";
import "./elements/parley-page-picture.js";
import "./elements/parley-pending.js";
import "./elements/parley-thread.js";
import "./elements/parley-composer.js";
import "./elements/parley-citation-panel.js";
import "./elements/parley-sent.js";
import "./elements/parley-remembering.js";
import "./elements/parley-welcome.js";
import "./elements/parley-chat.js";
