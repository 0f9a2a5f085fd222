"""TeX to MathML, and its source where the formula is beyond the converter."""

from functools import lru_cache
from html import escape

from latex2mathml import converter, exceptions

MAX_LENGTH = 2000

# What the converter raises on broken or unknown TeX, its own errors and those of its lookups.
_FAILURES = (
    exceptions.NumeratorNotFoundError,
    exceptions.DenominatorNotFoundError,
    exceptions.ExtraLeftOrMissingRightError,
    exceptions.MissingSuperScriptOrSubscriptError,
    exceptions.DoubleSubscriptsError,
    exceptions.DoubleSuperscriptsError,
    exceptions.NoAvailableTokensError,
    exceptions.InvalidStyleForGenfracError,
    exceptions.MissingEndError,
    exceptions.InvalidAlignmentError,
    exceptions.InvalidWidthError,
    exceptions.LimitsMustFollowMathOperatorError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    RecursionError,
    StopIteration,
    RuntimeError,
)


@lru_cache(maxsize=512)
def mathml(tex: str, *, display: bool) -> str:
    """The formula as MathML (not yet sanitised), or its source as code. Never raises."""
    source = f'<code class="math-source">{escape(tex)}</code>'
    if len(tex) > MAX_LENGTH:
        return source
    try:
        formula = converter.convert(tex, display="block" if display else "inline")
    except _FAILURES:
        return source
    formula = formula.replace("<math ", f'<math alttext="{escape(tex)}" ', 1)
    return f'<span class="math math--{"display" if display else "inline"}">{formula}</span>'
