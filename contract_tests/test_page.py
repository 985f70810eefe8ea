"""The page for people: what a person sees and does in a real browser, and the control calls behind it.

Without Chromium and its driver the tests in a browser are skipped.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract_tests import webdriver
from contract_tests.support import FROZEN_NOW, Api, ServerProcess, assert_error
from contract_tests.tutorial import AZURE_BLOB, GOOGLE, LANDING_ZONE, S3, SFTP
from contract_tests.webdriver import ENTER, ESCAPE, SPACE, TAB, Browser
from emulator.control.console import MAX_FILES, MAX_FLOWS, MAX_RUNS, PAGE_FILES
from emulator.control.previews import MAX_LINE, MAX_ROWS, MAX_TEXT, PreviewError, preview

HOURLY = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 600}
FOLDER = Path(__file__).parent.parent / "emulator" / "control" / "page"
in_browser = pytest.mark.skipif(webdriver.missing() is not None, reason=f"no browser: {webdriver.missing()}")


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of this module."""
    with webdriver.browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def page(window: Browser, api: Api, server: ServerProcess) -> Iterator[Browser]:
    """The page, opened; afterwards it must have asked no other host and logged no fault."""
    window.log("browser")
    window.requested()
    window.devtools("Emulation.clearDeviceMetricsOverride")
    open_page(window, server)
    yield window
    asked = [url for url in window.requested() if not url.startswith(("data:", "chrome:"))]  # the empty tab's own
    assert asked
    assert [url for url in asked if not url.startswith(f"{server.url}/")] == []
    assert [entry["message"] for entry in window.log("browser")] == []
    window.open("about:blank")


def open_page(window: Browser, server: ServerProcess) -> None:
    window.open(f"{server.url}/__emulator/")
    window.wait(lambda: window.text("#live") == "Live", "the first answer")


def look_again(page: Browser) -> None:
    """What a person does who comes back to the tab: the page asks at once."""
    page.run("document.dispatchEvent(new Event('visibilitychange'))")


def focused(page: Browser) -> str:
    """The id of what has the focus, else its text."""
    found: str = page.run(
        "const at = document.activeElement; return at.id || at.innerText || at.dataset.key || at.tagName"
    )
    return found


def tab_to(page: Browser, wanted: str) -> None:
    """Presses Tab until the focus is there."""
    for _ in range(60):
        if focused(page) == wanted:
            return
        page.press(TAB)
    raise AssertionError(f"Tab never leads to {wanted}")


