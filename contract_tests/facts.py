"""What a run against another implementation has found out: which facts were confirmed, when and where."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract_tests.elsewhere import Address
from contract_tests.support import ERRORS
from contract_tests.tutorial import VALUES


def fact_of(item: pytest.Item) -> dict[str, str]:
    """What a test shows, and the source that says so: its own, or else that of its module."""
    function = getattr(item, "function", None)
    text = " ".join((inspect.getdoc(function) or "").split())
    mark = item.get_closest_marker("parity")
    params = getattr(item, "callspec", None)
    row = ERRORS.get(str(params.params.get("name"))) if params else None
    if row:
        return {
            "fact": f"error {row['name']} is {row['status']} {row['code']}".strip(),
            "source": row["source"],
            "detail": text,
        }
    name = getattr(item, "originalname", item.name).removeprefix("test_").replace("_", " ")
    return {
        "fact": name + item.name.partition(item.name.partition("[")[0])[2],
        "source": mark.kwargs["source"] if mark else "",
        "detail": text,
    }


class Facts:
    """Gathers the outcomes of all workers, looks for what was left behind, and tells it all."""

    def __init__(self, address: Address, file: Path | None) -> None:
        self._address = address
        self._file = file
        self._facts: list[dict[str, str]] = []
        self._deleted: list[str] = []
        self._left: list[str] = []
        self._trouble = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            words = {"passed": "confirmed", "failed": "not confirmed", "skipped": "not tried"}
            reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
            if report.failed:
                reason = self._masked(
                    getattr(getattr(report.longrepr, "reprcrash", None), "message", str(report.longrepr))
                )
            self._facts.append(
                {
                    **dict(report.user_properties).get("fact", {}),  # type: ignore[dict-item]
                    "test": report.nodeid,
                    "outcome": words[report.outcome],
                    "when": datetime.fromtimestamp(report.stop, UTC).isoformat(timespec="seconds"),
                    **({"reason": reason.strip()} if reason else {}),
                }
            )

    def pytest_sessionfinish(self) -> None:
        """Deletes what a run that was broken off has left under the tests' mark; writes the file."""
        if any(fact["outcome"] != "not tried" for fact in self._facts):
            for client in self._address.clients_everywhere():
                try:
                    found = client.marked()
                    left = client.deleted(found)
                    self._left += left
                    self._deleted += [place for place in found if place not in left]
                except (httpx.HTTPError, AssertionError, ValueError) as reason:
                    self._trouble = str(reason)
                client.close()
        if self._file:
            self._file.write_text(json.dumps(self._told(), ensure_ascii=False, indent=1) + "\n", "utf-8")

    def _masked(self, text: str) -> str:
        """Without the credentials that came from the environment."""
        auths = [auth for own in VALUES.values() if isinstance(own, dict) for auth in own.get("auth", {}).values()]
        own_values = [str(value) for auth in auths for value in auth.values()]
        for secret in (self._address.token, self._address.api_key, *own_values):
            text = text.replace(secret, "****")
        return text

    def _told(self) -> dict[str, Any]:
        return {
            "address": self._address.url,
            "org": self._address.org,
            "sandbox": self._address.sandbox,
            "counts": Counter(fact["outcome"] for fact in self._facts),
            "facts": sorted(self._facts, key=lambda fact: fact["test"]),
            "deletedAtTheEnd": self._deleted,
            "leftBehind": self._left,
            **({"couldNotLook": self._trouble} if self._trouble else {}),
        }

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        line = terminalreporter.write_line
        terminalreporter.section("facts confirmed")
        times = [fact["when"] for fact in self._facts]
        line(f"{self._address.url}, {self._address.org}, {self._address.sandbox}")
        line(f"{min(times)} to {max(times)}" if times else "nothing was run")
        confirmed = [fact for fact in self._facts if fact["outcome"] == "confirmed"]
        heads = Counter(
            (fact["test"].partition("[")[0], fact["fact"].partition("[")[0], fact["source"]) for fact in confirmed
        )
        for (_, head, source), number in sorted(heads.items()):
            line(f"  {head}{f' ({number})' if number > 1 else ''} | {source}")
        for fact in self._facts:
            if fact["outcome"] == "not confirmed":
                line(f"NOT CONFIRMED  {fact['fact']} | {fact['source']} | {fact['test']}")
        for reason, number in Counter(
            fact["reason"] for fact in self._facts if fact["outcome"] == "not tried"
        ).most_common():
            line(f"not tried: {number}, {reason}")
        if self._deleted:
            line(f"deleted at the end: {len(self._deleted)} entities of this run or of one that was broken off")
        for place in self._left:
            line(f"LEFT BEHIND  {place}")
        if self._trouble:
            line(f"could not look for what was left behind: {self._trouble}")
