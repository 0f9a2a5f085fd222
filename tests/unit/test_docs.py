"""What the documents say about the project itself can be checked: links, files, commands, settings."""

import re
from pathlib import Path

import pytest

from config.local.options import known_names
from tests.compose_file import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs/adr").glob("*.md"))

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```", re.DOTALL)
_MAKE = re.compile(r"\bmake ((?:[a-z]+-)?[a-z]+)\b")
# a path of this repository as the pages write it: `docs/guide.md`, `core/jail`, `manage.py`
_FOLDERS = "chat|config|core|deploy|docs|retrieval|static|templates|tests|tools|benchmarks"
_PATH = re.compile(
    rf"`((?:(?:{_FOLDERS})/[\w./-]+)|manage\.py|[\w-]+\.(?:lock|in|yml)|Dockerfile|Makefile|\.env\.example)`"
)
_SETTING = re.compile(r"`([A-Z][A-Z0-9]+_[A-Z0-9_]+)(?:=[^`]*)?`")

# names in code style that are no settings of Parley
NOT_SETTINGS = {"API_KEY", "CELERY_BROKER_TRANSPORT_OPTIONS", "FORWARDED_ALLOW_IPS", "OLLAMA_CONTEXT_LENGTH"}


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", page.read_text())):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{_name(page)} links to {link}"
        assert target.is_relative_to(ROOT)
        if anchor:
            assert anchor in _anchors(target), f"{_name(page)} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_files_that_are_named_exist(page: Path) -> None:
    missing = [path for path in _PATH.findall(page.read_text()) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    code = re.findall(r"`[^`\n]+`", page.read_text()) + _CODE.findall(page.read_text())
    assert set(_MAKE.findall("\n".join(code))) <= targets


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_settings_that_are_named_exist(page: Path) -> None:
    example = (ROOT / "deploy/compose.env.example").read_text()
    known = known_names() | set(re.findall(r"^#? ?([A-Z_]+)=", example, flags=re.MULTILINE)) | NOT_SETTINGS
    assert set(_SETTING.findall(page.read_text())) <= known


def test_every_setting_is_explained() -> None:
    """In place: a comment of at least a few words stands above it, over others of its group at most."""
    explained = set()
    comment = 0
    for line in (ROOT / ".env.example").read_text().splitlines():
        if setting := re.match(r"#? ?([A-Z][A-Z0-9_]+)=", line):
            explained |= {setting.group(1)} if comment >= 3 else set()
        elif line.startswith("# ---") or not line:
            comment = 0
        else:
            comment += len(line.split())
    assert known_names() - explained == set()


def test_there_are_decisions_and_each_is_short() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    for page in DECISIONS:
        text = page.read_text()
        assert len(text.split()) <= 400, page.name
        assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == ["Context", "Decision", "Consequences"], page.name
        assert "\n\nAccepted, 2026-" in text, page.name
        assert text.startswith(f"# {int(page.name[:4])}. "), page.name


def test_no_page_is_hidden() -> None:
    """Every page can be reached from the README by following links."""
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for link in _LINK.findall(page.read_text()):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists() and target not in reached:
                waiting.append(target)
    assert set(PAGES) - reached == set()


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
