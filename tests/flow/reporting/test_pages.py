"""Pages of reports in a real browser: widths, colours, links, keyboard, and what is never run.

``make test-browser`` runs these; they are skipped where no Chromium is installed. With
``PAGE_PICTURES=FOLDER`` they leave pictures of the pages.
"""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gigacast.cli.program import run
from gigacast.reporting.server import make_server
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.support.browser import PROGRAM, Browser, open_browser

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")
WIDTHS = (360, 1280, 3840)
KINDS = ("forecast", "evaluation", "anomalies", "quality", "index")
_CONTRAST = """
(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const ground = light(parse(getComputedStyle(document.body).backgroundColor));
  let least = 21;
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const colour = element.namespaceURI.endsWith('svg') ? style.fill : style.color;
    const pair = [light(parse(colour)), ground].sort((a, b) => b - a);
    least = Math.min(least, (pair[0] + 0.05) / (pair[1] + 0.05));
  }
  return least;
})()
"""
_CLIPPED = """
[...document.querySelectorAll('text')].filter((text) => {
  const box = text.getBoundingClientRect();
  return box.left < -1 || box.right > document.documentElement.clientWidth + 1;
}).map((text) => text.textContent)
"""
_OVERLAPS = """
[...document.querySelectorAll('svg.plot')].flatMap((plot) => {
  const boxes = [...plot.querySelectorAll(':scope > text')].map((t) => t.getBoundingClientRect());
  return boxes.flatMap((a, n) => boxes.slice(n + 1).filter((b) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3));
}).length
"""


@pytest.fixture(scope="module")
def folder(morning: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bucket with pages of a run, an evaluation, quality and anomalies."""
    folder = tmp_path_factory.mktemp("pages") / "lake"
    shutil.copytree(morning, folder)
    # Made again, the page of the run has the figures of the evaluation as well.
    newest = max((folder / "audit").glob("forecast_*.json"))
    assert run(["report", newest.stem, "--bucket", folder.as_uri()]) == 0
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with make_server(open_store(StoreAddress(folder.as_uri())), 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def name_of(folder: Path, kind: str) -> str:
    return next(path.name for path in (folder / "reports").glob(f"{kind}*.html"))


def picture(browser: Browser, name: str) -> None:
    if target := os.environ.get("PAGE_PICTURES"):
        browser.picture(Path(target) / f"{name}.png")


@pytest.mark.parametrize(
    ("kind", "is_dark"), [*((kind, False) for kind in KINDS), ("forecast", True)]
)
def test_a_page_fits_every_screen_and_can_be_read(
    folder: Path, browser: Browser, kind: str, is_dark: bool
) -> None:
    browser.prefer(dark=is_dark)
    browser.complaints.clear()
    browser.requests.clear()
    for width in WIDTHS:
        browser.resize(width)
        browser.open((folder / "reports" / name_of(folder, kind)).as_uri())

        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run(_CLIPPED) == []
        assert browser.run(_OVERLAPS) == 0
        assert browser.run(_CONTRAST) >= 4.5
        picture(browser, f"{kind}-{width}-{'dark' if is_dark else 'light'}")
    assert browser.complaints == []
    assert {request.partition(":")[0] for request in browser.requests} == {"file"}


def test_texts_from_data_stay_texts(folder: Path, browser: Browser) -> None:
    browser.open((folder / "reports" / name_of(folder, "forecast")).as_uri())
    assert "broken" not in browser.run("document.title")
    assert browser.run("document.querySelectorAll('img, script, iframe, object').length") == 0
    assert "<img src=x" in browser.run("document.body.innerText")


def test_every_link_of_a_page_leads_somewhere(folder: Path, url: str, browser: Browser) -> None:
    for kind in KINDS:
        browser.open(f"{url}/reports/{name_of(folder, kind)}")
        links: list[str] = browser.run("[...document.querySelectorAll('a')].map((a) => a.href)")
        assert links
        for link in dict.fromkeys(links):
            place, _, anchor = link.partition("#")
            if anchor:
                assert browser.run(f"document.getElementById({anchor!r}) !== null")
            else:
                assert place.startswith(url)
                assert (folder / place.removeprefix(f"{url}/")).exists()


def test_a_person_gets_from_the_index_to_a_run_and_back_by_keys(
    folder: Path, url: str, browser: Browser
) -> None:
    browser.resize(1280)
    browser.open(f"{url}/reports/index.html")
    focused: Any = None
    for _ in range(20):
        browser.press("Tab")
        focused = browser.run("document.activeElement.getAttribute('href')")
        if str(focused).startswith("forecast_"):
            break
    assert str(focused).startswith("forecast_")
    browser.press("Enter")
    browser.wait_for("document.querySelector('h1')?.innerText.startsWith('forecast_')")
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("document.activeElement.getBoundingClientRect().top") >= 0


def test_a_screen_reader_finds_sections_pictures_and_tables(folder: Path, browser: Browser) -> None:
    browser.open((folder / "reports" / name_of(folder, "forecast")).as_uri())
    tree = browser.accessibility()
    roles = [node["role"] for node in tree]
    assert {"banner", "main", "navigation", "heading", "image", "table", "list"} <= set(roles)
    pictures = [node["name"] for node in tree if node["role"] == "image"]
    assert any("median ends at" in name for name in pictures)
    assert all(pictures)


def test_a_page_is_printed_light_and_without_navigation(folder: Path, browser: Browser) -> None:
    browser.prefer(dark=True, medium="print")
    browser.open((folder / "reports" / name_of(folder, "forecast")).as_uri())
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("document.querySelector('.jumps').getClientRects().length") == 0
    browser.prefer(dark=False)
