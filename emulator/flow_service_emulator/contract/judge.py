"""What one answered request says about the client beside a refusal: what was taken although it is fragile.

Source of the leniences: reference, "Where the sources disagree"; the tutorial and the API reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

import orjson

from flow_service_emulator.api.exchange import Exchange, Finding
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.contract.hints import MAX_OF_REQUEST
from flow_service_emulator.service.kinds import DATASETS_WORKFLOW
from flow_service_emulator.validation.violation_text import literal

ORG: Final = "headers.x-gw-ims-org-id"
SANDBOX: Final = "headers.x-sandbox-name"
LATE_SECONDS: Final = 3_600.0
"""A start this long ago lies in the past; a younger one is the present, as a client's clock shows it."""
_SANDBOX_NAME: Final = re.compile(r"[a-z0-9-]*")


@dataclass
class Seen:
    """A request with its answer. `at` is emulator time (epoch seconds), `status` is 0 when no answer went out."""

    exchange: Exchange
    number: int
    at: float
    status: int
    answer: bytes

    @property
    def name(self) -> str:
        """The operation's name; for a request that no route took, its method."""
        return self.exchange.operation or self.exchange.method[:16]

    @property
    def place(self) -> str:
        """Organization, sandbox and path."""
        return "\n".join((*self.exchange.scope, self.exchange.path))

    @property
    def was_taken(self) -> bool:
        """Whether the request was carried out, as far as its answer says."""
        return 200 <= self.status < 400

    @property
    def where(self) -> dict[str, Any]:
        """Which request it was, for the report."""
        exchange = self.exchange
        return {
            "entry": self.number, "requestId": exchange.request_id, "method": exchange.method,
            "path": exchange.path[:200], "status": self.status, "at": self.at,
        }  # fmt: skip

    @cached_property
    def body(self) -> Any:
        """The request's body; None for what is no JSON."""
        try:
            return orjson.loads(self.exchange.body)
        except orjson.JSONDecodeError:
            return None


class Judge:
    """Knows the fixtures, and nothing of the store."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._used_params = cache(self._params_of_datasets)

    def findings(self, seen: Seen) -> list[Finding]:
        """Each once, at most MAX_OF_REQUEST; those of a refusal were found when it was answered (`hints.py`)."""
        exchange = seen.exchange
        found = [Finding(warning.rule, warning.path, warning.message) for warning in exchange.warnings]
        found += exchange.findings
        if exchange.error is None and seen.was_taken:
            found += self._leniences(seen)
        if exchange.path.startswith("/data/"):
            found += self._headers(seen)
        return list(dict.fromkeys(found))[:MAX_OF_REQUEST] if found else found

    def _headers(self, seen: Seen) -> Iterator[Finding]:
        """What is taken here, and that no documented organization or sandbox looks like; and a sandbox that was not named."""
        headers = seen.exchange.headers
        repeated = [warning.path for warning in seen.exchange.warnings]  # whose values stand in one line
        org, sandbox = headers.get("x-gw-ims-org-id", "").strip(), headers.get("x-sandbox-name", "")
        if org and not org.endswith("@AdobeOrg") and ORG not in repeated:
            yield Finding("org-id-form", ORG, f"{ORG} was {literal(org)}")
        if not sandbox:
            yield Finding("sandbox-header-missing", SANDBOX, "x-sandbox-name was not sent; prod is assumed")
        elif _SANDBOX_NAME.fullmatch(sandbox) is None and SANDBOX not in repeated:
            yield Finding("sandbox-name-form", SANDBOX, f"{SANDBOX} was {literal(sandbox)}")

    def _leniences(self, seen: Seen) -> Iterator[Finding]:
        """What was accepted although sources disagree, and what nobody else warns of."""
        exchange, name = seen.exchange, seen.name
        if name == "listConfigs":
            spec_id, lake = exchange.path_params.get("id"), self._catalog.data_lake_spec_id
            if spec_id != lake:
                yield Finding("configs-of-destination", "id", f"the spec {spec_id} is not the data lake's, {lake}")
            return
        if not name.startswith("create:") or not exchange.body or not isinstance(body := seen.body, dict):
            return
        if name == "create:connections" and "auth" in body and body["auth"] is None:
            yield Finding("auth-null", "auth", "auth was sent as null")
        elif name == "create:targetConnections":
            yield from self._without_effect(body)
        elif name == "create:flows" and isinstance(schedule := body.get("scheduleParams"), dict):
            yield from _of_schedule(schedule, seen.at)

    def _without_effect(self, body: Mapping[str, Any]) -> Iterator[Finding]:
        """Parameters of a dataset export's target connection that belong to another kind of flow."""
        spec, params = self._catalog.connection_specs.get(body["connectionSpec"]["id"]), body.get("params")
        if spec is None or spec.target is None or not isinstance(params, dict) or "datasetFileType" not in params:
            return
        unused = spec.target.schema.get("properties", {}).keys() - self._used_params(spec.id)
        for name in params:
            if name in unused:
                place = f"params.{name}"
                yield Finding(
                    "field-without-effect", place, f"{place} belongs to flows that export audiences, not datasets"
                )

    def _params_of_datasets(self, spec_id: str) -> frozenset[str]:
        """The parameters of a target connection that mean something for an export of datasets."""
        target = self._catalog.connection_specs[spec_id].target
        properties = target.applicable(DATASETS_WORKFLOW).get("properties", {}) if target is not None else {}
        return frozenset(name for name, part in properties.items() if part is not True)


def _of_schedule(schedule: Mapping[str, Any], at: float) -> Iterator[Finding]:
    if "folderNameTemplate" in schedule:
        place = "scheduleParams.folderNameTemplate"
        told = f"{place} is spelt foldernameTemplate in the documentation of exports"
        both = "; both were sent, and foldernameTemplate counts" if "foldernameTemplate" in schedule else ""
        yield Finding("folder-template-spelling", place, told + both)
    start = schedule.get("startTime")
    if str(start).isdigit() and (late := at - float(str(start))) > LATE_SECONDS:  # real clients send it as a text, too
        place = "scheduleParams.startTime"
        yield Finding("start-time-past", place, f"{place} lies {late / 3600:,.0f} h in the past")