@in_browser
def test_a_walk_through_the_page(page: Browser, api: Api, export_dir: Path) -> None:
    """An empty emulator, a flow that comes to be, a day that passes, its files, and a request that is refused."""
    assert page.text("#now") == "2026-01-01 00:00:00 UTC"
    assert page.text("#mode") == "frozen"
    assert "No dataflow yet" in page.text("#flows-empty")
    assert "No exported file yet" in page.text("#files-empty")
    api.flow(S3, HOURLY)
    page.wait(lambda: page.texts("#flow-list h3"), "the flow")
    assert page.texts("#flow-list h3") == ["Activate datasets to an Amazon S3 cloud storage destination"]
    assert page.texts("#flow-list .next") == ["2026-01-01 00:10:00 UTC (in 10 min)"]
    assert "every 3 hours from 2026-01-01 00:10:00 UTC" in page.text("#flow-list")
    assert page.run("return document.querySelectorAll('#picture .ahead').length") == 1
    page.click("#to-next")
    page.wait(lambda: page.text("#told") == "1 export ran. It is 2026-01-01 00:10:00 UTC.", "the next export")
    page.click("#plus-1d")
    page.wait(lambda: page.text("#told") == "8 exports ran. It is 2026-01-02 00:10:00 UTC.", "the day to pass")
    page.wait(
        lambda: page.run("return document.querySelectorAll('#picture .success').length") == 9,
        "nine runs in the picture",
    )
    titles = page.run(
        "return [...document.querySelectorAll('#picture .success title')].map((each) => each.textContent)"
    )
    assert [title[:19] for title in titles] == [
        f"2026-01-0{1 + hour // 24} {hour % 24:02}:10:00" for hour in range(0, 27, 3)
    ]
    assert page.text("#now") == "2026-01-02 00:10:00 UTC"
    assert page.texts("#flow-list .next") == ["2026-01-02 03:10:00 UTC (in 3 h)"]
    page.click("#runs-details summary")
    assert len(page.texts("#run-rows tr")) == 9
    assert len(page.texts("#file-list li")) == 6
    page.click("#files-more")
    assert len(page.texts("#file-list li")) == 9

    newest = api.control("GET", "/exports")["items"][-1]
    page.click("#file-list button")
    page.wait(lambda: page.texts("#preview-rows tbody tr"), "the preview's rows")
    assert page.text("#preview-title") == newest["path"].rsplit("/", 1)[1]
    assert len(page.texts("#preview-rows tbody tr")) == 20
    assert f"the first 20 of {newest['rows']} rows" in page.text("#preview-about")
    first = json.loads((export_dir / newest["path"]).read_text("utf-8").splitlines()[0])
    assert page.texts("#preview-rows tbody tr:first-child td")[0] == str(next(iter(first.values())))
    page.press(ESCAPE)
    page.wait(lambda: not page.run("return document.querySelector('#preview').open"), "the preview to close")

    refused = api.post(
        "/connections",
        {
            "name": "x",
            "auth": {"specName": "Access Key", "params": {}},
            "connectionSpec": {"id": S3.spec, "version": "1.0"},
        },
    )
    assert refused.status_code == 400
    look_again(page)
    page.wait(lambda: page.texts("#request-list > .violation"), "the refused request")
    shown = page.text("#request-list > li:first-child")
    assert "400" in shown
    assert "POST /connections" in shown
    assert "auth.params.s3SecretKey is required but missing" in shown
    assert "provider-rejected" in shown
    page.click("#only-bad")
    visible = page.run(
        "return [...document.querySelectorAll('#request-list > li')].filter((each) => each.checkVisibility()).map((each) => each.className)"
    )
    assert visible
    assert all("ok" not in name.split() for name in visible)


@in_browser
def test_by_keyboard_alone(page: Browser, api: Api) -> None:
    """The skip link comes first; the clock's buttons, a scenario, a preview and the reset work without a mouse."""
    api.flow(SFTP, HOURLY)
    page.press(TAB)
    assert focused(page) == "Skip to the content"
    page.press(ENTER)
    assert page.run("return location.hash") == "#main"
    open_again = page.run(
        "window.scrollTo(0, 0); document.activeElement.blur(); document.querySelector('.skip').focus(); return true"
    )
    assert open_again
    tab_to(page, "plus-1d")
    page.press(ENTER)
    page.wait(lambda: "8 exports ran" in page.text("#told"), "the day to pass")
    assert focused(page) == "plus-1d"
    page.wait(lambda: len(page.texts("#file-list button")) == 6, "the files")
    tab_to(page, "Preview")
    page.press(ENTER)
    page.wait(lambda: page.texts("#preview-rows tbody tr"), "the preview's rows")
    assert page.run("return document.querySelector('#preview').contains(document.activeElement)")
    page.press(ESCAPE)
    page.wait(lambda: not page.run("return document.querySelector('#preview').open"), "the preview to close")
    assert focused(page) == "Preview"
    tab_to(page, "lost-update")
    page.press(SPACE)
    page.wait(
        lambda: [rule["id"] for rule in api.control("GET", "/faults")["rules"]] == ["lost-update-1"],
        "the scenario to be on",
    )
    page.wait(lambda: page.texts("#rule-list li"), "its rule to be shown")
    page.wait(lambda: focused(page) == "lost-update", "the focus to stay")
    page.press(SPACE)
    page.wait(lambda: api.control("GET", "/faults")["rules"] == [], "the scenario to be off")


