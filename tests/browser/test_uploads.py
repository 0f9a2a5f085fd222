"""Files into a vector store as people bring them: chosen, in folders, dropped, pasted, cut off and gone on with."""

import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Dialog, Locator, Page, Route, expect

from core.bridge import in_database
from core.models import User
from retrieval.models import Document, Upload, VectorStore
from tests import factories
from tests.browser.conftest import Watched
from tests.site import Site, running_site

pytestmark = pytest.mark.django_db(transaction=True)

PART = 64 * 1024
LONG = b"".join(b"%06d tide tables of Korsund\n" % number for number in range(9_000))
PICTURE = (Path(__file__).parents[1] / "files" / "picture.png").read_bytes()


@pytest.fixture(scope="module")
def site(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that takes small parts, and not more than six files at once."""
    limits = {"UPLOAD_PART_BYTES": str(PART), "UPLOAD_MAX_FILES": "6", "UPLOAD_MAX_BYTES": str(1024 * 1024)}
    folder = tmp_path_factory.mktemp("uploads")
    with django_db_blocker.unblock(), running_site(folder, **limits) as running:
        yield running


@pytest.fixture
def store(person: User) -> VectorStore:
    return factories.store(owner=person, name="Harbour papers")


async def open_store(watched: Watched, store: VectorStore) -> Page:
    assert store.owner
    await watched.sign_in(store.owner)
    page = await watched.page()
    await page.goto(watched.site.url + store.get_absolute_url())
    await expect(page.locator("parley-uploads")).to_be_visible()
    return page


def rows(page: Page, state: str = "") -> Locator:
    return page.locator(f".upload-row[data-state={state}]" if state else ".upload-row")


def written(folder: Path, **files: bytes | str) -> list[Path]:
    """Files of these names (without an ending: `.txt`) with these contents."""
    made = []
    for name, content in files.items():
        path = folder / f"{name}.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        made.append(path)
    return made


async def choose(page: Page, *paths: Path, label: str = "Add files") -> None:
    await page.get_by_label(label).set_input_files(list(paths))


def documents(store: VectorStore) -> dict[str, str]:
    """The path, or the name, of each document, with its state."""
    found = Document.objects.live().filter(store=store)
    return {str(document.attributes.get("path", document.name)): document.state for document in found}


async def test_each_file_has_a_line_and_one_sums_them_up(desktop: Watched, store: VectorStore, tmp_path: Path) -> None:
    page = await open_store(desktop, store)
    desktop.expected += ["415 (Unsupported", "422 (Unprocessable"]
    program = b"\x7fELF\x02\x01" + bytes(200)
    files = written(tmp_path, one="Tides one.", two="Tides two.", same="Tides one.", program=program, empty="")
    await choose(page, *files)
    summary = page.locator("[data-summary]")
    await expect(summary).to_have_text("2 of 5 read, 1 there already, 2 refused")
    await expect(rows(page, "ready")).to_have_count(2)
    duplicate = rows(page, "duplicate")
    await expect(duplicate).to_contain_text("The same content is in this store already, as “")
    await expect(rows(page, "refused").filter(has_text="empty.txt")).to_contain_text("This file is empty.")
    await page.get_by_role("button", name="Show those not added").click()
    await expect(page.locator(".upload-row:visible")).to_have_count(3)
    await expect(page.get_by_role("button", name="Try all again")).to_be_hidden()
    assert len(await in_database(documents, store)) == 2
    await page.get_by_role("button", name="Close the list of uploads").click()
    await expect(rows(page)).to_have_count(0)
    await expect(summary).to_be_hidden()


async def test_a_folder_keeps_its_paths_and_leaves_hidden_files(
    desktop: Watched, store: VectorStore, tmp_path: Path
) -> None:
    folder = tmp_path / "papers"
    for name in ("tides.txt", "light/lamp.txt", ".git/config", ".DS_Store", "light/.hidden"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"This is {name}.")
    page = await open_store(desktop, store)
    await choose(page, folder, label="Add a folder")
    await expect(page.locator("[data-summary]")).to_have_text("2 of 2 read")
    await expect(page.locator("[data-said]")).to_have_text("Left out because hidden: 3.")
    paths = {"papers/tides.txt": "ready", "papers/light/lamp.txt": "ready"}
    assert await in_database(documents, store) == paths


async def test_what_is_dropped_anywhere_is_taken_with_its_folders(
    desktop: Watched, store: VectorStore, tmp_path: Path
) -> None:
    folder = tmp_path / "papers"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "lamp.txt").write_text("The lamp.")
    (folder / ".DS_Store").write_text("x")
    (single,) = written(tmp_path, single="A single file.")
    page = await open_store(desktop, store)
    browser = await page.context.new_cdp_session(page)
    dragged = {"items": [], "files": [str(folder), str(single)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        await browser.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 700, "data": dragged})
        if kind == "dragOver":
            await expect(page.get_by_text("Drop the files here")).to_be_visible()
    await expect(page.locator("[data-summary]")).to_have_text("2 of 2 read")
    await expect(page.get_by_text("Drop the files here")).to_be_hidden()
    assert set(await in_database(documents, store)) == {"papers/deep/er/lamp.txt", "single.txt"}


async def test_a_dropped_archive_says_what_became_of_each_of_its_files(
    desktop: Watched, store: VectorStore, tmp_path: Path
) -> None:
    archive = tmp_path / "papers.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("papers/tides.txt", "High water is at six.")
        made.writestr("papers/light/lamp.txt", "The lamp.")
        made.writestr("papers/again.txt", "High water is at six.")
        made.writestr("papers/tool.bin", b"\x7fELF\x02\x01" + bytes(200))
        made.writestr("__MACOSX/._tides.txt", "x")
    page = await open_store(desktop, store)
    browser = await page.context.new_cdp_session(page)
    dragged = {"items": [], "files": [str(archive)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        await browser.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 700, "data": dragged})
    row = rows(page, "ready")
    await expect(row).to_contain_text("2 added, 1 there already, 1 refused, 1 hidden")
    await expect(row).to_contain_text("papers/again.txt: in the store already, as “tides.txt”")
    await expect(row).to_contain_text("papers/tool.bin: ")
    await expect(page.locator("tbody[data-rows] tr[data-state=ready]")).to_have_count(2)
    paths = {"papers.zip/papers/tides.txt", "papers.zip/papers/light/lamp.txt"}
    assert set(await in_database(documents, store)) == paths


async def test_a_pasted_picture_gets_a_name_that_says_when(desktop: Watched, store: VectorStore) -> None:
    page = await open_store(desktop, store)
    await page.evaluate(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }""",
        list(PICTURE),
    )
    await expect(rows(page)).to_have_count(1)
    await expect(rows(page).locator("[data-name]")).to_have_text(
        re.compile(r"^Pasted picture \d{4}-\d\d-\d\d \d\d\.\d\d\.png$")
    )
    await expect(rows(page, "reading").or_(rows(page, "refused"))).to_have_count(1)
    assert [name[:14] for name in await in_database(documents, store)] == ["Pasted picture"]


