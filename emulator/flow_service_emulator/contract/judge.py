"""What one answered request says about the client beside a refusal: what was taken although it is fragile.

Source of the leniences: reference, "Where the sources disagree"; the tutorial and the API reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange
from flow_service_emulator.catalog import DATASETS_WORKFLOW, Catalog
from flow_service_emulator.contract.hints import MAX_OF_REQUEST
from flow_service_emulator.validation.validation import Finding
from flow_service_emulator.validation.violation_text import literal

ORG: Final = "headers.x-gw-ims-org-id"
SANDBOX: Final = "headers.x-sandbox-name"
LATE_SECONDS: Final = 3_600.0
"""A start this long ago lies in the past; a younger one is the present, as a client's clock shows it."""
_SANDBOX_NAME: Final = re.compile(r"[a-z0-9-]*")


class Judge:
    """Knows the fixtures, and nothing of the store."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._used_params = cache(self._params_of_datasets)

    def findings(self, exchange: Exchange, body: Any) -> list[Finding]:
        """Each once, at most MAX_OF_REQUEST; those of a refusal were found when it was answered (`hints.py`).

        `body` is what was sent with a request that was taken, as JSON.
        """
        found = [*exchange.warnings, *exchange.findings]
        if exchange.error is None and exchange.was_taken:
            found += self._leniences(exchange, body)
        if exchange.path.startswith("/data/"):
            org, sandbox = exchange.headers.get("x-gw-ims-org-id", ""), exchange.headers.get("x-sandbox-name", "")
            if of_names := _of_names(org, sandbox):
                repeated = [warning.place for warning in exchange.warnings]  # their values stand in one line
                found += [each for each in of_names if each.place not in repeated]
        return list(dict.fromkeys(found))[:MAX_OF_REQUEST] if found else found

    def _leniences(self, exchange: Exchange, body: Any) -> Iterator[Finding]:
        """What was accepted although sources disagree, and what nobody else warns of."""
        name = exchange.name
        if name == "listConfigs":
            spec_id, lake = exchange.path_params.get("id"), self._catalog.data_lake_spec_id
            if spec_id != lake:
                yield Finding("configs-of-destination", "id", f"the spec {spec_id} is not the data lake's, {lake}")
        elif not name.startswith("create:") or not isinstance(body, dict):
            return
        elif name == "create:connections" and "auth" in body and body["auth"] is None:
            yield Finding("auth-null", "auth", "auth was sent as null")
        elif name == "create:targetConnections":
            yield from self._without_effect(body)
        elif name == "create:flows" and isinstance(schedule := body.get("scheduleParams"), dict):
            yield from _of_schedule(schedule, exchange.at)

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


@lru_cache(1_000)
def _of_names(org: str, sandbox: str) -> list[Finding]:
    """What is taken here, and that no documented organization or sandbox looks like; and a sandbox that was not named."""
    found = []
    if org.strip() and not org.strip().endswith("@AdobeOrg"):
        found.append(Finding("org-id-form", ORG, f"{ORG} was {literal(org.strip())}"))
    if not sandbox:
        found.append(Finding("sandbox-header-missing", SANDBOX, "x-sandbox-name was not sent; prod is assumed"))
    elif _SANDBOX_NAME.fullmatch(sandbox) is None:
        found.append(Finding("sandbox-name-form", SANDBOX, f"{SANDBOX} was {literal(sandbox)}"))
    return found


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
