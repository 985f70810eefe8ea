"""What one answered request says about the client: what was refused and where, and what was taken although it is fragile.

Source of the leniences: reference, "Where the sources disagree"; the tutorial and the API reference.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final, NamedTuple

import orjson

from flow_service_emulator.api.exchange import Exchange
from flow_service_emulator.api.routes import BASE
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.service.kinds import DATASETS_WORKFLOW
from flow_service_emulator.validation.violation_text import literal

AUTHORIZATION: Final = "headers.authorization"
ORG: Final = "headers.x-gw-ims-org-id"
SANDBOX: Final = "headers.x-sandbox-name"
IF_MATCH: Final = "headers.if-match"
MAX_OF_REQUEST: Final = 20
MAX_PLACE: Final = 100
"""Characters of a place that a client made up."""
LATE_SECONDS: Final = 3_600.0
"""A start this long ago lies in the past; a younger one is the present, as a client's clock shows it."""
_SANDBOX_NAME: Final = re.compile(r"[a-z0-9-]*")
_ETAG: Final = re.compile(r'"[^"]+"')
_ENTITY: Final = re.compile(rf"({re.escape(BASE)}/\w+)/[^/]+")
_POINTER: Final = re.compile(r"(?:^|[ (])(/[^\s:;,)]*)")


class Finding(NamedTuple):
    """A rule that a request met.

    `place` is where in the request: `query.limit`, `headers.if-match`, `params.bucketName` for a field of the body,
    `/scheduleParams/interval` for what a patch names, and a path for what no route takes; empty for all of it. `kind` is which
    way of several the rule was broken in, such as `required` or `enum`; empty where it has one.
    """

    rule: str
    place: str
    message: str
    kind: str = ""


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

    @property
    def message(self) -> str:
        """The sentence of the error that was answered."""
        answer = self.exchange.answer
        names = ("errorMessage", "message", "detail", "error_description")
        return next((answer[name] for name in names if isinstance(answer.get(name), str)), "")

    @property
    def report(self) -> Mapping[str, Any]:
        """The details of the error that was answered, such as `violations` or `allowed`."""
        answer = self.exchange.answer
        report = answer.get("report", answer)
        return report if isinstance(report, dict) else {}


class Judge:
    """Knows the fixtures, and nothing of the store. `rules` are the names of the rules."""

    def __init__(self, catalog: Catalog, rules: Collection[str]) -> None:
        self._catalog = catalog
        self._errors = catalog.errors.kinds
        self._rules = rules
        self._used_params = cache(self._params_of_datasets)

    def findings(self, seen: Seen, deleted: Collection[str]) -> list[Finding]:
        """Each once, at most MAX_OF_REQUEST. A look for what was `deleted` before is none: a client may make sure."""
        exchange = seen.exchange
        found = [Finding(warning.rule, warning.path, warning.message) for warning in exchange.warnings]
        if exchange.error is not None:
            if not exchange.injected:
                found += self._refusal(seen, deleted)
        elif seen.was_taken:
            found += self._leniences(seen)
        if exchange.path.startswith("/data/"):
            found += self._headers(seen)
        return list(dict.fromkeys(found))[:MAX_OF_REQUEST] if found else found

    def _refusal(self, seen: Seen, deleted: Collection[str]) -> Iterator[Finding]:
        """What a refusal says about the client; nothing when a fault rule refused in the service's place."""
        exchange, error = seen.exchange, seen.exchange.error or ""
        fields: Mapping[str, Any] = exchange.error_fields or {}
        if error == "version-mismatch" and exchange.fault is None:
            yield _refused_etag(seen)
        elif error == "gateway-token-not-valid" and fields.get("expired") is not None:
            yield Finding("token-expired", AUTHORIZATION, f"the token expired {seen.at - fields['expired']:.0f} s ago")
        elif error == "resource-not-found" and exchange.method == "GET" and seen.place in deleted:
            pass
        elif error in self._rules:
            violations = seen.report.get("violations")
            if isinstance(violations, list) and violations:
                for violation in violations[:MAX_OF_REQUEST]:
                    yield Finding(error, *(str(violation[name]) for name in ("path", "message", "rule")))
            else:
                place, kind = _place_and_kind(seen, error, self._errors[error].place)
                yield Finding(error, place, _message(seen), kind)
        if exchange.path.startswith("/data/"):
            yield from self._missing_headers(exchange.headers)

    def _missing_headers(self, headers: Mapping[str, str]) -> Iterator[Finding]:
        """All of them, so that one round fixes them all: the gateway answers with the first."""
        missing = {
            "gateway-token-missing": "authorization" not in headers,
            "gateway-api-key-missing": not headers.get("x-api-key"),
            "gateway-org-missing": "x-gw-ims-org-id" not in headers,
            "org-header-empty": not headers.get("x-gw-ims-org-id", "-").strip(),
        }
        for error in missing:
            if missing[error]:
                yield Finding(error, self._errors[error].place, self._errors[error].message)

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


