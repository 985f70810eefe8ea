"""Secrets, by their place: masked where entities are stored and where requests are shown.

A secret is: a field that a spec declares `format: password`; a key under `auth` that the spec does not declare, in a patch's
value too; the token call's `client_secret` and `access_token`; the landing zone's SAS; the headers Authorization, x-api-key
and Cookie. By its value it is replaced only in the error text and the log line of the same request. Nothing is guessed from
how a text or a name looks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from flow_service_emulator.catalog import Catalog, ConnectionSpec
from flow_service_emulator.validation.validation import MASK, SchemaValidator

SECRET_HEADERS: Final = ("authorization", "x-api-key", "cookie")
MIN_SECRET: Final = 8
"""Characters from which on a secret is replaced by its value: shorter ones may be any word."""
HEAD: Final = 32
"""Characters of a longer secret that are replaced as well where a message cuts it short."""
TOKEN_PATH: Final = "/ims/"
_TOKEN_FIELDS: Final = frozenset({"client_secret", "access_token"})
_ANSWERS: Final[Mapping[str, frozenset[str]]] = {
    "token": _TOKEN_FIELDS,
    "tokenV2": _TOKEN_FIELDS,
    "landingZoneCredentials": frozenset({"SASToken", "SASUri"}),
}
"""Operations whose answers have secrets, and the fields that are."""
_FILTER: Final = re.compile(r"(auth\.[^=!<>~]*)([=!<>~]+)(.*)", re.DOTALL)
"""A list's filter that leads into `auth`."""


class Masker:
    """Masks entities, requests and answers by what the specs say of their fields. Needs nothing but the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._specs = catalog.connection_specs
        self._hiding_targets = {
            spec.id: spec.target
            for spec in self._specs.values()
            if spec.target is not None and spec.target.has_passwords
        }

    def entity(self, body: dict[str, Any]) -> dict[str, Any]:
        """What may be stored and shown of an entity; the same object where there is nothing to mask."""
        params = body.get("params")
        if body.get("auth") is None and not (self._hiding_targets and isinstance(params, dict)):
            return body
        spec = self._spec(body)
        masked = dict(body)
        if body.get("auth") is not None:
            masked["auth"] = self._auth(body["auth"], self._specs.values() if spec is None else [spec])
        if isinstance(params, dict):
            for spec_id, validator in self._hiding_targets.items():
                if spec is None or spec.id == spec_id:
                    masked["params"] = validator.mask(masked["params"])
        return masked

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """A request's headers, whose names are in lower case."""
        shown = dict(headers)
        for name in SECRET_HEADERS:
            if name in shown:
                shown[name] = MASK
        scheme, space, _ = headers.get("authorization", "").partition(" ")
        if space and scheme.lower() in ("bearer", "basic"):
            shown["authorization"] = f"{scheme} {MASK}"
        return shown

    def body(self, path: str, body: bytes) -> Any:
        """A request's body as a value: JSON, or the token call's form. Raises ValueError for what is neither."""
        if not path.startswith(TOKEN_PATH):
            return self._json(orjson.loads(body))
        return _without(_token_fields(body), _TOKEN_FIELDS)

    def query(self, path: str, query: str) -> str:
        """A query string; as it is where there is nothing to mask."""
        pairs = parse_qsl(query, keep_blank_values=True)
        shown = [(name, self._parameter(path, name, value)) for name, value in pairs]
        return query if shown == pairs else urlencode(shown, safe='*=,[]:/-+"')

    def answer(self, operation: str | None, body: Any) -> Any:
        """What an operation answered, without the token or the SAS in it. Entities were masked before they were stored."""
        return _without(body, _ANSWERS.get(operation or "", ()))

    def has_secret_answer(self, operation: str | None) -> bool:
        return operation in _ANSWERS

    def secrets(self, path: str, query: str, headers: Mapping[str, str], body: bytes) -> list[str]:
        """The values of a request's secrets that are to be replaced in texts about it, the longest first."""
        found = {headers[name] for name in SECRET_HEADERS if name in headers}
        found |= {value.partition(" ")[2].strip() for value in headers.get("authorization", "").split(", ")}
        pairs = parse_qsl(query, keep_blank_values=True)
        found |= {_operand(value) for name, value in pairs if self._parameter(path, name, value) != value}
        try:
            sent = _token_fields(body) if path.startswith(TOKEN_PATH) else orjson.loads(body)
            found |= set(_taken(sent, self.body(path, body)))
        except ValueError:  # nobody quotes what cannot be read
            pass
        return sorted((secret for secret in found if len(secret) >= MIN_SECRET), key=len, reverse=True)

    def _spec(self, body: Mapping[str, Any]) -> ConnectionSpec | None:
        reference = body.get("connectionSpec")
        spec_id = reference.get("id") if isinstance(reference, dict) else None
        return self._specs.get(spec_id) if isinstance(spec_id, str) else None

    def _auth(self, auth: Any, specs: Collection[ConnectionSpec]) -> Any:
        """`auth` with what the kind of credentials declares and does not call a password; of an unknown kind, any kind's."""
        if not isinstance(auth, dict):
            return MASK
        kind = auth.get("specName")
        known = [spec.auth[kind] for spec in specs if isinstance(kind, str) and kind in spec.auth]
        validators = known or [validator for spec in specs for validator in spec.auth.values()]
        return {
            name: _params(item, validators)
            if name == "params" and isinstance(item, dict)
            else item
            if item is None or name == "specName"
            else MASK
            for name, item in auth.items()
        }

    def _json(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._operation(item) if isinstance(item, dict) else item for item in value]
        if not isinstance(value, dict):
            return value
        return self._operation(value) if "path" in value and "value" in value else self.entity(value)

    def _operation(self, operation: dict[str, Any]) -> dict[str, Any]:
        """An operation of a JSON Patch, whose path says what its value is."""
        path = operation.get("path")
        if not isinstance(path, str) or "value" not in operation:
            return operation
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/") if step]
        return {**operation, "value": self._at(steps, operation["value"])}

    def _at(self, steps: list[str], value: Any) -> Any:
        """A value that stands at a place of an entity."""
        for step in reversed(steps):
            value = {step: value}
        masked = self.entity(value) if isinstance(value, dict) else value
        for step in steps:
            masked = masked[step] if isinstance(masked, dict) else masked
        return masked

    def _parameter(self, path: str, name: str, value: str) -> str:
        if path.startswith(TOKEN_PATH):
            return MASK if name in _TOKEN_FIELDS else value
        found = _FILTER.match(value) if name == "property" else None
        if found is None or self._at(found[1].split("."), found[3]) == found[3]:
            return value
        return f"{found[1]}{found[2]}{MASK}"


