"""What the emulator accepts although the sources disagree on it, as far as no other room warns of it.

Source: reference, "Where the sources disagree"; the tutorial and the API reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.contract.sighting import Finding, Sighting
from flow_service_emulator.service.kinds import DATASETS_WORKFLOW
from flow_service_emulator.validation.schemas import PreparedSchema

MAX_PARAMS: Final = 20
LATE_SECONDS: Final = 3_600.0
"""A start this long ago lies in the past; a younger one is the present, as a client's clock shows it."""


class Leniences:
    """Looks at the bodies of requests that were accepted."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._params: dict[str, frozenset[str]] = {}

    def note(self, seen: Sighting) -> Iterator[Finding]:
        """What was accepted although sources disagree, and what no other room warns of."""
        exchange, body, name = seen.exchange, seen.body, seen.name
        if name == "listConfigs" and exchange.path_params.get("id") != self._catalog.data_lake_spec_id:
            yield Finding(
                "configs-of-destination",
                "id",
                f"the spec {exchange.path_params.get('id')} is not the data lake's, {self._catalog.data_lake_spec_id}",
            )
        if not isinstance(body, dict):
            return
        if name == "create:connections" and "auth" in body and body["auth"] is None:
            yield Finding("auth-null", "auth", "auth was sent as null")
        if name == "create:targetConnections":
            yield from self._without_effect(body)
        if name == "create:flows" and isinstance(schedule := body.get("scheduleParams"), dict):
            if "folderNameTemplate" in schedule:
                place = "scheduleParams.folderNameTemplate"
                yield Finding(
                    "folder-template-spelling",
                    place,
                    f"{place} is spelt foldernameTemplate in the documentation of exports"
                    + ("; both were sent, and foldernameTemplate counts" if "foldernameTemplate" in schedule else ""),
                )
            start = _number(schedule.get("startTime"))
            if start is not None and start < seen.at - LATE_SECONDS:
                late = (seen.at - start) / 3600
                yield Finding(
                    "start-time-past",
                    "scheduleParams.startTime",
                    f"scheduleParams.startTime lies {late:,.0f} h in the past",
                )

    def _without_effect(self, body: Mapping[str, Any]) -> Iterator[Finding]:
        """Parameters of a dataset export's target connection that belong to another kind of flow."""
        spec = body.get("connectionSpec")
        spec_id = spec.get("id") if isinstance(spec, dict) else None
        params = body.get("params")
        known = self._catalog.connection_specs.get(spec_id) if isinstance(spec_id, str) else None
        if known is None or known.target is None or not isinstance(params, dict) or "datasetFileType" not in params:
            return
        declared = known.target.schema.get("properties", {})
        used = self._used_params(known.id, known.target.schema)
        for name in list(params)[:MAX_PARAMS]:
            place = f"params.{name[:60]}"
            if name in declared and name not in used:
                yield Finding(
                    "field-without-effect", place, f"{place} belongs to flows that export audiences, not datasets"
                )

    def _used_params(self, spec_id: str, schema: Mapping[str, Any]) -> frozenset[str]:
        """The parameters of a target connection that mean something for an export of datasets."""
        if spec_id not in self._params:
            properties = PreparedSchema(schema).resolved(DATASETS_WORKFLOW, beside=False).get("properties", {})
            self._params[spec_id] = frozenset(name for name, part in properties.items() if part is not True)
        return self._params[spec_id]


def _number(value: Any) -> float | None:
    """A number, as such or as the text that a real client sends."""
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdigit():
        return float(value)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
