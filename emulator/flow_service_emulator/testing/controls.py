"""What a test changes on a running emulator: the clock, faults, datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from flow_service_emulator.instants import Instant
from flow_service_emulator.testing.answers import Dataset, FaultRule, Run
from flow_service_emulator.testing.client import ControlClient, FlowServiceError, Part, given

__tracebackhide__ = True  # pytest then shows the line of the test, and not what goes on in here


class ClockControl(Part):
    """The server's clock, in epoch seconds. On a shared server it is everybody's, but only this test's runs are told."""

    def __init__(self, client: ControlClient) -> None:
        super().__init__(client)
        self.after_advance: Callable[[], None] = lambda: None
        """Called after each advance, also when that is refused."""

    def __repr__(self) -> str:
        return f"<clock, {self.mode}, at {datetime.fromtimestamp(self.now, UTC).isoformat()}>"

    @property
    def now(self) -> float:
        """The present there."""
        return float(self._client.call("GET", "/clock")["now"])

    @property
    def mode(self) -> str:
        """ "real", "frozen" or "accelerated"."""
        return str(self._client.call("GET", "/clock")["mode"])

    def freeze(self, at: Instant | None = None) -> float:
        """Stop time, now or at a later instant (what falls due until then is run first). Answers the time."""
        return self.set(mode="frozen", now=at)

    def set(self, *, mode: str | None = None, now: Instant | None = None, speed: float | None = None) -> float:
        """Change how time passes: "real", "frozen", or "accelerated" with `speed` seconds in one. Answers the time."""
        return float(self._client.call("PUT", "/clock", given(mode=mode, now=now, speed=speed))["now"])

    def advance(
        self,
        seconds: float | None = None,
        *,
        minutes: float | None = None,
        hours: float | None = None,
        days: float | None = None,
        to: Instant | None = None,
    ) -> list[Run]:
        """Move time on by a length, or to an instant, and run every export on the way.

        Answers the runs in their order when all files are on disk.
        """
        body = given(seconds=seconds, minutes=minutes, hours=hours, days=days, to=to)
        try:
            runs: list[Run] = self._client.call("POST", "/clock/advance", {**self._client.scope, **body})["runs"]
        finally:
            self.after_advance()
        return runs


class Faults(Part):
    """Faults that the server injects. On a shared server they meet this test's organization and sandbox alone.

    A rule is a dict such as `{"kind": "rate-limit", "nth": 2, "retryAfter": 1}`; a text is a scenario's name, such as
    "rate-limited". An unknown kind, field or name raises FlowServiceError with the allowed values.
    """

    def __init__(self, client: ControlClient) -> None:
        super().__init__(client)
        self._added: list[tuple[str, set[str]]] = []
        """What was asked for, a scenario by its name and a rule by its id, with the ids of its rules."""

    def __repr__(self) -> str:
        return f"<faults: {', '.join(rule['id'] for rule in self.rules) or 'none'}>"

    @property
    def unmatched(self) -> list[str]:
        """Rules by their ids, and scenarios by their names, that no request and no run has met."""
        unmet = {rule["id"] for rule in self.rules if not rule["matched"]} if self._added else set()
        return [name for name, ids in self._added if ids <= unmet]

    @property
    def rules(self) -> list[FaultRule]:
        """The rules in their order, with how often each has `matched` and `fired`."""
        rules: list[FaultRule] = self._client.call("GET", "/faults")["rules"]
        own = {rule_id for _, ids in self._added for rule_id in ids}
        return [rule for rule in rules if rule["id"] in own] if self._client.scope else rules

    def set(self, *wanted: Mapping[str, Any] | str) -> list[FaultRule]:
        """Put rules and scenarios in the place of those that are there; none are, when one of these is refused."""
        self.clear()
        try:
            return [rule for each in wanted for rule in self._add(each)]
        except FlowServiceError:
            self.clear()
            raise

    def add(self, kind: str, **fields: Any) -> FaultRule:
        """Put one rule behind those that are there: `add("error", error="service-unavailable", times=2)`."""
        return self._add({"kind": kind, **fields})[0]

    def scenario(self, name: str) -> list[FaultRule]:
        """Put a scenario's rules in the place of those that are there."""
        return self.set(name)

    def clear(self) -> None:
        """Take away the rules that are there."""
        if not self._client.scope:
            self._client.call("DELETE", "/faults")
        elif self._added:
            for rule in self.rules:  # without those that a reset of the shared server has taken away
                self._client.call("DELETE", f"/faults/{rule['id']}")
        self._added.clear()

    def _add(self, wanted: Mapping[str, Any] | str) -> list[FaultRule]:
        rule = {"scenario": wanted} if isinstance(wanted, str) else wanted
        added: list[FaultRule] = self._client.call("POST", "/faults", {**self._client.scope, **rule})["rules"]
        self._added.append((wanted if isinstance(wanted, str) else added[0]["id"], {each["id"] for each in added}))
        return added


class Datasets(Part):
    """Datasets of the test's own, which then can be exported as any other. On a shared server they are everybody's."""

    def put(self, dataset_id: str, records: Sequence[Mapping[str, Any]] | None = None, **described: Any) -> Dataset:
        """Set a dataset: its `records`, or a `schema` or `like` (another's id) with the number of `rows` to make.

        A `schema` beside records says the types of columns; datetimes and dates say theirs themselves. `name` is what lists show,
        `rowsPerHour` how it grows. Raises FlowServiceError for what cannot be.
        """
        if records is not None:
            types = types_of(records)
            described = {**({"schema": types} if types else {}), **described, "records": list(records)}
        return self._call("PUT", dataset_id, {"name": dataset_id, **described})

    def __repr__(self) -> str:
        return f"<datasets: {', '.join(each['id'] for each in self._client.call('GET', '/datasets')['items'])}>"

    def append(self, dataset_id: str, records: Sequence[Mapping[str, Any]]) -> Dataset:
        """Add records to a dataset that was put with records; the next incremental export has just these.

        Answers the dataset: `rows` is how many it has now. Raises FlowServiceError for what cannot be.
        """
        return self._call("POST", f"{dataset_id}/records", list(records))

    def get(self, dataset_id: str) -> Dataset:
        """A dataset as it is."""
        return self._call("GET", dataset_id)

    def delete(self, dataset_id: str) -> None:
        """Take a dataset of the test's own away."""
        self._call("DELETE", dataset_id)

    def _call(self, method: str, path: str, body: Any = None) -> Dataset:
        dataset: Dataset = self._client.call(method, f"/datasets/{path}", body)
        return dataset


def types_of(values: Iterable[Any]) -> dict[str, Any]:
    """The JSON Schema of datetimes and dates in values that stand in one place; an empty one where there are none."""
    values = list(values)
    for value in values:
        if isinstance(value, date):
            return {"type": "string", "format": "date-time" if isinstance(value, datetime) else "date"}
    lists = [value for value in values if isinstance(value, list | tuple)]
    if lists:
        items = types_of(item for each in lists for item in each)
        return {"type": "array", "items": items} if items else {}
    objects = [value for value in values if isinstance(value, Mapping)]
    names = dict.fromkeys(name for each in objects for name in each)
    parts = {name: types_of(each[name] for each in objects if name in each) for name in names}
    found = {name: part for name, part in parts.items() if part}
    return {"type": "object", "properties": found} if found else {}
