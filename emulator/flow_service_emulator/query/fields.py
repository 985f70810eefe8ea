"""Field paths of the query language: `name`, `connectionSpec.id`,
`inheritedAttributes.targetConnections[].id`.

A path's first name must be one of the collection's fields; deeper names are free, as `params` differ from
spec to spec. Where the documentation gives a field's type, a path that cannot fit it is refused at once
instead of silently matching nothing. Source: reference, sections "Entities" and "Sorting, filtering, paging".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from flow_service_emulator.errors import ServiceError

Kind = Literal["text", "number", "boolean", "object", "array"]

BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "false": False}
MAX_STEPS: Final = 16
MAX_PATH_CHARS: Final = 400
MAX_ECHO_CHARS: Final = 100

_STEP: Final = re.compile(r"""([^\s.,\[\]"'=!<>~]+)(\[\])?""")


_FIELDS_BY_KIND: Final[Mapping[Kind, str]] = {
    "text": """id name description state version etag createdBy updatedBy createdClient updatedClient sandboxId sandboxName
        imsOrgId baseConnectionId flowId providerId providerRefId runs sourceConnectionIds[] targetConnectionIds[]
        connectionSpec.id connectionSpec.version flowSpec.id flowSpec.version auth.specName scheduleParams.timeUnit
        lastRunDetails.id lastRunDetails.state metrics.statusSummary.status params.datasets[].dataSetId""",
    "number": """createdAt updatedAt scheduleParams.interval scheduleParams.startTime scheduleParams.endTime
        lastRunDetails.startedAtUTC lastRunDetails.completedAtUTC metrics.durationSummary.startedAtUTC
        metrics.durationSummary.completedAtUTC metrics.sizeSummary.inputBytes metrics.sizeSummary.outputBytes
        metrics.recordSummary.inputRecordCount metrics.recordSummary.outputRecordCount
        metrics.fileSummary.inputFileCount metrics.fileSummary.outputFileCount""",
    "boolean": "inheritedAttributes.properties.isDestinationFlow inheritedAttributes.properties.isSourceFlow",
    "object": """connectionSpec flowSpec auth auth.params params scheduleParams attributes inheritedAttributes
        inheritedAttributes.properties inheritedAttributes.baseConnection lastOperation lastRunDetails metrics
        metrics.durationSummary metrics.sizeSummary metrics.recordSummary metrics.fileSummary metrics.statusSummary""",
    "array": """sourceConnectionIds targetConnectionIds transformations activities params.datasets
        inheritedAttributes.sourceConnections inheritedAttributes.targetConnections
        metrics.recordSummary.sourceSummaries metrics.recordSummary.targetSummaries""",
}
KINDS: Final[Mapping[str, Kind]] = {path: kind for kind, paths in _FIELDS_BY_KIND.items() for path in paths.split()}
"""Path -> the type that the documentation gives; a path that is not here may hold anything."""


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A place in an entity."""

    text: str
    steps: tuple[tuple[str, bool], ...]
    """(name, whether `[]` follows it)"""
    kind: Kind | None
    """The documented type of what is there."""

    @classmethod
    def parse(cls, text: str, fields: Collection[str]) -> FieldPath | None:
        """Reads a path; None when it is malformed, too deep, of an unknown field, or cannot fit the documented types."""
        parts = text.split(".", MAX_STEPS)
        if len(text) > MAX_PATH_CHARS or len(parts) > MAX_STEPS:
            return None
        steps: list[tuple[str, bool]] = []
        path, kind = "", None
        for part in parts:
            step = _STEP.fullmatch(part)
            if step is None or kind not in (None, "object"):
                return None
            steps.append((step[1], step[2] is not None))
            path += step[1]
            kind = KINDS.get(path)
            if step[2] is not None:
                if kind not in (None, "array"):
                    return None
                path += "[]"
                kind = KINDS.get(path)
            path += "."
        return cls(text, tuple(steps), kind) if steps[0][0] in fields else None

    def values(self, entity: Any) -> list[Any]:
        """What stands at this place: nothing, one value, or one for each item of the arrays on the way."""
        found = [entity]
        for name, reaches in self.steps:
            found = [value[name] for value in found if isinstance(value, dict) and name in value]
            if reaches:
                found = [item for value in found if isinstance(value, list) for item in value]
        return found


def value_invalid(value: str, field: str, allowed: str | list[str]) -> ServiceError:
    """Row 1452-400, whose report says what is allowed: the values, or in words which."""
    return ServiceError("value-invalid", value=echo(value), field=echo(field), report={"allowed": allowed})


def echo(text: str) -> str:
    """A client's text as an error message repeats it: at most 100 characters, and always writable as UTF-8."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_ECHO_CHARS else text[: MAX_ECHO_CHARS - 3] + "..."
