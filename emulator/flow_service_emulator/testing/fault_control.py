"""Faults that a running emulator injects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow_service_emulator.testing.control_client import ControlClient, FlowServiceError

__tracebackhide__ = True  # pytest then shows the line of the test, and not what goes on in here


class Faults:
    """Faults that the server injects. On a shared server they meet this test's organization and sandbox alone.

    A rule is a dict such as `{"kind": "rate-limit", "nth": 2, "retryAfter": 1}`; a text is a scenario's name, such as
    "rate-limited". An unknown kind, field or name raises FlowServiceError with the allowed values.
    """

    def __init__(self, client: ControlClient, scope: Mapping[str, str]) -> None:
        self._client = client
        self._scope = scope
        self._added: list[str] = []

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The rules in their order, with how often each has `matched` and `fired`."""
        rules: list[dict[str, Any]] = self._client.call("GET", "/faults")["rules"]
        return [rule for rule in rules if rule["id"] in self._added] if self._scope else rules

    def set(self, *wanted: Mapping[str, Any] | str) -> list[dict[str, Any]]:
        """Puts rules and scenarios in the place of those that are there; none are, when one of these is refused."""
        self.clear()
        try:
            return [rule for each in wanted for rule in self._add(each)]
        except FlowServiceError:
            self.clear()
            raise

    def add(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Puts one rule behind those that are there: `add("error", error="service-unavailable", times=2)`."""
        return self._add({"kind": kind, **fields})[0]

    def scenario(self, name: str) -> list[dict[str, Any]]:
        """Puts a scenario's rules in the place of those that are there."""
        return self.set(name)

    def clear(self) -> None:
        """Takes away the rules that are there."""
        if not self._scope:
            self._client.call("DELETE", "/faults")
        while self._added:
            if self._scope:
                self._delete(self._added[-1])
            self._added.pop()

    def _add(self, wanted: Mapping[str, Any] | str) -> list[dict[str, Any]]:
        rule = {"scenario": wanted} if isinstance(wanted, str) else dict(wanted)
        added: list[dict[str, Any]] = self._client.call("POST", "/faults", {**self._scope, **rule})["rules"]
        self._added += [entry["id"] for entry in added]
        return added

    def _delete(self, rule_id: str) -> None:
        try:
            self._client.call("DELETE", f"/faults/{rule_id}")
        except FlowServiceError as refused:
            if refused.status != 404:  # taken away by a reset of the shared server
                raise
