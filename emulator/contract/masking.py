"""Secrets taken out of what is written down about a request: headers, queries, bodies, and answers that repeat them.

Whatever is noted of a request goes through here first, at once, so that nothing that is kept ever held a secret. What
cannot be told to be harmless counts as a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from emulator.catalog import Catalog
from emulator.contract.secret_texts import MIN_SECRET, head, hide, hints, map_texts, scrubbed
from emulator.validation.validation import MASK

SHOWN_HEADERS: Final = frozenset(
    (
        *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "connection"),
        *("content-encoding", "content-length", "content-type", "expect", "host", "if-match", "if-modified-since"),
        *("if-none-match", "if-unmodified-since", "keep-alive", "origin", "pragma", "prefer", "retry-after"),
        *("traceparent", "transfer-encoding", "user-agent", "x-gw-ims-org-id", "x-http-method-override"),
        *("x-request-id", "x-sandbox-name"),
    )
)
"""Headers whose values are shown; all others are masked."""
SHOWN_PARAMETERS: Final = frozenset(
    (
        *(
            "continuationToken",
            "count",
            "limit",
            "op",
            "orderby",
            "outputField",
            "outputType",
            "properties",
            "property",
        ),
        *("start", "subOp", "type"),
    )
)
"""Query parameters whose values are shown; of all others only the name is."""
SHOWN_FORM_FIELDS: Final = frozenset({"grant_type", "scope"})
MAX_DEPTH: Final = 64
MAX_FIELDS: Final = 100
MAX_SECRETS: Final = 200
"""Secrets that a body is searched for at most; of one with more nothing is shown."""
_MAX_NAMES: Final = 2_000

_HARMLESS_NAMES: Final = frozenset({"continuationtoken", "tokentype"})
_SECRET_NAME: Final = (
    "secret|passw|passphrase|pwd|token|credential|signature|connectionstring|privatekey|sshkey|accountkey|accesskey"
    "|apikey|sharedkey|principalkey|authorization|cookie|^sas|^clientid$"
)
"""What a field's name, in lower case and without punctuation, has in it when its value is a secret wherever it stands."""
_NO_WORD: Final = r"[^a-z0-9]"
_STEPS: Final = r"[^A-Za-z0-9_-]+"
_OPERATOR: Final = r"[=!<>~]+"
_NEXT_PAGE: Final = re.compile(rb"continuationToken=[\w-]*")
"""Nearly every list has such a token, which is no secret, although its name hints at one, and its letters may by chance."""


@dataclass
class Masked:
    """A value without its secrets; `encoded` is the same as JSON.

    `secrets` are those taken out, `betrayed` the places of names and descriptions that held one.
    """

    value: Any = None
    encoded: bytes = b""
    secrets: list[str] = field(default_factory=list)
    betrayed: list[str] = field(default_factory=list)
    misplaced: bool = False
    """Whether a secret, or what looks like one, was anywhere but in `auth`: an entity made of the body shows it."""


