"""Datasets of a test's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from flow_service_emulator.testing.control_client import ControlClient

__tracebackhide__ = True  # pytest then shows the line of the test, and not what goes on in here


class Datasets:
    """Datasets of the test's own, which then can be exported as any other. On a shared server they are everybody's."""

    def __init__(self, client: ControlClient) -> None:
        self._client = client

    def put(
        self, dataset_id: str, records: Sequence[Mapping[str, Any]] | None = None, **described: Any
    ) -> dict[str, Any]:
        """Sets a dataset: its `records`, or a `schema` or `like` (another's id) with the number of `rows` to make.

        `name` is what lists show, `rowsPerHour` how it grows. Raises FlowServiceError for what cannot be.
        """
        body = described if records is None else {**described, "records": list(records)}
        return cast("dict[str, Any]", self._client.call("PUT", f"/datasets/{dataset_id}", {"name": dataset_id, **body}))

    def append(self, dataset_id: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Adds records to a dataset that was put with records; the next incremental export has just these.

        Answers the dataset: `rows` is how many it has now. Raises FlowServiceError for what cannot be.
        """
        answer = self._client.call("POST", f"/datasets/{dataset_id}/records", list(records))
        return cast("dict[str, Any]", answer)

    def get(self, dataset_id: str) -> dict[str, Any]:
        """A dataset as it is."""
        return cast("dict[str, Any]", self._client.call("GET", f"/datasets/{dataset_id}"))

    def delete(self, dataset_id: str) -> None:
        """Takes a dataset of the test's own away again."""
        self._client.call("DELETE", f"/datasets/{dataset_id}")
