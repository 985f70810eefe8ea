"""Messages that have to say what is meant, where the plain rule would lead astray; and no request writes a line of the log."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from contract_tests.support import Api, serving
from flow_service_emulator.reports.report import printable
from flow_service_emulator.server import LogHandler


@pytest.mark.parametrize("dataset_id", ["a%2Fb", "a/b"])
def test_an_id_with_a_slash_is_told_as_such(api: Api, dataset_id: str) -> None:
    answer = api.http.put(f"/__emulator/datasets/{dataset_id}", json={"records": []})
    assert answer.status_code == 404
    assert "A dataset's id has no slash" in answer.json()["detail"]


# --- the log ----------------------------------------------------------------------------------------------------------

CONTROLS = "\r\n\t\x07\x1b[2J\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200f\ufeff"
FORGED = "2026-01-01 00:00:00,000 INFO GET /forged 200"


def test_no_request_writes_a_line_of_the_log_or_controls_the_terminal(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        api = Api(process.url)
        api.http.get(f"/x{quote(CONTROLS)}{quote(FORGED)}")
        api.get(f"/flows/x{quote(CONTROLS)}")
        api.close()
    log = process.log.read_bytes().decode()
    assert [char for char in log if not char.isprintable() and char != "\n"] == []
    (line,) = (line for line in log.splitlines() if "forged" in line)
    assert r"/x\r\n\t\x07\x1b[2J\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200f\ufeff2026" in line


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_is_logged_has_no_control_character(log_format: str) -> None:
    """A traceback keeps its lines, and only those. Whoever reads JSON gets what was sent."""
    written = io.StringIO()
    log = logging.Logger("emulator.somewhere")
    log.addHandler(LogHandler(written, log_format))
    try:
        raise ValueError("wrong\x1b[31m")
    except ValueError:
        log.exception("%s failed", CONTROLS)
    text = written.getvalue()
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
    assert "Traceback (most recent call last)" in text
    if log_format == "json":
        assert json.loads(text)["message"] == f"{CONTROLS} failed" and r"ValueError: wrong\u001b[31m" in text
    else:
        assert r"ValueError: wrong\x1b[31m" in text


def test_reports_take_no_text_that_turns_or_breaks_lines() -> None:
    for char in re.sub(r"[\r\n\t\[2J]", "", CONTROLS) + "\x00\u202a\u2069\ufffe\U000e0041":
        assert printable(f"a{char}b") == "a\ufffdb", hex(ord(char))
    assert printable("naïve – 日本語 🙂 עברית\n\ta") == "naïve – 日本語 🙂 עברית\n\ta"
