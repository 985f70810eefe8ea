"""No request writes a line of the log, or controls a terminal; what is masked is in `api/test_masking.py`."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from contract_tests.support import Api, serving
from flow_service_emulator.reports.words import printable
from flow_service_emulator.server import formatter

CONTROLS = "\r\n\t\x07\x1b[2J\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200f\ufeff"
FORGED = "2026-01-01 00:00:00,000 INFO GET /forged 200"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_request_writes_a_line_of_the_log_or_controls_the_terminal(tmp_path: Path, log_format: str) -> None:
    with serving(tmp_path, "--log-format", log_format) as process:
        api = Api(process.url)
        api.http.get(f"/x{quote(CONTROLS)}{quote(FORGED)}")
        api.get(f"/flows/x{quote(CONTROLS)}")
        api.close()
    log = process.log.read_bytes().decode()
    assert [char for char in log if not char.isprintable() and char != "\n"] == []
    lines = log.splitlines()
    assert not any(line.startswith("2026-01-01 00:00:00,000") for line in lines)
    (line,) = (line for line in lines if "forged" in line)
    if log_format == "json":  # whose readers get what was sent
        assert json.loads(line)["message"].startswith(f"GET /x{CONTROLS}{FORGED} 404")
    else:
        assert r"/x\r\n\t\x07\x1b[2J\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200f\ufeff2026" in line


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_is_logged_beside_requests_has_no_control_character(log_format: str) -> None:
    """A traceback keeps its lines, and only those."""
    written = io.StringIO()
    handler, log = logging.StreamHandler(written), logging.Logger("emulator.somewhere")
    handler.setFormatter(formatter(log_format))
    log.addHandler(handler)
    try:
        raise ValueError("wrong\x1b[31m")
    except ValueError:
        log.exception("it\u202e failed")
    assert [char for char in written.getvalue() if not char.isprintable() and char != "\n"] == []
    assert "Traceback (most recent call last)" in written.getvalue()
    assert (
        r"ValueError: wrong\x1b[31m" if log_format == "text" else r"ValueError: wrong\u001b[31m"
    ) in written.getvalue()


def test_reports_take_no_text_that_turns_or_breaks_lines() -> None:
    for char in re.sub(r"[\r\n\t\[2J]", "", CONTROLS) + "\x00\u202a\u2069\ufffe\U000e0041":
        assert printable(f"a{char}b") == "a\ufffdb", hex(ord(char))
    assert printable("naïve – 日本語 🙂 עברית\n\ta") == "naïve – 日本語 🙂 עברית\n\ta"
