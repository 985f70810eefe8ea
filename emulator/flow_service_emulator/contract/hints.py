"""What a refused request did wrong and how to fix it: findings, and of them one line for the header `x-emulator-hint`.

The line alone is to be enough to fix the mistake. It is made of what the error says, where, and of its fix: the rule's own, or a
nearer one that is found here. Nothing in it is a value from under `auth`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from flow_service_emulator.api.exchange import Exchange, read_json
from flow_service_emulator.api.operations import Operation
from flow_service_emulator.api.routes import BASE
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.entities import Scope
from flow_service_emulator.errors import ServiceError, sentence
from flow_service_emulator.instants import epoch_seconds
from flow_service_emulator.query.filters import top_level
from flow_service_emulator.service.bodies import FIELDS
from flow_service_emulator.validation.validation import Finding, value_at
from flow_service_emulator.validation.violation_text import literal

AUTHORIZATION: Final = "headers.authorization"
IF_MATCH: Final = "headers.if-match"
MAX_LINE: Final = 600
MAX_OF_REQUEST: Final = 50
MAX_PLACE: Final = 100
"""Characters of a place that a client made up."""
ONCE: Final = 'Once is {"interval": 0, "timeUnit": "day", "exportMode": "DAILY_FULL_EXPORT"}. '
_WORD: Final = re.compile(r"\w+")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ADVICE: Final = re.compile(r"\s*\b(?:Please|Verify) [^.]*\.")
"""What the service's own sentences advise; the hint's advice is nearer."""
_ETAG: Final = re.compile(r'"[^"]+"')
_MISFIT: Final = re.compile(r": flow spec .* is one to (.+)$")
_NOT_THERE: Final = re.compile(r': (\w+) has no entity with the id "(.*)"')


class Hints:
    """Explains refusals. Knows the fixtures, the table of operations, which may grow, and where an id is that was not found."""

    def __init__(
        self,
        catalog: Catalog,
        rules: Mapping[str, Mapping[str, Any]],
        table: Sequence[Operation],
        whereabouts: Callable[[str], Iterable[tuple[Scope, str]]],
    ) -> None:
        self._catalog = catalog
        self._errors = catalog.errors.kinds
        self._words = catalog.rules["hints"]
        self._rules = rules
        self._table = table
        self._whereabouts = whereabouts

    def explain(
        self, exchange: Exchange, error: ServiceError, answer: Mapping[str, Any], *, now: float, was_deleted: bool
    ) -> tuple[list[Finding], str]:
        """What a refusal says about the client, each once, and the hint. `answer` is the body as it goes out.

        A look for what was deleted before is no finding: a client may make sure.
        """
        if exchange.injected or (exchange.fault is not None and error.name == "version-mismatch"):
            return [], f"This is the doing of the rule of injected faults {exchange.fault}, not of the request."
        found = list(dict.fromkeys(self._findings(exchange, error, answer, now, was_deleted)))[:MAX_OF_REQUEST]
        line = self._line(found) if found else sentence(answer)
        return [] if was_deleted and exchange.method == "GET" else found, line

    def _findings(
        self, exchange: Exchange, error: ServiceError, answer: Mapping[str, Any], now: float, was_deleted: bool
    ) -> Iterator[Finding]:
        report = answer.get("report", answer)
        if error.name == "version-mismatch":
            yield _refused_etag(exchange.headers.get("if-match", "").strip(), error, answer)
        elif error.name == "gateway-token-not-valid" and error.fields.get("expired") is not None:
            ago = now - float(str(error.fields["expired"]))
            yield Finding("token-expired", AUTHORIZATION, f"the token expired {ago:.0f} s ago")
        elif violations := report.get("violations"):
            sent = read_json(exchange.body)
            for each in violations:
                fix = self._of_violation(exchange, each, sent)
                yield Finding(error.name, each["path"], self._in_words(each, sent), each["rule"], fix)
        elif error.name in self._rules:
            place = error.place or self._errors[error.name].place or str(report.get("field", ""))
            fix = "It was deleted: forget its id." if was_deleted else self._of_error(exchange, error)
            yield Finding(error.name, place[:MAX_PLACE], _message(sentence(answer), report), error.kind, fix)
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

    def _line(self, findings: Sequence[Finding]) -> str:
        """One line: each message with its own fix, and then the fixes of the rules for those that have none."""
        told = [f"{_ADVICE.sub('', each.message).rstrip('.!')}. {each.fix}".strip() for each in findings]
        if len(told) > 1:
            told = [f"({number}) {each}" for number, each in enumerate(told, 1)]
        rest = list(dict.fromkeys(str(self._rules[each.rule]["fix"]) for each in findings if not each.fix))
        shown = len(told)
        while shown > 1 and len(" ".join((*told[:shown], *rest))) > MAX_LINE:
            shown -= 1
        more = [f"And {len(told) - shown} more: see report.violations."] if shown < len(told) else []
        return " ".join((*told[:shown], *more, *rest))

    # --- what fixes an error ------------------------------------------------------------------------------------------

    def _of_error(self, exchange: Exchange, error: ServiceError) -> str:
        """The fix of an error without violations; empty where there is none nearer than the rule's."""
        fields, sent = error.fields, read_json(exchange.body)
        match error.name:
            case "query-param-unknown":
                return self._of_parameter(exchange, str(fields["param"]), error.known)
            case "filter-field-invalid" | "orderby-field-invalid":
                return self._of_field(exchange, str(fields["field"]), error.name)
            case "path-not-found":
                return self._of_path(exchange.method, exchange.path)
            case "auth-spec-not-found" if not error.known:
                return "This destination takes no credentials: leave auth out."
            case "spec-id-invalid":
                return self._of_spec(error.report)
            case "resource-not-found" | "run-flow-not-found" | "adhoc-invalid" if "id" in fields:
                return self._of_id(exchange, str(fields.get("collection", "flows")), str(fields["id"]))
            case "flow-id-empty":
                return self._renamed("flowId", _names_at(sent, ""))
            case "adhoc-invalid" if error.kind == "required":
                parent, _, name = error.place.rpartition(".")
                return self._renamed(name, _names_at(sent, parent))
            case "patch-invalid" if error.place and not error.kind:
                top = error.place.split("/")[1]
                near = _nearest(top, _fields(exchange))
                return f"Did you mean /{near}?" if near not in ("", top) else ""
            case "token-request-invalid" if error.place:
                form = f"{exchange.body.decode('utf-8', 'replace')}&{exchange.query_string}"
                return self._renamed(error.place, list(dict(parse_qsl(form, keep_blank_values=True))))
        if error.known:
            what, wrong = next(iter(fields.items()), ("It", ""))
            near = _nearest(str(wrong), error.known)
            return f"{f'Did you mean {near}? ' if near else ''}{what} is one of: {', '.join(error.known)}."
        return ""

    def _of_parameter(self, exchange: Exchange, sent: str, known: Sequence[str]) -> str:
        told = f"{exchange.method} {exchange.path.removeprefix(BASE)} has: {', '.join(known)}."
        if near := _nearest(sent, known):
            return f"Did you mean {near}? {told}"
        if "property" in known and sent in _fields(exchange):
            return f"Use property={sent}==<value>. {told}"
        other = self._words["parameters"].get(sent, "")
        return f"Use {other}. {told}" if other.partition("=")[0] in known else told

    def _of_field(self, exchange: Exchange, sent: str, error: str) -> str:
        names = _fields(exchange)
        top, near = re.split(r"[.\[]", sent)[0], _nearest(sent.split(".")[0], names)
        if top in names:
            return f"{top} is an object or an array, and has no order: name a field in it."
        if near and not re.fullmatch(r"[\w.]+", sent):
            return (
                f"Use {near}, or -{near} for the other way."
                if error.startswith("orderby")
                else f"Write property={near}==<value>."
            )
        return f"{f'Did you mean {near}? ' if near else ''}Fields are: {', '.join(names)}."

    def _of_path(self, method: str, path: str) -> str:
        """The path that was meant: one below another base path, or one spelt alike."""
        if path.startswith("/__emulator"):
            return "GET /__emulator/docs/ has every control call."
        sent = _UUID.sub("{id}", path.rpartition("/flowservice")[2])
        if meant := self._words["paths"].get(sent):
            return f"Use {meant}."
        rows = [each.path for each in self._table if each.method == method]
        paths = {path.removeprefix(BASE).lower(): path for path in rows}
        alike = [path for path in paths if path.count("/") == sent.count("/")]
        steps = [step for step in sent.lower().split("/") if step]
        tails = ["/" + "/".join(steps[begin:]) for begin in range(len(steps))]
        near = [tail for tail in tails if tail in paths] or get_close_matches(sent.lower(), alike, n=1, cutoff=0.75)
        return f"Did you mean {method} {paths[near[0]]}?" if near else ""

    def _of_spec(self, report: Mapping[str, Any]) -> str:
        """The spec that was meant: by its name or an id spelt alike, or that of the other kind by the same name."""
        value, allowed = report["value"], report["allowed"]
        if isinstance(allowed, list):  # of versions there is one
            return f'Send the text "{allowed[0]}".'
        if isinstance(value, str) and report["field"] in ("connectionSpec", "flowSpec"):
            ids = {spec_id: spec_id for spec_id in allowed.values()} | allowed
            sent = ids.get(_nearest(value, ids), "<id>")
            return f'Send an object: {{"id": "{sent}", "version": "1.0"}}.'
        what = self._spec(str(value))
        told = f"That is the id of {what}. " if what else ""
        ids = {spec_id: name for name, spec_id in allowed.items()}
        near = _nearest(str(value), ids)
        if name := ids[near] if near else _nearest(what.partition(" spec ")[2] or str(value), allowed):
            return f"{told}Did you mean {name}, {allowed[name]}?"
        if value is None:
            told = 'Send {"id": "<id>", "version": "1.0"}. '
        return f"{told}Those that fit are: {', '.join(f'{name} {id}' for name, id in allowed.items())}."

    def _spec(self, spec_id: str) -> str:
        """What an id names, if it is that of a spec."""
        if spec_id in self._catalog.flow_specs:
            return f"the flow spec {self._catalog.flow_specs[spec_id].name}"
        found = self._catalog.connection_specs.get(spec_id)
        return f"the connection spec {found.name}" if found else ""

    def _of_id(self, exchange: Exchange, collection: str, entity_id: str) -> str:
        """Where an entity is that was not found: of another kind, or of another organization or sandbox."""
        if what := self._spec(entity_id):
            return f"That is the id of {what}, none of {collection}."
        places = sorted(self._whereabouts(entity_id), key=lambda place: place[0] != exchange.scope)
        for (org, sandbox), found in places:
            if (org, sandbox) == exchange.scope:
                return f"That is the id of one of {found}, none of {collection}."
            if org == exchange.scope[0]:
                named = exchange.scope[1] if exchange.headers.get("x-sandbox-name") else "none, which means prod"
                return f"It exists in sandbox {sandbox}; this request names {named}."
            return f"It exists in organization {org}; this request names {exchange.scope[0]}."
        return ""

    # --- what fixes a violation ---------------------------------------------------------------------------------------

    def _in_words(self, violation: Mapping[str, Any], sent: Any) -> str:
        """A violation's sentence, with what its pattern means before the pattern, and what a time is in epoch seconds."""
        message, pattern = str(violation["message"]), violation.get("pattern")
        if words := self._words["patterns"].get(pattern):
            return message.replace(f"match the pattern {pattern}", f"have {words} (pattern {pattern})")
        value = _at(sent, violation["path"])
        with suppress(ValueError):
            if isinstance(value, str) and violation["path"].endswith("Time"):
                return f"{message}, which is {epoch_seconds(value):.0f}"
        return message

    def _of_violation(self, exchange: Exchange, violation: Mapping[str, Any], sent: Any) -> str:
        place, message, fix = str(violation["path"]), str(violation["message"]), ""
        parent, _, name = place.rpartition(".")
        if violation["rule"] == "required":
            unknown = [each.place for each in exchange.warnings if each.rule == "unknown-field"]
            beside = [path.rpartition(".")[2] for path in unknown if path.rpartition(".")[0] == parent]
            fix = self._renamed(name, beside)
            if not fix and place == "auth.specName":
                spec = self._catalog.connection_specs.get(str(_at(sent, "connectionSpec.id")))
                for kind, params in (spec.examples.get("auth", {}) if spec else {}).items():
                    fix = fix or f"A valid auth is {orjson.dumps({'specName': kind, 'params': params}).decode()}."
        elif found := _MISFIT.search(message):
            specs = self._catalog.flow_specs.values()
            fix = next((f"The flow spec of {each.name} is {each.id}." for each in specs if each.name == found[1]), "")
        elif found := _NOT_THERE.search(message):
            fix = self._of_id(exchange, found[1], found[2]) or str(self._rules["resource-not-found"]["fix"])
        elif violation["rule"] == "const" and "example" in violation and not place.startswith("scheduleParams"):
            fix = f"Send {literal(violation['example'])}."
        elif "GET /" in message:
            fix = "Take one from there."
        if not fix and not {"example", str(example := violation.get("example"))} & set(_WORD.findall(message)):
            fix = "" if example is None else f"A valid example is {orjson.dumps(example).decode()}."
        if place.startswith("scheduleParams") and "rename" not in fix:
            value = _at(sent, place)
            once = ONCE if place.endswith("exportMode") or value in (0, "0") or "once" in str(value).lower() else ""
            fix = f"{fix} {once}GET /flowSpecs/{{id}} shows the schedule's schema.".strip()
        elif not place.startswith(("params", "auth")):
            fix = fix or "GET /openapi.json has the schema of the body."
        return fix

    def _renamed(self, missing: str, sent: Sequence[str]) -> str:
        """What to do about a name that is missing while another like it, or what others call it, was sent."""
        names = self._words["names"]
        near = next((name for name in sent if names.get(_folded(name)) == missing), "") or _nearest(missing, sent)
        ids = (name for name in sent if "id" in (name, missing) and name[-2:].lower() == missing[-2:].lower())
        near = near or next(ids, "")
        return f"{near} was sent: rename it to {missing}." if near else ""