def _refused_etag(seen: Seen) -> Finding:
    """What a 412 says about the client: that its etag was old, which happens, or that it was none."""
    sent = seen.exchange.headers.get("if-match", "").strip()
    if _ETAG.fullmatch(sent):
        return Finding("etag-not-latest", IF_MATCH, seen.message)
    told = f"If-Match was sent as {literal(sent)}; an etag in its double quotes is needed"
    return Finding("if-match-form", IF_MATCH, told)


def _place_and_kind(seen: Seen, error: str, place: str) -> tuple[str, str]:
    """Of a refused request whose answer has no violations. The kind `required` is that of what is missing."""
    exchange, operation = seen.exchange, seen.name
    fields = exchange.error_fields or {}
    sent = {part.partition("=")[0] for part in exchange.query_string.split("&")[:100]}
    field, kind = "", ""
    match error:
        case "path-not-found" | "method-not-allowed":
            return _ENTITY.sub(r"\1/{id}", exchange.path, count=1)[:MAX_PLACE], ""
        case "unsupported":
            return str(fields.get("base", "")), ""
        case "patch-invalid":
            found = _POINTER.search(str(fields.get("detail", "")))
            return found[1][:MAX_PLACE] if found else "", ""
        case "token-request-invalid":
            name, missing, _ = str(fields.get("reason", "")).partition(" is missing")
            return (name, "required") if missing else ("", "")
        case "query-param-unknown":
            field = str(fields.get("param", ""))
        case "value-invalid" if fields.get("field") in sent or not operation.startswith("list:"):
            field = str(fields.get("field", ""))
            kind = "" if field in sent else "required"
        case "value-invalid":
            field = "property"  # a list's own parameters may all be left out: another name is a field's, in a filter
        case "query-value-invalid":
            field = next((name for name in ("property", "orderby") if name in sent), "")
        case "operation-unsupported" if operation == "actOnFlow":
            field, kind = "op", "" if "op" in sent else "required"
        case _:
            return place or str(seen.report.get("field", "")), ""
    return f"query.{field[:MAX_PLACE]}" if field else "", kind


def _message(seen: Seen) -> str:
    """The sentence that was answered, with the details of the answer that it does not have: what was sent, what is allowed."""
    message, report = seen.message, seen.report
    allowed = report.get("allowed")
    if "field" in report:
        field, value = report["field"], report.get("value")
        if isinstance(value, str):
            return message if value in message else f"{message} {field} was {literal(value)}"
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        told = f"{message} {field} was {'the number ' if number else ''}{literal(value)}"
        if isinstance(allowed, list) and len(allowed) == 1:
            told += f"; the text {literal(allowed[0])} is needed"
        return told
    if isinstance(allowed, (str, list)) and allowed:
        return f"{message} Allowed: {allowed if isinstance(allowed, str) else ', '.join(map(str, allowed))}"
    return message
