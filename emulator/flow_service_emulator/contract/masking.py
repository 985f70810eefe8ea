"""Secrets taken out of what is written down about a request: headers, queries, bodies, and answers that repeat them.

Whatever is noted of a request goes through here first, at once, so that nothing that is kept ever held a secret. What
cannot be told to be harmless counts as a secret.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from flow_service_emulator.api.exchange import Exchange
from flow_service_emulator.contract.header_mask import SHOWN_HEADERS, HeaderMask, is_etag, tokens
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.masking.hiding import head, hide, is_sought, is_telling, map_texts
from flow_service_emulator.masking.names import SecretNames
from flow_service_emulator.masking.texts import hints, scrubbed, scrubbed_quote
from flow_service_emulator.settings import MAX_BODY_BYTES
from flow_service_emulator.validation.validation import MASK

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
FORM_TYPE: Final = "application/x-www-form-urlencoded"
MAX_READ: Final = 65_536
"""A longer request body is not shown: reading it twice would hold up others. Only what a refusal may quote of it is looked into."""
_QUOTED: Final = 1_000
"""Characters of a text's beginning, and texts, that are looked into then. What a refusal quotes is searched in any case."""
MAX_SOUGHT: Final = 1_000
"""Secrets of a request that are looked for in its answer."""
MAX_DEPTH: Final = 64
MAX_FIELDS: Final = 100
MAX_SECRETS: Final = 200
"""Secrets that a body is searched for at most; of one with more nothing is shown."""
_STEPS: Final = r"[^A-Za-z0-9_-]+"
_OPERATOR: Final = r"[=!<>~]+"
_FORM_NAME: Final = re.compile(r"[A-Za-z_]{1,40}")
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

    def __init__(self, names: SecretNames) -> None:
        self._names = names
        self.headers = HeaderMask()

    def secrets(self, exchange: Exchange, of_body: list[str] | None = None) -> list[str]:
        """The secrets of a request that can be told from other words, to look for in what is answered and noted of it.

        `of_body` are those of its body, where that has been read already.
        """
        if exchange.secrets is None:
            found = tokens(exchange.headers)
            for name, value in exchange.headers.items():
                if name == "if-match" and not is_etag(value):
                    found.append(value)
                elif name in SHOWN_HEADERS:
                    if not self.headers.is_known_harmless(value):
                        scrubbed(value, found)
                elif self._names.is_secret(name):
                    found.append(value)
            scrubbed(exchange.path, found)
            if exchange.query_string:
                self._query_secrets(exchange, found)
            if of_body is not None:
                found += of_body
            elif exchange.body and len(exchange.body) <= MAX_BODY_BYTES:
                found += self._body_secrets(exchange)
            published = self._names.published
            telling = [secret for secret in dict.fromkeys(found) if is_telling(secret) and secret not in published]
            exchange.secrets = telling[:MAX_SOUGHT]
        return exchange.secrets

    def _query_secrets(self, exchange: Exchange, found: list[str]) -> None:
        with suppress(ServiceError):
            for name, value in exchange.query:
                scrubbed(name, found)
                if name in SHOWN_PARAMETERS or self._names.is_secret(name):
                    self._parameter(name, value, found)
                else:
                    scrubbed(value, found)

    def _body_secrets(self, exchange: Exchange) -> list[str]:
        try:
            if len(exchange.body) > MAX_READ:
                return self._outer_secrets(exchange.body)
            return self.request_body(exchange).secrets
        except (ValueError, RecursionError):  # nobody quotes what cannot be read
            return []

    def _outer_secrets(self, body: bytes) -> list[str]:
        """The secrets of a long body: those with a name, and of the texts, the outermost first, as many as could be quoted."""
        found: list[str] = []
        waiting = [self._outermost(orjson.loads(body), found)]
        texts = 0
        for item in waiting:
            if isinstance(item, str):
                scrubbed(item[:_QUOTED], found)
                texts += 1
            elif isinstance(item, dict):
                waiting += [*item, *item.values()]
            elif isinstance(item, list):
                waiting += item
            if texts > _QUOTED:
                break
        return found

    def request_body(self, exchange: Exchange) -> Masked:
        """A request's body, be it JSON or a form. Raises ValueError or RecursionError for what cannot be read."""
        if exchange.headers.get("content-type", "").startswith(FORM_TYPE):
            return self.form(exchange.body)
        return self.body(exchange.body)

    def query(self, exchange: Exchange, secrets: list[str]) -> str:
        """A query string; as it is when there is nothing to mask, else written anew. What is masked goes into `secrets`."""
        try:
            pairs = exchange.query
        except ServiceError:
            return MASK
        shown = [(scrubbed(name, secrets), self._parameter(name, value, secrets)) for name, value in pairs]
        return exchange.query_string if shown == pairs else urlencode(shown, safe='*=,[]:/-+"')

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
            found.value = _scrubbed_all(plain, found.secrets)
        if len(found.secrets) > MAX_SECRETS:
            found.value = MASK
        elif any(head(secret) in found.encoded for secret in found.secrets if is_sought(secret)):
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
        shown = {
            name if _FORM_NAME.fullmatch(name) else _taken(name, found.secrets): scrubbed(value, found.secrets)
            if name in SHOWN_FORM_FIELDS
            else _taken(value, found.secrets)
            for name, value in pairs
        }
        found.value = hide(shown, found.secrets)
        found.encoded = orjson.dumps(found.value)
        return found

    def answer(self, body: bytes) -> bytes:
        """The JSON of an answer: fields whose name says secret are masked, as are texts that look like one."""
        if not hints(body.lower()):
            return body
        masked = self._walk(orjson.loads(body), [], 0)
        return orjson.dumps(_scrubbed_all(masked, []))

    def stored(self, body: bytes) -> bytes:
        """The JSON of an answer that shows entities, whose `auth` is masked already: what a client wrote elsewhere may be a secret."""
        told = re.sub(_NEXT_PAGE, b"", body)
        return self.answer(body) if hints(told.lower()) and self._suspicious(told) else body

    def without_quoted_secrets(self, told: Any) -> Any:
        """What is told of a request without what looks like a secret, wherever in it that stood; the specs' examples stay."""
        return map_texts(told, self._quoting)

    def _quoting(self, text: str) -> str:
        found: list[str] = []
        shown = scrubbed_quote(text, found)
        if shown == text:
            return text
        return text if all(self._is_published(secret) for secret in found) else shown

    def _is_published(self, text: str) -> bool:
        return is_telling(text) and any(text in example for example in self._names.published)

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
        names = self._names
        words = [orjson.dumps(name.lower()) for name in names.kinds | names.plain | names.passwords]
        return tuple(word for word in words if hints(word))

    def _parameter(self, name: str, value: str, secrets: list[str]) -> str:
        if name not in SHOWN_PARAMETERS:
            secrets.append(value)
            return MASK if value else ""
        operator = re.search(_OPERATOR, value) if name == "property" else None
        if operator is not None and self._leads_to_secret(value[: operator.start()]):
            if value[: operator.start()] == "auth.specName" and self._names.is_kind(_bare(value[operator.end() :])):
                return value
            secrets.append(_bare(value[operator.end() :]))
            return value[: operator.end()] + MASK
        return scrubbed(value, secrets)

    def _leads_to_secret(self, path: str) -> bool:
        """Whether a filter's path leads into `auth`, or to a field whose name says secret."""
        steps = [step for step in re.split(_STEPS, path) if step]
        return any(step.lower() == "auth" or self._names.is_secret(step) for step in steps)

    def _outermost(self, value: Any, secrets: list[str]) -> Any:
        if isinstance(value, list):
            return [
                self._operation(item, secrets) if isinstance(item, dict) else _taken(item, secrets) for item in value
            ]
        return self._operation(value, secrets) if isinstance(value, dict) else _taken(value, secrets)

    def _operation(self, value: dict[str, Any], secrets: list[str]) -> Any:
        """The outermost object, or one in the outermost array: an operation of a JSON Patch, if it has a `value`."""
        words = {name: name.lower() for name in value}
        if "value" not in words.values() and "op" not in words.values():
            return self._walk(value, secrets, 1)
        path = next((item for name, item in value.items() if words[name] == "path"), None)
        guarded = isinstance(path, str) and self._leads_to_secret(path)
        shown: dict[str, Any] = {}
        for name, item in value.items():
            if words[name] == "value" or (guarded and words[name] not in ("op", "path", "from")):
                shown[name] = self._patched(path, item, secrets)
            else:
                shown |= self._walk({name: item}, secrets, 1)
        return shown

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
        if any(self._names.is_secret(step) for step in steps):
            return _taken(value, secrets)
        return self._walk(value, secrets, 1)

    def _walk(self, value: Any, secrets: list[str], depth: int) -> Any:
        if isinstance(value, dict):
            if depth >= MAX_DEPTH:
                return _taken(value, secrets)
            masked = {}
            for name, item in value.items():
                if name in self._names.harmless or not self._names.is_guarded(name):
                    masked[name] = self._walk(item, secrets, depth + 1) if isinstance(item, (dict, list)) else item
                elif name.lower() == "auth":
                    masked[name] = self._auth(item, secrets)
                else:
                    masked[name] = _taken(item, secrets)
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
                shown = name == "specName" and isinstance(item, str) and self._names.may_be_kind(item)
                masked[name] = item if shown else _taken(item, secrets)
        return masked

    def _auth_param(self, name: str, value: Any, secrets: list[str]) -> Any:
        return value if self._names.is_shown(name, value) else _taken(value, secrets)


def _bare(operand: str) -> str:
    """What a filter's value is without the quotes that may be around it."""
    return operand.strip().strip('"')


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


def _scrubbed_all(value: Any, secrets: list[str]) -> Any:
    """A JSON value whose texts and names have nothing in them that looks like a secret."""
    return map_texts(value, lambda text: scrubbed(text, secrets), lambda name: scrubbed(name, secrets))


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