def header(line: str) -> str:
    """A line as a header takes it: ASCII, at most MAX_LINE characters."""
    line = re.sub(
        r"[^ -~]", lambda found: "..." if found[0] == "…" else found[0].encode("unicode_escape").decode(), line
    )
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 3] + "..."


def _refused_etag(sent: str, error: ServiceError, answer: Mapping[str, Any]) -> Finding:
    """What a 412 says about the client: that its etag was old, which happens, or that it was none."""
    if _ETAG.fullmatch(sent):
        return Finding("etag-not-latest", IF_MATCH, sentence(answer))
    told = f"If-Match was sent as {literal(sent)}; an etag in its double quotes is needed"
    current = str(error.fields["current"])
    fix = f"Send it with its double quotes: If-Match: {current}" if sent == current.strip('"') else ""
    return Finding("if-match-form", IF_MATCH, told, "", fix)


def _message(message: str, report: Mapping[str, Any]) -> str:
    """The sentence that was answered, with the details of the answer that it does not have: what was sent, what is allowed."""
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


def _nearest(sent: str, names: Iterable[str]) -> str:
    """The name that is spelt most like what was sent, in any letter case; empty where none is."""
    folded = {_folded(name): name for name in names}
    word = _folded(sent)
    near = [word] if word in folded else get_close_matches(word, folded, n=1, cutoff=0.7)
    near += [name for name in folded if len(word) > 3 and (word in name or (len(name) > 3 and name in word))]
    return folded[near[0]] if near else ""


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _fields(exchange: Exchange) -> list[str]:
    """The top-level fields of the entities that the request is about, as filters name them."""
    operation = exchange.operation or ""
    collection = "datasets" if operation == "listConfigs" else operation.partition(":")[2]
    return sorted(top_level(FIELDS.get(collection, {})))


def _at(body: Any, place: str) -> Any:
    """What stands at a place of a body; None where there is nothing."""
    return value_at(body, (int(key) if key.isdigit() else key for key in re.findall(r"[^.\[\]]+", place)))


def _names_at(body: Any, place: str) -> list[str]:
    found = _at(body, place)
    return list(found) if isinstance(found, dict) else []
