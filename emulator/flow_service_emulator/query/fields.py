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


def _typed(kind: Kind, paths: str) -> dict[str, Kind]:
    return dict.fromkeys(paths.split(), kind)


KINDS: Final[Mapping[str, Kind]] = {
    **_typed(
        "text",
        """id name description state version etag createdBy updatedBy createdClient updatedClient sandboxId
        sandboxName imsOrgId baseConnectionId flowId providerId providerRefId runs sourceConnectionIds[]
        targetConnectionIds[] connectionSpec.id connectionSpec.version flowSpec.id flowSpec.version
        auth.specName scheduleParams.timeUnit lastRunDetails.id lastRunDetails.state lastOperation.operation
        lastOperation.status.value metrics.statusSummary.status params.datasets[].dataSetId""",
    ),
    **_typed(
        "number",
        """createdAt updatedAt scheduleParams.interval scheduleParams.startTime scheduleParams.endTime
        lastOperation.started lastOperation.updated lastOperation.percentCompleted lastRunDetails.startedAtUTC
        lastRunDetails.completedAtUTC metrics.durationSummary.startedAtUTC
        metrics.durationSummary.completedAtUTC metrics.sizeSummary.inputBytes metrics.sizeSummary.outputBytes
        metrics.recordSummary.inputRecordCount metrics.recordSummary.outputRecordCount
        metrics.recordSummary.createdRecordCount metrics.recordSummary.skippedRecordCount
        metrics.fileSummary.inputFileCount metrics.fileSummary.outputFileCount""",
    ),
    **_typed(
        "boolean",
        "inheritedAttributes.properties.isDestinationFlow inheritedAttributes.properties.isSourceFlow",
    ),
    **_typed(
        "object",
        """connectionSpec flowSpec auth auth.params params params.datasets[] scheduleParams attributes
        sourceSpec targetSpec inheritedAttributes inheritedAttributes.properties
        inheritedAttributes.baseConnection inheritedAttributes.baseConnection.connectionSpec
        inheritedAttributes.sourceConnections[] inheritedAttributes.targetConnections[]
        inheritedAttributes.sourceConnections[].connectionSpec
        inheritedAttributes.targetConnections[].connectionSpec
        inheritedAttributes.targetConnections[].baseConnection transformations[] lastOperation
        lastOperation.status lastRunDetails activities[] metrics metrics.durationSummary metrics.sizeSummary
        metrics.recordSummary metrics.fileSummary metrics.statusSummary
        metrics.recordSummary.sourceSummaries[] metrics.recordSummary.targetSummaries[]""",
    ),
    **_typed(
        "array",
        """sourceConnectionIds targetConnectionIds transformations activities params.datasets
        inheritedAttributes.sourceConnections inheritedAttributes.targetConnections
        lastOperation.status.errors metrics.recordSummary.sourceSummaries
        metrics.recordSummary.targetSummaries metrics.statusSummary.errors""",
    ),
}
"""Path -> the type that the documentation gives; a path that is not here may hold anything."""


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A place in an entity. `steps` are (name, whether `[]` follows it); `kind` is the documented type of what is there."""

    text: str
    steps: tuple[tuple[str, bool], ...]
    kind: Kind | None

    @classmethod
    def parse(cls, text: str, fields: Collection[str]) -> FieldPath | None:
        """Reads a path; None when it is malformed, too deep, of an unknown field, or cannot fit the documented types."""
        steps = [_STEP.fullmatch(part) for part in text[: MAX_PATH_CHARS + 1].split(".", MAX_STEPS)]
        if len(text) > MAX_PATH_CHARS or len(steps) > MAX_STEPS:
            return None
        prefix, above = "", None
        read: list[tuple[str, bool]] = []
        for step in steps:
            if step is None or above not in (None, "object"):
                return None
            name, reaches = step[1], step[2] is not None
            above = KINDS.get(prefix + name)
            if reaches:
                if above not in (None, "array"):
                    return None
                above = KINDS.get(prefix + step[0])
            prefix += step[0] + "."
            read.append((name, reaches))
        return cls(text, tuple(read), above) if read[0][0] in fields else None

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