async def test_more_than_are_taken_at_once_is_said_and_the_rest_not_begun(
    desktop: Watched, store: VectorStore, tmp_path: Path
) -> None:
    page = await open_store(desktop, store)
    await choose(page, *written(tmp_path, **{f"file{number}": f"File {number}." for number in range(8)}))
    await expect(page.locator("[data-said]")).to_contain_text("At most 6 files are taken at once.")
    await expect(rows(page)).to_have_count(6)
    (large,) = written(tmp_path, large=b"x" * (1024 * 1024 + 1))
    await choose(page, large)
    await expect(rows(page).last).to_contain_text("larger than 1.0\xa0MB, the most that is taken.")


async def test_without_a_connection_it_waits_and_goes_on_by_itself(
    desktop: Watched, store: VectorStore, tmp_path: Path
) -> None:
    desktop.expected += ["ERR_INTERNET_DISCONNECTED", "WebSocket"]
    page = await open_store(desktop, store)
    await page.context.set_offline(True)
    await choose(page, *written(tmp_path, one="Tides one.", long=LONG))
    await expect(rows(page, "offline")).to_have_count(2)
    await expect(rows(page).first).to_contain_text("Waiting for the connection")
    await page.context.set_offline(False)
    await expect(page.locator("[data-summary]")).to_have_text("2 of 2 read")
    assert await in_database(documents, store) == {"one.txt": "ready", "long.txt": "ready"}


async def test_cancelled_ones_can_be_sent_again(desktop: Watched, store: VectorStore, tmp_path: Path) -> None:
    desktop.expected.append("ERR_")
    page = await open_store(desktop, store)
    held: list[Route] = []
    await page.route("**/files/", lambda route: held.append(route))
    await choose(page, *written(tmp_path, **{f"file{number}": f"File {number}." for number in range(5)}))
    await expect(rows(page, "uploading")).to_have_count(3)
    await rows(page, "uploading").first.get_by_role("button", name="Cancel").click()
    await expect(rows(page, "cancelled")).to_have_count(1)
    await expect(rows(page, "uploading")).to_have_count(3)
    await page.get_by_role("button", name="Cancel all").click()
    await expect(page.locator("[data-summary]")).to_have_text("0 of 5 read, 5 cancelled")
    await page.unroute("**/files/")
    await rows(page).nth(2).get_by_role("button", name="Try again").click()
    await expect(page.locator("[data-summary]")).to_have_text("1 of 5 read, 4 cancelled")
    assert await in_database(documents, store) == {"file2.txt": "ready"}