@in_browser
def test_the_clock_runs_and_freezes(page: Browser, api: Api) -> None:
    page.click("#freeze")
    page.wait(lambda: page.text("#mode") == "real time", "the clock to run")
    assert api.control("GET", "/clock")["mode"] == "real"
    page.wait(lambda: page.text("#now") != "2026-01-01 00:00:00 UTC", "time to pass")
    page.click("#freeze")
    page.wait(lambda: page.text("#mode") == "frozen", "the clock to stand still")
    assert api.control("GET", "/clock")["mode"] == "frozen"
    assert page.run("return document.querySelector('#to-next').getAttribute('aria-disabled')") == "true"


@in_browser
def test_faults_and_reset(page: Browser, api: Api) -> None:
    """A failed run says why; a request that a fault rule hit says so; a reset empties the page."""
    api.flow(S3, HOURLY)
    page.click("#scenario-list input[data-key='export-outage']")
    page.wait(lambda: page.texts("#rule-list li"), "the rule")
    page.click("#plus-3h")
    page.wait(lambda: "1 without success" in page.text("#told"), "the export to fail")
    page.wait(lambda: page.run("return document.querySelectorAll('#picture .failed').length") == 1, "the failed run")
    page.click("#runs-details summary")
    (row,) = page.texts("#run-rows tr")
    assert "failed" in row
    assert "ACTIVATION_BATCH-0000-FAILED" in row
    api.control("POST", "/faults", {"kind": "error", "error": "service-unavailable", "times": 1, "id": "mine"})
    assert api.get("/flows").status_code == 503
    look_again(page)
    page.wait(lambda: "Hit by the fault rule mine" in page.text("#request-list"), "the request that was hit")
    page.click("#faults-off")
    page.wait(lambda: not page.texts("#rule-list li"), "the faults to be gone")
    page.click("#reset")
    page.click("#reset-exports")
    page.click("#reset-yes")
    page.wait(lambda: page.text("#told") == "Everything is forgotten.", "the reset")
    page.wait(
        lambda: not page.texts("#flow-list li, #request-list li, #run-rows tr, #file-list li"), "the page to be empty"
    )
    assert api.items("/flows") == []


@in_browser
def test_names_are_text(page: Browser, api: Api) -> None:
    """A name with markup in it is shown as it is, and does nothing."""
    name = '<img src=x onerror="document.title=1"><script>document.title=2</script>&amp;'
    source = api.created(
        "sourceConnections",
        {
            "name": name,
            "connectionSpec": {"id": "23598e46-f560-407b-88d5-ea6207e49db0", "version": "1.0"},
            "params": {"datasets": [{"dataSetId": "5ef3e3259ad2a1191ab7dd7d"}]},
        },
    )
    api.created("flows", {**S3.flow(source, api.target(S3), **HOURLY), "name": name})
    api.advance(600)
    api.get("/flows/<b>bold")
    look_again(page)
    page.wait(lambda: page.texts("#flow-list h3") == [name], "the flow")
    page.wait(lambda: "/flows/<b>bold" in page.text("#request-list"), "the request")
    assert page.run("return document.querySelectorAll('main img, main script, main b').length") == 0
    assert page.run("return document.title") == "Flow Service emulator"


