"""`{% importmap "elements/parley-chat.js" … %}`: the site's modules under their published names, without a bundler.

Modules import each other by relative address. The map sends each of these addresses to the file that the static files
storage publishes (with a hash in its name in production), so every module can be cached for ever.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from posixpath import dirname, join, normpath

from django import template
from django.conf import settings
from django.template import Context
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

ROOT = "js"
# `import … from "./x.js"` and `import "./x.js"`, as the formatter writes them
_IMPORT = re.compile(r"""^(?:import|export)\s(?:[^;"']*\sfrom\s)?["'](\.{1,2}/[^"']+)["'];$""", re.MULTILINE)
# what would end the script element early, or start something else inside it
_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


@register.simple_tag(takes_context=True)
def importmap(context: Context, *entries: str) -> SafeString:
    """The import map with the request's CSP nonce, a preload for each module of the entries, a script for each."""
    modules = _modules() if settings.DEBUG else _modules_once()
    needed = reachable(*entries) if settings.DEBUG else _reachable_once(*entries)
    text = json.dumps({"imports": modules}, separators=(",", ":")).translate(_ESCAPES)
    nonce = str(context.get("CSP_NONCE", ""))
    preloads = format_html_join("", '<link rel="modulepreload" href="{}">', ((_url(name),) for name in needed))
    scripts = format_html_join("", '<script type="module" src="{}"></script>', ((_url(name),) for name in entries))
    return format_html(
        '<script type="importmap" nonce="{}">{}</script>{}{}',
        nonce,
        mark_safe(text),  # noqa: S308 - JSON with every sign escaped that means something in HTML
        preloads,
        scripts,
    )


def _modules() -> dict[str, str]:
    """Each module's plain address and the address that the storage gives it."""
    prefix = settings.STATIC_URL
    names = sorted(
        path.relative_to(folder).as_posix() for folder in _folders() for path in (folder / ROOT).rglob("*.js")
    )
    return {f"{prefix}{name}": static(name) for name in names}


_modules_once = lru_cache(maxsize=1)(_modules)


def reachable(*entries: str) -> list[str]:
    """What a page loads for these entries: the modules that they import, and those that these import, and the entries.

    Names are relative to `static/js`. Raises FileNotFoundError for one that is not there.
    """
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            source = _path(name).read_text(encoding="utf-8")
            waiting += [normpath(join(dirname(name), target)) for target in _IMPORT.findall(source)]
    return sorted(found)


_reachable_once = lru_cache(maxsize=50)(reachable)


def _path(name: str) -> Path:
    for folder in _folders():
        if (path := folder / f"{ROOT}/{name}").is_file():
            return path
    raise FileNotFoundError(f"There is no module {name}.")


def _folders() -> list[Path]:
    return [Path(folder) for folder in settings.STATICFILES_DIRS]


def _url(name: str) -> str:
    return static(f"{ROOT}/{name}")