async def test_all_that_was_refused_for_a_time_is_tried_again(
    desktop: Watched, store: VectorStore, tmp_path: Path
) -> None:
    desktop.expected.append("500 (Internal")
    page = await open_store(desktop, store)

    async def fail(route: Route) -> None:
        await route.fulfill(status=500, json={"code": "internal", "message": "It broke.", "retryable": True})

    await page.route("**/files/", fail)
    await choose(page, *written(tmp_path, one="Tides one.", two="Tides two."))
    await expect(page.locator("[data-summary]")).to_have_text("0 of 2 read, 2 refused")
    await expect(rows(page).first).to_contain_text("It broke.")
    await page.unroute("**/files/")
    await page.get_by_role("button", name="Try all again").click()
    await expect(page.locator("[data-summary]")).to_have_text("2 of 2 read")


def cut_after(parts: int) -> Callable[[Route], Any]:
    """Let so many parts through, and no request after them."""
    sent: list[Route] = []

    async def handle(route: Route) -> None:
        sent.append(route)
        await (route.continue_() if len(sent) <= parts else route.abort())

    return handle


def received() -> int:
    return Upload.objects.get().received


async def begun_and_reloaded(watched: Watched, store: VectorStore, path: Path) -> Page:
    """A page that was reloaded when two parts of a file were stored."""
    watched.expected.append("ERR_FAILED")
    page = await open_store(watched, store)
    asked: list[str] = []

    async def accept(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.accept()

    page.on("dialog", accept)
    await page.route("**/uploads/*/", cut_after(2))
    await choose(page, path)
    await expect(rows(page, "offline")).to_have_count(1)
    assert await in_database(received) == 2 * PART
    await page.unroute("**/uploads/*/")
    await page.route("**/uploads/*/", lambda route: route.abort())
    await page.reload()
    assert asked == ["beforeunload"]
    await page.unroute("**/uploads/*/")
    await expect(page.get_by_text("was not finished")).to_be_visible()
    return page


async def test_after_a_reload_it_goes_on_with_the_same_file(
    desktop: Watched, store: VectorStore, tmp_path: Path
) -> None:
    path, other = written(tmp_path, long=LONG, other=LONG + b"!")
    page = await begun_and_reloaded(desktop, store, path)
    await page.get_by_label("Choose the file").set_input_files(other)
    await expect(page.get_by_role("alert").filter(has_text="This is another file")).to_be_visible()
    offsets: list[str] = []
    page.on("request", lambda request: offsets.append(request.headers.get("upload-offset", "")))
    await page.get_by_label("Choose the file").set_input_files(path)
    await expect(page.locator("[data-summary]")).to_have_text("1 of 1 read")
    await expect(page.get_by_text("was not finished")).to_have_count(0)
    assert [int(offset) for offset in offsets if offset] == [2 * PART, 3 * PART, 4 * PART]
    stored = await in_database(Document.objects.get)
    assert stored.sha256 == hashlib.sha256(LONG).hexdigest()


async def test_a_file_that_has_changed_meanwhile_is_sent_anew(
    desktop: Watched, store: VectorStore, tmp_path: Path
) -> None:
    """Same name, size and time: only the stored bytes tell it apart."""
    (path,) = written(tmp_path, long=LONG)
    page = await begun_and_reloaded(desktop, store, path)
    times = path.stat()
    path.write_bytes(b"x" + LONG[1:])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    await choose(page, path)
    await expect(page.locator("[data-summary]")).to_have_text("1 of 1 read")
    await expect(page.locator("[data-said]")).to_contain_text("it was sent from the beginning")
    stored = await in_database(Document.objects.get)
    assert stored.sha256 == hashlib.sha256(b"x" + LONG[1:]).hexdigest()


async def test_what_was_left_can_be_discarded(desktop: Watched, store: VectorStore, tmp_path: Path) -> None:
    (path,) = written(tmp_path, long=LONG)
    page = await begun_and_reloaded(desktop, store, path)
    await page.get_by_role("button", name="Discard").click()
    await expect(page.get_by_text("was not finished")).to_have_count(0)
    assert not await in_database(Upload.objects.exists)
