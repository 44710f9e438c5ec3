"""The page of a server in a real browser: what it shows, what it fetches, what it never runs.

``make test-browser`` runs these; they are skipped where no Chromium is installed. With
``PAGE_PICTURES=FOLDER`` they leave pictures of the page.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gigacast.feature_store import upload
from gigacast.feature_store.definition.window_edge import DAY
from gigacast.feature_store.serve.page import PAGE, PAGE_POLICY
from tests.support.browser import PROGRAM, Browser, open_browser
from tests.support.features.live_server import LiveServer, run_live
from tests.support.features.quickstart_store import compile_quickstart, write_table

END = 19_693 * DAY  # 2023-12-02
TOKEN = "0123456789abcdef"
HOSTILE = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake whose served values and descriptions are HTML."""
    folder = tmp_path_factory.mktemp("shop")
    row = {"ds": "2023-12-01", "ts": END - 5000, "user_id": HOSTILE}
    write_table(folder / "lake", "returns", [{**row, "refund_amt": 3}])
    write_table(folder / "lake", "purchases", [{**row, "purchase_price": 8}])
    compile_quickstart(folder / "lake", folder / "repository")
    upload("quickstart.training_set.v2", "2023-12-01", bucket=folder / "lake")
    return folder / "lake"


@pytest.fixture(scope="module")
def server(lake: Path) -> Iterator[LiveServer]:
    with run_live(lake) as live:
        yield live


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with open_browser(tmp_path / "profile") as browser:
        yield browser


def picture(browser: Browser, name: str) -> None:
    if folder := os.environ.get("PAGE_PICTURES"):
        browser.picture(Path(folder) / f"{name}.png")


def fill(browser: Browser, selector: str, value: str) -> None:
    browser.run(f"document.querySelector({selector!r}).value = {value!r}")


def test_the_page_names_no_other_place_and_its_policy_allows_its_own_script_alone() -> None:
    assert b"http://" not in PAGE
    assert b"https://" not in PAGE
    assert b"innerHTML" not in PAGE
    assert "default-src 'none'" in PAGE_POLICY
    assert "unsafe" not in PAGE_POLICY
    assert PAGE_POLICY.count("'sha256-") == 2


@needs_browser
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_shows_what_is_served_on_screens_of_any_width(
    server: LiveServer, browser: Browser, width: int
) -> None:
    browser.resize(width)
    browser.open(server.url)
    browser.wait_for("document.querySelectorAll('article').length === 3")

    text = browser.run("document.body.innerText")

    assert "served: 1 join, 2 group-bys" in text
    assert "quickstart.returns.v1" in text
    assert "too old to serve" in text
    assert "2023-12-01" in text
    browser.run("document.querySelectorAll('details').forEach((entry) => { entry.open = true; })")
    lineage = browser.run("document.body.innerText")
    assert "data.returns.refund_amt → AGG_SUM" in lineage
    # Nothing is wider than the screen, also with all columns open.
    assert browser.run("document.documentElement.scrollWidth") <= width
    picture(browser, f"page-{width}")
    assert {url.removeprefix(server.url) for url in browser.requests} <= {
        "/", "/config", "/favicon.ico",
    }  # fmt: skip
    assert [
        text for text in browser.complaints if "favicon" not in text and "404" not in text
    ] == []


@needs_browser
@pytest.mark.parametrize("kind", ["join", "group-by"])
def test_a_key_is_fetched_and_its_texts_stay_texts(
    server: LiveServer, browser: Browser, kind: str
) -> None:
    browser.resize(1280)
    browser.open(server.url)
    browser.wait_for("document.querySelectorAll('article').length === 3")
    place = (
        0
        if kind == "join"
        else "[...document.querySelectorAll('option')].findIndex((o) => o.text.includes('returns'))"
    )
    browser.run(
        f"document.querySelector('#name').selectedIndex = {place};"
        "document.querySelector('#name').dispatchEvent(new Event('change'))"
    )
    fill(browser, "label.key input", HOSTILE)
    fill(browser, "#at", "2023-12-02T00:00:00")
    browser.run("document.querySelector('#fetch-form').requestSubmit()")

    text = browser.wait_for("document.querySelector('#answer').innerText")

    prefix = "quickstart_returns_v1_" if kind == "join" else ""
    assert text.startswith("ok")
    assert f"{prefix}refund_amt_sum_3d\t3" in text
    assert browser.run("document.title") == "Features"
    assert browser.run("document.querySelectorAll('img, #answer script').length") == 0
    picture(browser, f"fetch-{kind}")


@needs_browser
def test_errors_are_shown_where_the_answer_would_be(server: LiveServer, browser: Browser) -> None:
    browser.resize(360)
    browser.open(server.url)
    browser.wait_for("document.querySelectorAll('article').length === 3")
    browser.run("document.querySelector('#fetch-form').requestSubmit()")

    text = browser.wait_for("document.querySelector('#answer').innerText")
    fill(browser, "#at", "soon")
    browser.run("document.querySelector('#fetch-form').requestSubmit()")
    refused = browser.wait_for(
        "document.querySelector('#answer').innerText.includes('moment') && "
        "document.querySelector('#answer').innerText"
    )

    assert text.startswith("failed")
    assert "is too old" in text
    assert "write 2023-12-02T00:00:00" in refused
    picture(browser, "errors-360")


@needs_browser
def test_a_server_with_a_token_shows_nothing_before_it_has_it(lake: Path, browser: Browser) -> None:
    with run_live(lake, GIGACAST_SERVE_TOKEN=TOKEN) as live:
        browser.resize(360)
        browser.open(live.url)
        browser.wait_for("!document.querySelector('#entry').hidden")
        picture(browser, "token-360")
        assert "quickstart" not in browser.run("document.body.textContent")

        fill(browser, "#token", "wrong")
        browser.run("document.querySelector('#entry-form').requestSubmit()")
        browser.wait_for("document.body.innerText.includes('That token is wrong.')")
        fill(browser, "#token", TOKEN)
        browser.run("document.querySelector('#entry-form').requestSubmit()")

        browser.wait_for("document.querySelectorAll('article').length === 3")
