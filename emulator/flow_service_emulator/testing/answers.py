"""What the emulator answers to a test, as types: so that an editor completes the names of the fields."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Run(TypedDict):
    """A run that an advance of the clock brought. `scheduledAt` is in epoch seconds, `error` is why it failed."""

    id: str
    flowId: str
    scheduledAt: float
    status: str
    error: NotRequired[str]


class CreatedFlow(TypedDict):
    """The ids of a flow and of the connections that it needs."""

    id: str
    sourceConnectionId: str
    baseConnectionId: str
    targetConnectionId: str
    org: str
    sandbox: str


class Dataset(TypedDict):
    """A dataset as the control calls show it; `appended` is how many rows an append has brought."""

    id: str
    name: str
    origin: str
    rows: int
    rowsPerHour: float
    schema: NotRequired[dict[str, Any]]
    appended: NotRequired[int]


class FaultRule(TypedDict):
    """A rule of injected faults, beside the fields of its own kind. `times` None is until it is deleted."""

    id: str
    kind: str
    stage: str
    times: int | None
    matched: int
    fired: int


class Finding(TypedDict):
    """What is wrong in one place. `severity` is "violation" or "warning"."""

    rule: str
    severity: str
    place: str
    message: str
    fix: NotRequired[str]


class Message(TypedDict):
    """One side of a recorded request: a `body` of more than 32 KB is not stored."""

    headers: dict[str, str]
    size: int
    body: NotRequired[Any]


class RecordedRequest(TypedDict):
    """A request as the journal has it. `verdict` is "ok", "warning", "violation", "injected" or "failed"."""

    number: int
    at: float
    durationMs: float
    requestId: str
    method: str
    path: str
    query: str
    operation: str | None
    org: str
    sandbox: str
    request: Message
    status: int
    answer: Message
    error: str | None
    fault: str | None
    verdict: str
    findings: list[Finding]


class RuleReport(TypedDict):
    """A rule that was broken, how often, and where."""

    id: str
    severity: str
    fix: str
    count: int
    findings: list[dict[str, Any]]