class Masker:
    """Masks by what the specs say of their fields (`format: password`), by names, and by what secrets look like."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._verdicts: dict[str, bool] = {}

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers (names in lower case) with the values of all but the harmless ones masked."""
        shown = {name: value if name in SHOWN_HEADERS else MASK for name, value in headers.items()}
        if "authorization" in shown:
            scheme, space, _ = headers["authorization"].partition(" ")
            if space and scheme.lower() in ("bearer", "basic"):
                shown["authorization"] = f"{scheme} {MASK}"
        return shown

    def header_secrets(self, headers: Mapping[str, str]) -> list[str]:
        """What `headers` masks, for looking for it elsewhere."""
        found = []
        for name, value in headers.items():
            if name == "authorization":
                found.append(value.partition(" ")[2].strip() or value)
            elif name not in SHOWN_HEADERS:
                found.append(value)
        return found

    def query(self, query: str, secrets: list[str]) -> str:
        """A query string; as it is when there is nothing to mask, else written anew. What is masked goes into `secrets`."""
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            return MASK
        shown = [(name, self._parameter(name, value, secrets)) for name, value in pairs]
        return query if shown == pairs else urlencode(shown, safe='*=,[]:/-+"')

    def body(self, body: bytes) -> Masked:
        """A JSON body. Raises ValueError for what is no JSON.

        First what stands where secrets stand is taken out. The texts that are left are only searched when something in
        them hints at a secret, which the specs' own names do not.
        """
        value = orjson.loads(body)
        found = Masked()
        found.value = plain = self._outermost(value, found.secrets)
        found.encoded = orjson.dumps(plain)
        if self._suspicious(found.encoded):
            found.value = map_texts(plain, lambda text: scrubbed(text, found.secrets))
        if len(found.secrets) > MAX_SECRETS:
            found.value = MASK
        elif any(head(secret) in found.encoded for secret in found.secrets if len(secret) >= MIN_SECRET):
            found.value = hide(found.value, found.secrets)
        found.misplaced = found.value is not plain or (bool(found.secrets) and self._has_secrets_beside_auth(value))
        if found.value is not plain:
            found.encoded = orjson.dumps(found.value)
            found.betrayed = [] if found.value == MASK else _betrayed(value, found.value)
        return found

    def _has_secrets_beside_auth(self, value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        secrets: list[str] = []
        self._walk({name: item for name, item in value.items() if name.lower() != "auth"}, secrets, 1)
        return bool(secrets)

    def form(self, body: bytes) -> Masked:
        """A form-encoded body. Raises ValueError for what is none."""
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=True, max_num_fields=MAX_FIELDS)
        found = Masked()
        shown = {name: value if name in SHOWN_FORM_FIELDS else _taken(value, found.secrets) for name, value in pairs}
        found.value = hide(shown, found.secrets)
        found.encoded = orjson.dumps(found.value)
        return found

    def answer(self, body: bytes) -> bytes:
        """The JSON of an answer: fields whose name says secret are masked, as are texts that look like one."""
        if not hints(body.lower()):
            return body
        masked = self._walk(orjson.loads(body), [], 0)
        return orjson.dumps(map_texts(masked, lambda text: scrubbed(text, [])))

    def stored(self, body: bytes) -> bytes:
        """The JSON of an answer that shows entities, whose `auth` is masked already: what a client wrote elsewhere may be a secret."""
        told = re.sub(_NEXT_PAGE, b"", body)
        return self.answer(body) if hints(told.lower()) and self._suspicious(told) else body

    def text(self, text: str, secrets: list[str]) -> str:
        """A text without what looks like a secret, which goes into `secrets`."""
        return scrubbed(text, secrets)

    def _suspicious(self, body: bytes) -> bool:
        """Whether the texts of a body have to be searched: not when all that hints at a secret are the specs' names."""
        lower = body.lower()
        if not hints(lower):
            return False
        for word in self._words:
            lower = lower.replace(word, b"")
        return hints(lower)

    @cached_property
    def _words(self) -> tuple[bytes, ...]:
        """The names of credentials and of their kinds, as they stand in JSON, in lower case, where they hint at a secret."""
        kinds = {name for spec in self._catalog.connection_specs.values() for name in spec.auth}
        words = [orjson.dumps(name.lower()) for name in kinds | self._plain | self._passwords]
        return tuple(word for word in words if hints(word))

    @cached_property
    def _plain(self) -> frozenset[str]:
        """The fields of `auth.params` that some spec declares and none declares a password."""
        declared: set[str] = set()
        for spec in self._catalog.connection_specs.values():
            for validator in spec.auth.values():
                declared |= set(validator.schema.get("properties", ()))
        return frozenset(declared - self._passwords)

    @cached_property
    def _passwords(self) -> frozenset[str]:
        """The names of all fields that a spec declares passwords, and of the outermost fields that those stand in."""
        specs = self._catalog.connection_specs.values()
        validators = [validator for spec in specs for validator in spec.auth.values()]
        validators += [spec.target for spec in specs if spec.target is not None]
        steps = [re.findall(r"[^.\[\]]+", path) for validator in validators for path in validator.password_paths]
        return frozenset(name for names in steps if names for name in (names[0], names[-1]))

    def _is_secret(self, name: str) -> bool:
        """Whether a field of this name, wherever it stands, is kept from sight."""
        verdict = self._verdicts.get(name)
        if verdict is None:
            word = re.sub(_NO_WORD, "", name.lower())
            telling = word not in _HARMLESS_NAMES and re.search(_SECRET_NAME, word) is not None
            verdict = name in self._passwords or (telling and name not in self._plain)
            if len(self._verdicts) < _MAX_NAMES:
                self._verdicts[name] = verdict
        return verdict

    def _parameter(self, name: str, value: str, secrets: list[str]) -> str:
        if name not in SHOWN_PARAMETERS:
            secrets.append(value)
            return MASK if value else ""
        operator = re.search(_OPERATOR, value) if name == "property" else None
        if operator is not None and self._leads_to_secret(value[: operator.start()]):
            secrets.append(value[operator.end() :].strip().strip('"'))
            return value[: operator.end()] + MASK
        return scrubbed(value, secrets)

    def _leads_to_secret(self, path: str) -> bool:
        """Whether a filter's path leads into `auth`, or to a field whose name says secret."""
        steps = [step for step in re.split(_STEPS, path) if step]
        return any(step.lower() == "auth" or self._is_secret(step) for step in steps)

    def _outermost(self, value: Any, secrets: list[str]) -> Any:
        if isinstance(value, list):
            return [
                self._operation(item, secrets) if isinstance(item, dict) else _taken(item, secrets) for item in value
            ]
        return self._operation(value, secrets) if isinstance(value, dict) else _taken(value, secrets)

    def _operation(self, value: dict[str, Any], secrets: list[str]) -> Any:
        """The outermost object, or one in the outermost array: an operation of a JSON Patch, if it has a `value`."""
        if "value" not in value:
            return self._walk(value, secrets, 1)
        others = {name: item for name, item in value.items() if name != "value"}
        return self._walk(others, secrets, 1) | {"value": self._patched(value.get("path"), value["value"], secrets)}

    def _patched(self, path: Any, value: Any, secrets: list[str]) -> Any:
        """The value of a JSON Patch operation, whose path says what it is."""
        if not isinstance(path, str):
            return _taken(value, secrets)
        steps = [step for step in re.split(_STEPS, path) if step]
        below = next((index + 1 for index, step in enumerate(steps) if step.lower() == "auth"), None)
        if below is not None:
            for step in reversed(steps[below:]):
                value = {step: value}
            masked = self._auth(value, secrets)
            for step in steps[below:]:
                masked = masked[step] if isinstance(masked, dict) else masked
            return masked
        if any(self._is_secret(step) for step in steps):
            return _taken(value, secrets)
        return self._walk(value, secrets, 1)

    def _walk(self, value: Any, secrets: list[str], depth: int) -> Any:
        if isinstance(value, dict):
            if depth >= MAX_DEPTH:
                return _taken(value, secrets)
            masked = {}
            for name, item in value.items():
                if name == "auth" or name.lower() == "auth":
                    masked[name] = self._auth(item, secrets)
                elif self._is_secret(name):
                    masked[name] = _taken(item, secrets)
                elif isinstance(item, (dict, list)):
                    masked[name] = self._walk(item, secrets, depth + 1)
                else:
                    masked[name] = item
            return masked
        if isinstance(value, list):
            return (
                _taken(value, secrets)
                if depth >= MAX_DEPTH
                else [self._walk(item, secrets, depth + 1) for item in value]
            )
        return value

    def _auth(self, value: Any, secrets: list[str]) -> Any:
        """`auth`: the name of the kind, and of the parameters those that are known to be no secret."""
        if not isinstance(value, dict):
            return _taken(value, secrets)
        masked = {}
        for name, item in value.items():
            if name == "params" and isinstance(item, dict):
                masked[name] = {key: self._auth_param(key, given, secrets) for key, given in item.items()}
            else:
                shown = name == "specName" and isinstance(item, str)
                masked[name] = item if shown else _taken(item, secrets)
        return masked

    def _auth_param(self, name: str, value: Any, secrets: list[str]) -> Any:
        shown = name in self._plain and not isinstance(value, (dict, list))
        return value if shown else _taken(value, secrets)


def _taken(value: Any, secrets: list[str]) -> Any:
    """What stands for a secret, whose texts and numbers go into `secrets`; null stays null."""
    if value is None:
        return None
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str):
            secrets.append(item)
        elif item is not None and not isinstance(item, bool):
            secrets.append(str(item))
    return MASK


def _betrayed(sent: Any, masked: Any) -> list[str]:
    """The places of names and descriptions that held a secret: those that look different now."""
    if isinstance(sent, dict):
        return [
            name for name in ("name", "description") if isinstance(sent.get(name), str) and sent[name] != masked[name]
        ]
    places = []
    if isinstance(sent, list):
        for index, (before, after) in enumerate(zip(sent, masked, strict=True)):
            path = before.get("path") if isinstance(before, dict) else None
            if path in ("/name", "/description") and before.get("value") != after.get("value"):
                places.append(f"[{index}].value")
    return places