@in_browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone(page: Browser, api: Api, server: ServerProcess, theme: str) -> None:
    """Nothing sticks out at the side, and text stands out from what is behind it (WCAG 2.2: 4.5 to 1)."""
    api.flow(AZURE_BLOB, HOURLY)
    api.flow(GOOGLE, HOURLY, datasetFileType="PARQUET")
    api.advance(86_400)
    api.get("/flows/nowhere")
    page.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    page.devtools("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    open_page(page, server)
    page.wait(lambda: page.texts("#request-list > .violation"), "the refused request")
    assert page.run("return document.documentElement.scrollWidth") <= 390
    assert page.run(FAINT) == []
    assert page.run(UNNAMED) == []


FAINT = r"""
  const shine = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map((each) => each / 255).map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (each) => { for (; each; each = each.parentElement) { const color = getComputedStyle(each).backgroundColor; if (!/, 0\)$/.test(color)) return color; } return "rgb(255, 255, 255)"; };
  return [...document.querySelectorAll("body *")].filter((each) => each.checkVisibility() && [...each.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
    .filter((each) => !each.closest("[aria-disabled=true], svg")).map((each) => {
      const [a, b] = [shine(getComputedStyle(each).color), shine(behind(each))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), each.outerHTML.slice(0, 120)];
    }).filter(([ratio]) => ratio < 4.5);
"""
"""What is too faint to be read, with its contrast."""
UNNAMED = r"""
  return [...document.querySelectorAll("button, a[href], input, [role=img], [role=region], section, dialog, nav")]
    .filter((each) => !(each.getAttribute("aria-label") || each.innerText || each.closest("label") || each.getAttribute("aria-labelledby"))).map((each) => each.outerHTML.slice(0, 120));
"""
"""What a screen reader has no name for."""


def test_the_page_loads_nothing_from_elsewhere(api: Api) -> None:
    """Its own files only, with a policy that a browser holds it to; no script or style within the HTML."""
    for path in ("/__emulator", "/__emulator/"):
        answer = api.http.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    html = answer.text
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)
    served = {f"/__emulator{path}" for _, path, _, _ in PAGE_FILES}
    for link in re.findall(r'(?:src|href)="(/[^"#?]*)', html):
        assert link in served | {"/__emulator/contract", "/openapi.json"}
        assert api.http.get(link).status_code == 200
    for file in FOLDER.iterdir():
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, file
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\b", text), file


def test_an_overview_is_bounded(api: Api) -> None:
    """It goes over every organization and sandbox, newest first, and says how many there are in all."""
    other = Api(api.url, org="OTHER@AdobeOrg", sandbox="dev")
    first = api.flow(S3, {**HOURLY, "endTime": FROZEN_NOW + 86_400 * 40})
    second = other.flow(LANDING_ZONE, HOURLY)
    other.close()
    api.advance(86_400 * 20)
    source, target = (
        api.item(f"/flows/{first}")["sourceConnectionIds"][0],
        api.item(f"/flows/{first}")["targetConnectionIds"][0],
    )
    for _ in range(MAX_FLOWS):
        api.created("flows", S3.flow(source, target, interval=1, timeUnit="day", startTime=FROZEN_NOW + 86_400 * 30))
    seen = api.control("GET", "/overview")
    assert len(seen["flows"]) == MAX_FLOWS
    assert len(seen["runs"]) == MAX_RUNS
    assert len(seen["files"]) == MAX_FILES
    assert seen["counts"]["flows"] == MAX_FLOWS + 2
    assert seen["counts"]["runs"] == 320
    assert seen["next"] == FROZEN_NOW + 600 + 86_400 * 20
    started = [run["startedAt"] for run in seen["runs"]]
    assert started == sorted(started, reverse=True)
    assert {run["flowId"] for run in seen["runs"]} == {first, second}
    assert {file["flow"] for file in seen["files"]} == {first, second}


def test_an_overview_shows_runs_that_wait(api: Api) -> None:
    """Of many runs asked for at once most wait for their turn, and have no times and counts yet."""
    flow = api.flow(S3, HOURLY)
    asked = [api.created("runs", {"flowId": flow}) for _ in range(8)]
    seen = {run["id"]: run for run in api.control("GET", "/overview")["runs"]}
    assert set(asked) <= set(seen)
    assert {run["status"] for run in seen.values()} <= {"waiting", "inProgress", "success"}
    assert all(run["rows"] == run["fileCount"] == 0 for run in seen.values() if run["status"] == "waiting")


