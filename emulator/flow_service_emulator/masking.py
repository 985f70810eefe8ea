"""Secrets, by their place: masked where entities are stored and where requests are shown.

A secret is: a field that a spec declares `format: password`; a key under `auth` that the spec does not declare, in a patch's
value too; the token call's `client_secret` and `access_token`; the landing zone's SAS; the headers Authorization, x-api-key
and Cookie. By its value it is replaced only in the error text and the log line of the same request. Nothing is guessed from
how a text or a name looks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.entities import AUTHORIZED
from flow_service_emulator.validation.validation import MASK

SECRET_HEADERS: Final = ("authorization", "x-api-key", "cookie")
MIN_SECRET: Final = 8
"""Characters from which on a secret is replaced by its value: shorter ones may be any word."""
HEAD: Final = 32
"""So much of a longer secret is replaced as well where a message cuts it short."""
TOKEN_PATH: Final = "/ims/"
_TOKEN_FIELDS: Final = frozenset({"client_secret", "access_token"})
SECRET_ANSWERS: Final[Mapping[str | None, frozenset[str]]] = {
    "token": _TOKEN_FIELDS,
    "tokenV2": _TOKEN_FIELDS,
    **dict.fromkeys(("landingZoneCredentials", "refreshLandingZone"), frozenset({"SASToken", "SASUri"})),
}
"""Operations whose answers have secrets, and the fields that are."""
_FILTER: Final = re.compile(r"(auth\.[^=!<>~]*)([=!<>~]+)(.*)", re.DOTALL)
"""A list's filter that leads into `auth`."""
_IDS: Final = frozenset({"id", "request-id", "type"})
"""Fields of an error's body that name things."""


class Masker:
    """Masks entities, requests and answers by what the specs say of their fields. Needs nothing but the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._specs = catalog.connection_specs
        self._targets = [spec for spec in self._specs.values() if spec.target is not None and spec.target.has_passwords]

    def entity(self, body: dict[str, Any]) -> dict[str, Any]:
        """What may be stored and shown of an entity; the same object where there is nothing to mask.

        By the spec that it names; by all of them where it names none, as a part of an entity does.
        """
        auth, params = body.get("auth"), body.get("params")
        targets = self._targets if isinstance(params, dict) else []
        if auth is None and not targets:
            return body
        reference = body.get("connectionSpec")
        named = self._specs.get(str(reference.get("id"))) if isinstance(reference, dict) else None
        masked = dict(body)
        if auth is not None:
            masked["auth"] = _auth(auth, [each.auth for each in ([named] if named else self._specs.values())])
        for spec in targets:
            if spec.target is not None and named in (None, spec):
                masked["params"] = spec.target.mask(masked["params"])
        return masked

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """A request's headers, whose names are in lower case."""
        shown = {name: MASK if name in SECRET_HEADERS else value for name, value in headers.items()}
        scheme, space, _ = headers.get("authorization", "").partition(" ")
        return shown | {"authorization": f"{scheme} {MASK}"} if space else shown

    def body(self, path: str, body: bytes) -> Any:
        """A request's body as a value: JSON, or the token call's form. Raises ValueError for what is neither."""
        return self._masked(path, _read(path, body))

    def query(self, path: str, query: str) -> str:
        """A query string; as it is where there is nothing to mask."""
        pairs = parse_qsl(query, keep_blank_values=True)
        shown = [(name, self._parameter(path, name, value)) for name, value in pairs]
        return query if shown == pairs else urlencode(shown, safe='*=,[]:/-+"')

    def answer(self, operation: str | None, body: Any) -> Any:
        """What an operation answered, without the token or the SAS in it. Entities were masked before they were stored."""
        return _without(body, SECRET_ANSWERS.get(operation, ()))

    def secrets(self, path: str, query: str, headers: Mapping[str, str], body: bytes) -> list[str]:
        """The values of a request's secrets that are to be replaced in texts about it, the longest first."""
        found = {headers[name] for name in SECRET_HEADERS if name in headers}
        found |= {value.partition(" ")[2].strip() for value in headers.get("authorization", "").split(", ")}
        for name, value in parse_qsl(query, keep_blank_values=True):
            if self._parameter(path, name, value) != value:
                condition = _FILTER.match(value)
                found.add(condition[3].strip(' "') if condition else value)
        with suppress(ValueError):  # nobody quotes what cannot be read
            sent = _read(path, body)
            found |= set(_taken(sent, self._masked(path, sent)))
        return sorted((secret for secret in found if len(secret) >= MIN_SECRET), key=len, reverse=True)

    def _masked(self, path: str, sent: Any) -> Any:
        if path.startswith(TOKEN_PATH):
            return _without(sent, _TOKEN_FIELDS)
        return [self._object(item) for item in sent] if isinstance(sent, list) else self._object(sent)

    def _object(self, sent: Any) -> Any:
        """An entity, or an operation of a JSON Patch, whose path says what its value is."""
        if not isinstance(sent, dict):
            return sent
        masked, path = self.entity(sent), sent.get("path")
        if not isinstance(path, str) or "value" not in sent:
            return masked
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/") if step]
        return masked | {"value": self._at(steps, sent["value"])}

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


def _auth(auth: Any, kinds: Iterable[Mapping[str, Any]]) -> Any:
    """`auth` with what its kind of credentials declares and does not call a password; of an unknown kind, any kind's."""
    if not isinstance(auth, dict):
        return MASK
    validators = [kind for each in kinds for kind in each.items()]
    known = [validator for name, validator in validators if name == auth.get("specName")]
    masked = {name: item if item is None or name == "specName" else MASK for name, item in auth.items()}
    if isinstance(params := auth.get("params"), dict):
        declared = {AUTHORIZED}
        for validator in known or [validator for _, validator in validators]:
            declared |= set(validator.schema.get("properties", ()))
            params = validator.mask(params)
        masked["params"] = {name: item if name in declared else MASK for name, item in params.items()}
    return masked


def _read(path: str, body: bytes) -> Any:
    """A body's JSON, or the token call's form. Raises ValueError."""
    if path.startswith(TOKEN_PATH) and body.lstrip()[:1] != b"{":
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=True))
    return orjson.loads(body)


def _without(value: Any, names: Collection[str]) -> Any:
    if not names or not isinstance(value, dict):
        return value
    return {name: MASK if name in names else item for name, item in value.items()}


def _taken(sent: Any, masked: Any) -> Iterator[str]:
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
