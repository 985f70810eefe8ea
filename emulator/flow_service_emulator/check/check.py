"""Holds recorded traffic of the real service against the emulator, both ways, and says what was learned.

Each request is judged by the emulator's rules, each answer by its OpenAPI description. What depends on entities or secrets that
the recording does not have is "not comparable", and never a finding.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from jsonschema_rs import Draft7Validator, ValidationErrorKind

from flow_service_emulator.api.exchange import Exchange, read_json
from flow_service_emulator.check.replay import Replay
from flow_service_emulator.check.traffic import Exchanged, read_traffic, without_secrets
from flow_service_emulator.contract.rules import source_url
from flow_service_emulator.errors import sentence
from flow_service_emulator.openapi import description
from flow_service_emulator.remote_commands import check_output, show_report
from flow_service_emulator.reports.report import NoReport, counted, printable
from flow_service_emulator.validation.schemas import compiled
from flow_service_emulator.validation.validation import Finding, SchemaValidator

PATHS: Final = ("/data/foundation/flowservice", "/data/foundation/connectors/landingzone",
                "/data/core/activation/disflowprovider/adhocrun", "/ims/token/")  # fmt: skip
"""What the emulator stands for, whatever the host."""
REFUSED: Final = (400, 415, 422)
"""Statuses that say something about the request alone."""
BY_STATE: Final = frozenset(
    {"action-not-applicable", "adhoc-invalid", "base-connection-in-use", "in-active-flow", "run-flow-not-found"}
)
"""Refusals that depend on entities as they were at that moment."""
STANDARD_INPUT: Final = "-"
NO_ROUTE: Final = frozenset({"path-not-found", "method-not-allowed"})
STRICT, GAP, CODE = "emulator-too-strict", "emulator-gap", "emulator-other-code"
RULE_OF_KIND: Final = {"type": "answer-other-type", "missing": "answer-field-missing"}
"""Which differences of an answer are findings; the others are information."""
FIELD_NAME: Final = re.compile(r"[A-Za-z_$@%][A-Za-z_$@%-]{0,39}")
"""A name that a document may have given; others, such as ids, are data."""
_JSON_TYPES: Final = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}


class Check:
    """What has been found so far."""

    def __init__(self) -> None:
        self._replay = Replay()
        catalog = self._replay.service.catalog
        self._errors = catalog.errors.kinds
        self._specs = catalog.connection_specs
        document = description(self._replay.service.table, catalog)
        self._contract = self._replay.service.contract
        for row in catalog.rules["check"]:
            address = source_url(row["source"], catalog.rules["sources"])
            self._contract.rules[row["id"]] = row | ({"sourceUrl": address} if address else {})
        self._components = document["components"]
        self._answers = {
            (operation["operationId"], status): response["content"]["application/json"]["schema"]
            for methods in document["paths"].values()
            for operation in methods.values()
            for status, response in operation["responses"].items()
            if status < "4" and "content" in response
        }
        """(operation, status) -> what is described to be answered."""
        self._described = cache(self._compiled)
        self._outcomes: Counter[str] = Counter()
        self._not_comparable: Counter[str] = Counter()
        self._information: Counter[str] = Counter()
        self.facts: dict[str, str] = {}
        """Each fact once, as JSON without its date -> the date."""

    async def add(self, call: Exchanged) -> None:
        """Takes in a recorded request. One that is not for the service is only counted."""
        if not call.path.startswith(PATHS):
            self._outcomes["elsewhere"] += 1
            return
        call = without_secrets(call, self._replay.service.masker)
        if call.lacks or not call.status:
            self._note("not comparable", call.lacks or "the recording has no answer")
            return
        exchange, status = await self._replay(call)
        findings = list(self._compared(call, exchange, status))
        if exchange.error is not None and 200 <= call.status < 300:
            exchange.error, exchange.findings = None, ()  # the service took it: no fault of the client's
        exchange.number, exchange.at, exchange.status = call.entry, call.at, call.status
        exchange.answer = orjson.dumps(call.answer) if call.answer else b""
        self._contract.judge(exchange, [*findings, *self._of_answer(call, exchange)])
        self._take_down(call, exchange)

    def report(self) -> dict[str, Any]:
        """The contract report of the client, with what came of the comparison."""
        return {
            **self._contract.report(),
            "comparison": {
                "requests": dict(self._outcomes),
                "notComparable": dict(self._not_comparable),
                "information": [{"message": told, "count": n} for told, n in self._information.most_common()],
            },
        }

    def _note(self, outcome: str, reason: str = "") -> None:
        self._outcomes[outcome] += 1
        if reason:
            self._not_comparable[reason] += 1

    def _compared(self, call: Exchanged, exchange: Exchange, status: int) -> Iterator[Finding]:
        """What follows from both answers; the table of the guide on real traffic. `status` is the emulator's."""
        unknown = _take_out_unknown(exchange) if exchange.error == "provider-rejected" else ""
        error = exchange.error
        taken, refused = 200 <= call.status < 300, call.status in REFUSED
        no_route = taken and error in NO_ROUTE
        if error == "unsupported":
            self._note("not comparable", "the emulator does not have this call")
        elif not taken and not refused:
            self._note("not comparable", f"the service answered {call.status}, which depends on more than the request")
        elif error is not None and not no_route and (status not in REFUSED or error in BY_STATE):
            self._note("not comparable", "it is about an entity that the recording has not told of")
        elif taken and error is not None:
            self._note("too strict")
            for found in (each for each in exchange.findings if each.rule == error):
                rule = f"rule {found.rule}, source: {self._errors[found.rule].source}"
                told = f"the service answered {call.status}; the emulator refuses: {found.message} ({rule})"
                yield Finding(STRICT, found.place, told, f"{found.rule} {found.kind}".strip())
        elif refused and error is None:
            code = _code(call.answer)
            if reason := unknown or _unknown_to_recordings(call, exchange):
                self._note("not comparable", reason)
                return
            self._note("gap")
            same = [kind for kind in self._errors.values() if code and kind.code == code]
            rule = f" (rule {same[0].name}, source: {same[0].source})" if same else ""
            told = f"the service answered {call.status} {code}: {_message(call.answer)}; the emulator takes it{rule}"
            yield Finding(GAP, "", told, code or str(call.status))
        elif error is not None:
            self._note("agreed")
            mine, theirs = _code(exchange.problem), _code(call.answer)
            if (status, mine) != (call.status, theirs):
                rule = f"rule {error}, source: {self._errors[error].source}"
                told = f"the service answered {call.status} {theirs}, the emulator {status} {mine} ({rule})"
                yield Finding(CODE, "", told, f"{error} {theirs}".strip())
            elif (message := _message(call.answer)) != _message(exchange.problem):
                self._information[f"{error} is worded: {message}"] += 1
        else:
            self._note("agreed")

    def _of_answer(self, call: Exchanged, exchange: Exchange) -> Iterator[Finding]:
        """How the service's answer differs from the description. New fields and values are information."""
        described = (exchange.operation or "", str(call.status))
        if described not in self._answers:
            return
        for kind, place, told in dict.fromkeys(differences(call.answer, *self._described(*described))):
            if kind in RULE_OF_KIND:
                yield Finding(RULE_OF_KIND[kind], place, told, kind)
            else:
                self._information[f"{exchange.operation}: {told}"] += 1

    def _compiled(self, operation: str, status: str) -> tuple[Draft7Validator, SchemaValidator]:
        schema = self._answers[operation, status]
        component = self._components["schemas"][schema["$ref"].rpartition("/")[2]]
        page, *_ = component.get("anyOf", [schema])  # of a list its page, not its count
        whole = {**page, "components": self._components}
        return compiled(whole), SchemaValidator(whole)

    def _take_down(self, call: Exchanged, exchange: Exchange) -> None:
        """Notes a fact: shapes only, so that nobody's data or ids are in it."""
        body = read_json(call.body)
        fact = {
            "operation": exchange.operation or call.method,
            "spec": self._spec_name(body),
            "query": sorted(shape(dict(parse_qsl(call.query, keep_blank_values=True)))),
            "request": shape(body),
            "status": call.status,
            "code": _code(call.answer),
            "answer": shape(call.answer) if json_type(call.answer) == "object" else {},
        }
        date = datetime.fromtimestamp(call.at, UTC).date().isoformat()
        self.facts.setdefault(orjson.dumps({name: value for name, value in fact.items() if value}).decode(), date)

    def _spec_name(self, body: Any) -> str:
        reference = body.get("connectionSpec") if isinstance(body, dict) else None
        spec = self._specs.get(str(reference.get("id"))) if isinstance(reference, dict) else None
        return spec.name if spec is not None else ""