def replaced(told: Any, secrets: Iterable[str]) -> Any:
    """A text, or a JSON value with texts, without the secrets in it, whole or cut short; names and ids stay."""
    forms = [form for secret in secrets for form in (secret, orjson.dumps(secret)[1:-1].decode())]
    patterns = [re.escape(form) for form in forms]
    patterns += [re.escape(form[:HEAD]) + r"[^\s\"',;]*" for form in forms if len(form) > HEAD]
    return _replaced(told, re.compile("|".join(patterns))) if patterns else told


def _replaced(told: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(told, str):
        return pattern.sub(MASK, told)
    if isinstance(told, dict):
        return {name: item if name in _IDS else _replaced(item, pattern) for name, item in told.items()}
    return [_replaced(item, pattern) for item in told] if isinstance(told, list) else told


_IDS: Final = frozenset({"id", "request-id", "type"})
"""Fields of an error's body that name things."""


def _params(params: dict[str, Any], validators: Collection[SchemaValidator]) -> dict[str, Any]:
    declared = {name for validator in validators for name in validator.schema.get("properties", ())}
    for validator in validators:
        params = validator.mask(params)
    return {name: item if name in declared else MASK for name, item in params.items()}


def _token_fields(body: bytes) -> Any:
    """The token call's form, or the JSON that was sent in its place. Raises ValueError."""
    if body.lstrip()[:1] == b"{":
        return orjson.loads(body)
    return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=True))


def _without(value: Any, names: Collection[str]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: MASK if name in names else item for name, item in value.items()}


def _operand(condition: str) -> str:
    """What a filter compares with; all of a value that is no filter."""
    found = _FILTER.match(condition)
    return found[3].strip().strip('"') if found else condition


def _taken(sent: Any, masked: Any) -> Iterable[str]:
    """The texts and numbers of a value that are masked in its copy."""
    waiting = [(sent, masked)]
    for value, shown in waiting:
        if value is shown or value == MASK:
            continue
        if isinstance(value, dict):
            waiting += [(item, shown[name] if isinstance(shown, dict) else MASK) for name, item in value.items()]
        elif isinstance(value, list):
            waiting += [(item, shown[index] if isinstance(shown, list) else MASK) for index, item in enumerate(value)]
        elif shown == MASK and value is not None and not isinstance(value, bool):
            yield str(value)