FORMS: dict[str, dict[str, Any]] = {
    "json": {},
    "json.gz": {"compression": "GZIP"},
    "parquet": {"datasetFileType": "PARQUET"},
    "gz.parquet": {"datasetFileType": "PARQUET", "compression": "GZIP"},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_preview_of_each_form(api: Api, export_dir: Path, form: str) -> None:
    """The first rows, as another library reads them; the same dataset gives the same rows in every form."""
    api.flow(S3, HOURLY, **FORMS[form])
    api.advance(600)
    (file,) = api.control("GET", "/exports")["items"]
    assert file["path"].endswith(f"-c000.{form}")
    found = api.control("GET", f"/previews/{file['path']}", params={"rows": 7})
    raw = (export_dir / file["path"]).read_bytes()
    if "parquet" in form:
        rows = [without_nulls(row) for row in pq.read_table(export_dir / file["path"]).slice(0, 7).to_pylist()]
        assert [row["_id"] for row in found["rows"]] == [row["_id"] for row in rows]
        assert [set(without_nulls(row)) for row in found["rows"]] == [set(row) for row in rows]
    else:
        text = gzip.decompress(raw) if form == "json.gz" else raw
        assert found["rows"] == [json.loads(line) for line in text.splitlines()[:7]]
    assert len(found["rows"]) == 7
    assert found["more"] is True
    assert found["form"] in (form, "parquet")


def without_nulls(value: Any) -> Any:
    return {name: item for name, item in value.items() if item is not None}


@pytest.mark.parametrize("rows", ["0", "-1", str(MAX_ROWS + 1), "x", "", "1.5", "\u0661"])
def test_a_bad_number_of_rows(api: Api, rows: str) -> None:
    assert_error(api.http.get("/__emulator/previews/x", params={"rows": rows}), "control-invalid")


@pytest.mark.parametrize("path", ["nowhere.json", "..%2F..%2Fetc%2Fpasswd", "amazon-s3", "a%00b"])
def test_a_preview_of_nothing(api: Api, path: str) -> None:
    assert_error(api.http.get(f"/__emulator/previews/{path}"), "control-not-found")


def test_previews_are_bounded(tmp_path: Path) -> None:
    """However long the texts, lines and rows are, and whatever a file unpacks to."""
    file = tmp_path / "long.json"
    file.write_text("\n".join(json.dumps({"text": "x" * 5_000, "list": ["y" * 5_000]}) for _ in range(MAX_ROWS)))
    found = preview(file, MAX_ROWS)
    assert found["rows"][0] == {"text": "x" * MAX_TEXT + "…", "list": ["y" * MAX_TEXT + "…"]}
    assert 1 < len(found["rows"]) < MAX_ROWS
    assert found["more"]
    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(bytes(MAX_LINE * 100)))
    with pytest.raises(PreviewError, match="longer than"):
        preview(bomb, 1)
    two = tmp_path / "two.json.gz"
    two.write_bytes(gzip.compress(b'{"a": 1}\n') + gzip.compress(b'\n{"a": 2}\n[3]'))
    assert preview(two, 5) == {"form": "json.gz", "rows": [{"a": 1}, {"a": 2}, {"value": [3]}], "more": False}
    wide = tmp_path / "wide.parquet"
    pq.write_table(pa.table({"n": list(range(5_000))}), wide, row_group_size=100)
    assert preview(wide, 150) == {"form": "parquet", "rows": [{"n": number} for number in range(150)], "more": True}
    assert preview(wide, 5_000)["more"] is False
    empty = tmp_path / "empty.json"
    empty.touch()
    assert preview(empty, 5) == {"form": "json", "rows": [], "more": False}


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.parquet", "a.gz.parquet"])
@pytest.mark.parametrize("content", [b"no\n", b"\x1f\x8b\x08\x00broken", b"PAR1" * 5, b"\xff\xfe{}"])
def test_a_broken_file(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(PreviewError, match="it is not"):
        preview(file, 5)
