"""The one list of what an answer may contain. Whatever came before it, nothing else reaches a page.

No image, no style, no id, no handler, no relative address: an answer cannot run a script, send a request, leave the
site's own links looking like its own, or take an element's name on the page. MathML is allowed without the elements
through which HTML parsers leave it again (`annotation-xml`, `mglyph`, `maction`, `semantics`).
"""

import nh3
from pygments.token import STANDARD_TYPES

_TEXT = {
    "a", "blockquote", "br", "code", "del", "div", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "span",
    "strong", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul", "parley-copy",
}  # fmt: skip
_MATHML = {
    "math", "menclose", "merror", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom",
    "mprescripts", "mroot", "mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd",
    "mtext", "mtr", "munder", "munderover", "none",
}  # fmt: skip
_MATHML_ATTRIBUTES = {
    "accent", "accentunder", "columnalign", "columnlines", "columnspacing", "depth", "displaystyle", "fence", "form",
    "height", "largeop", "linethickness", "lspace", "mathcolor", "mathvariant", "maxsize", "minsize", "movablelimits",
    "notation", "rowlines", "rowspacing", "rspace", "scriptlevel", "separator", "stretchy", "symmetric", "voffset",
    "width",
}  # fmt: skip

ALIGNMENTS = ("left", "center", "right")
CALLOUTS = ("note", "tip", "important", "warning", "caution")

_CLASSES = {
    "span": {name for name in STANDARD_TYPES.values() if name}
    | {"code__language", "math", "math--inline", "math--display", "task", "task--done"},
    "div": {"code", "code__header", "table", "footnote"},
    "pre": {"code__body"},
    "code": {"math-source"},
    "p": {"callout__title"},
    "blockquote": {"callout", *(f"callout--{name}" for name in CALLOUTS)},
    "sup": {"footnote-reference"},
    "td": {f"align-{side}" for side in ALIGNMENTS},
    "th": {f"align-{side}" for side in ALIGNMENTS},
}

_CLEANER = nh3.Cleaner(
    tags=_TEXT | _MATHML,
    # their content is no text for a reader
    clean_content_tags={"script", "style"},
    attributes={
        "a": {"href", "title"},
        "ol": {"start"},
        "div": {"aria-label"},
        "math": {"alttext"},
        **dict.fromkeys(_MATHML - {"math"}, _MATHML_ATTRIBUTES),
    },
    tag_attribute_values={
        "math": {"display": {"block", "inline"}},
        "div": {"role": {"region"}, "tabindex": {"0"}},
        "pre": {"tabindex": {"0"}},
    },
    set_tag_attribute_values={"a": {"target": "_blank"}},
    allowed_classes=_CLASSES,
    link_rel="noopener noreferrer nofollow",
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    strip_comments=True,
)


def sanitise(html: str) -> str:
    """`html` reduced to the list; balanced, so that pieces may be joined."""
    return _CLEANER.clean(html)