def json_type(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "null")


def shape(value: Any, place: str = "") -> dict[str, str]:
    """Place -> type, of everything within; of the items of an array together."""
    found = {place: json_type(value)} if place else {}
    for below, item in _below(value, place):
        for name, kind in shape(item, below).items():
            kinds = sorted({kind, *found.get(name, kind).split("|")})
            found[name] = "|".join(kinds)
    return found


def _below(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            known = name if FIELD_NAME.fullmatch(name) else "*"
            yield f"{place}.{known}" if place else known, item
    elif isinstance(value, list):
        for item in value:
            yield f"{place}[]", item


def differences(value: Any, validator: Draft7Validator, described: SchemaValidator) -> Iterator[tuple[str, str, str]]:
    """How a value differs from a schema: the kind of difference, the place such as `items[].metrics`, and what is told of it."""
    for error in validator.iter_errors(value):
        place = _dotted(error.instance_path)
        match error.kind:
            case ValidationErrorKind.Required(property=name):
                yield "missing", f"{place}.{name}".lstrip("."), f"{place or 'the answer'} has no {name}"
            case ValidationErrorKind.Type(types=types):
                yield "type", place, f"{place or 'the answer'} is {json_type(error.instance)}, not {' or '.join(types)}"
            case ValidationErrorKind.Enum() | ValidationErrorKind.Constant():
                yield "value", place, f"{place} has a value that is described nowhere"
    for keys in described.read(value)[2]:
        if FIELD_NAME.fullmatch(str(keys[-1])):
            yield "new", _dotted(keys), f"{_dotted(keys)} is described nowhere"


def _dotted(keys: Iterable[str | int]) -> str:
    return "".join("[]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")


def _take_out_unknown(exchange: Exchange) -> str:
    """Takes out of a refusal what the recording lacks: values of `auth`, and entities. Answers why; empty where nothing was."""
    found = exchange.findings
    exchange.findings = [each for each in found if not _is_unknown(each)]
    if not exchange.findings:
        exchange.error = None
    return "" if exchange.findings == found else "it rests on entities or secrets that the recording does not have"


def _is_unknown(finding: Finding) -> bool:
    if finding.place.startswith("auth.params"):
        return finding.kind != "required"
    return finding.kind == "reference" or (finding.kind == "enum" and finding.place.startswith("params.datasets"))


def _unknown_to_recordings(call: Exchanged, exchange: Exchange) -> str:
    """Why the service may have refused what the emulator cannot know; empty where it can."""
    if exchange.operation == "create:sourceConnections":
        return "which datasets there are, no recording says"
    if exchange.operation == "create:connections" and b'"auth"' in call.body:
        return "passwords are masked, so nobody can try them"
    return ""


def _code(answer: Any) -> str:
    """The code of an error: `1452-400`, `403010` or `invalid_request`; empty where there is none."""
    if not isinstance(answer, Mapping):
        return ""
    kind = str(answer.get("type", "")).rpartition("/FLOW-")
    return kind[2] if kind[1] else str(answer.get("error_code") or answer.get("error") or "")


def _message(answer: Any) -> str:
    return sentence(answer)[:300] if isinstance(answer, Mapping) else ""


# --- the command ------------------------------------------------------------------------------------------------------


def run_check(wanted: Namespace) -> int:
    """Holds recordings against the emulator; answers the exit status. Raises NoReport where one cannot be read."""
    check_output(wanted)
    logging.getLogger("emulator").addHandler(logging.NullHandler())  # a refusal is told in the report
    check = Check()
    asyncio.run(_read_all(check, wanted.files))
    report = check.report()
    if wanted.facts is not None:
        lines = (f'{{"date":"{date}",{fact[1:]}\n' for fact, date in check.facts.items())
        try:
            wanted.facts.write_text("".join(lines), "utf-8")
        except OSError as reason:
            raise NoReport(f"cannot write {wanted.facts}: {reason.strerror or reason}") from None
    return show_report(report, wanted, "".join(f"{printable(line)}\n" for line in _lines(report["comparison"])))


async def _read_all(check: Check, names: list[str]) -> None:
    for name in names:
        try:
            with nullcontext(sys.stdin.buffer) if name == STANDARD_INPUT else Path(name).open("rb") as file:
                for call in read_traffic(file, "standard input" if name == STANDARD_INPUT else name):
                    await check.add(call)
        except OSError as reason:
            raise NoReport(f"cannot read {name}: {reason.strerror or reason}") from None


def _lines(comparison: Mapping[str, Any]) -> Iterator[str]:
    """The comparison as text."""
    told = ", ".join(f"{number:,} {outcome}" for outcome, number in comparison["requests"].items())
    yield from ("", f"COMPARISON with the emulator: {told or 'no request'}")
    for reason, number in comparison["notComparable"].items():
        yield f"  not comparable: {reason} ({counted(number, 'request')})"
    for each in comparison["information"]:
        yield f"  new: {each['message']} ({counted(each['count'], 'time')})"
