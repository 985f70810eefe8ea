"""Secrets taken out of what is written down about a request: headers, queries, bodies, and answers that repeat them.

Whatever is noted of a request goes through here first, at once, so that nothing that is kept ever held a secret. What
cannot be told to be harmless counts as a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from emulator.catalog import Catalog
from emulator.validation import MASK

SHOWN_HEADERS: Final = frozenset(
    (
        *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "connection", "content-encoding"),
        *("content-length", "content-type", "expect", "host", "if-match", "if-modified-since", "if-none-match"),
        *("if-unmodified-since", "keep-alive", "origin", "pragma", "prefer", "retry-after", "traceparent", "transfer-encoding"),
        *("user-agent", "x-gw-ims-org-id", "x-http-method-override", "x-request-id", "x-sandbox-name"),
    )
)
"""Headers whose values are shown; all others are masked."""
SHOWN_PARAMETERS: Final = frozenset(
    (
        *("continuationToken", "count", "limit", "op", "orderby", "outputField", "outputType", "properties", "property"),
        *("start", "subOp", "type"),
    )
)
"""Query parameters whose values are shown; of all others only the name is."""
SHOWN_FORM_FIELDS: Final = frozenset({"grant_type", "scope"})
MAX_DEPTH: Final = 64
MIN_SECRET: Final = 5
"""Characters from which on a masked value is also looked for where it may be repeated: shorter ones are everywhere."""
_HEAD: Final = 16
"""So much of a long secret gives it away where it is repeated cut short."""
_MAX_NAMES: Final = 2_000

_HARMLESS_NAMES: Final = frozenset({"continuationtoken", "tokentype"})
_SECRET_NAME: Final = re.compile(
    "secret|passw|passphrase|pwd|token|credential|signature|connectionstring|privatekey|sshkey|accountkey|accesskey|apikey"
    "|sharedkey|principalkey|authorization|cookie|^sas|^clientid$"
)
_NO_WORD: Final = re.compile(r"[^a-z0-9]")
_STEPS: Final = re.compile(r"[^A-Za-z0-9_-]+")
_AUTH_PATH: Final = re.compile(r'\s*"?auth\b', re.IGNORECASE)
_SECRET_TEXTS: Final = (
    re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"(?i)(?<=\bbearer\s)\s*[A-Za-z0-9+/=._~-]{6,}"),
    re.compile(
        r"(?i)(?<![a-z])(?:(?:account|shared ?access|secret|access|api|private)[ _-]?key|sig|signature|password|passwd|pwd"
        r"|(?:client[ _-]?)?secret|(?:access|sas|refresh)?[ _-]?token)(?:\s*=\s*|:\s*(?=\S*[0-9!#$%+/=@^~]))([^\s;&,\"'<>]{4,})"
    ),
)
"""What secrets look like; where a pattern has a group, that is the secret, else the whole match is."""
_HINTS: Final = (b"key", b"secret", b"private", b"eyj", b"://", b"bearer", b"sig", b"passw", b"pwd", b"token")
"""Lower-case words of which one stands in every text that `_SECRET_TEXTS` finds something in."""


@dataclass(slots=True)
class Masked:
    """A value without its secrets. `secrets` are those taken out; `betrayed` are the places of names and descriptions
    that held one."""

    value: Any
    secrets: list[str] = field(default_factory=list)
    betrayed: list[str] = field(default_factory=list)


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
            if name not in SHOWN_HEADERS and len(value) >= MIN_SECRET:
                found.append(value.partition(" ")[2].strip() or value if name == "authorization" else value)
        return found

    def query(self, query: str, secrets: list[str]) -> str:
        """A query string; as it is when there is nothing to mask, else written anew. What is masked goes into `secrets`."""
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=200)
        except ValueError:
            return MASK
        shown = [(name, self._parameter(name, value, secrets)) for name, value in pairs]
        return query if shown == pairs else urlencode(shown, safe="*=,[]:/-+\"")

    def body(self, body: bytes) -> Masked:
        """A JSON body. Raises ValueError for what is no JSON."""
        value = orjson.loads(body)
        found = Masked(None)
        suspicious = self._suspicious(body)
        if isinstance(value, list):
            found.value = [self._operation(item, found, suspicious) for item in value]
        elif isinstance(value, dict):
            found.value = self._operation(value, found, suspicious)
        else:
            found.value = _taken(value, found)
        repeated = [secret for secret in found.secrets if _occurs_twice(secret, body)]
        if repeated:
            found.value = hide(found.value, repeated)
        if suspicious or repeated:
            found.betrayed = _betrayed(value, found.value)
        return found

    def form(self, body: bytes) -> Masked:
        """A form-encoded body. Raises ValueError for what is none."""
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=True, max_num_fields=50)
        found = Masked(None)
        shown = {name[:100]: value[:1_000] if name in SHOWN_FORM_FIELDS else _taken(value, found) for name, value in pairs}
        found.value = hide(shown, found.secrets)
        return found

    def answer(self, body: bytes) -> bytes:
        """The JSON of an answer: fields whose name says secret are masked, as are texts that look like one."""
        if not _hints(body.lower()):
            return body
        return orjson.dumps(self._walk(orjson.loads(body), Masked(None), True, 0))

    def text(self, text: str, secrets: list[str]) -> str:
        """A text without what looks like a secret, which goes into `secrets`."""
        return _scrubbed(text, secrets)

    def _suspicious(self, body: bytes) -> bool:
        """Whether a body's texts have to be searched for secrets: not when all that hints at one are the specs' own names."""
        lower = body.lower()
        if not _hints(lower):
            return False
        for word in self._words:
            lower = lower.replace(word, b"")
        return _hints(lower)

    @cached_property
    def _words(self) -> tuple[bytes, ...]:
        """The names of credentials and of their kinds, as they stand in JSON, in lower case, where they hint at a secret."""
        kinds = {name for spec in self._catalog.connection_specs.values() for name in spec.auth}
        words = [orjson.dumps(name.lower()) for name in kinds | self._plain | self._passwords]
        return tuple(word for word in words if _hints(word))

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
        """The names of all fields that a spec declares passwords."""
        validators = [validator for spec in self._catalog.connection_specs.values() for validator in spec.auth.values()]
        validators += [spec.target for spec in self._catalog.connection_specs.values() if spec.target is not None]
        paths = {path for validator in validators for path in validator.password_paths}
        return frozenset(name for path in paths for name in (path.split(".")[0], path.rpartition(".")[2].removesuffix("[]")))

    def _is_secret(self, name: str) -> bool:
        """Whether a field of this name, wherever it stands, is kept from sight."""
        verdict = self._verdicts.get(name)
        if verdict is None:
            word = _NO_WORD.sub("", name.lower())
            verdict = name in self._passwords or (
                name not in self._plain and word not in _HARMLESS_NAMES and _SECRET_NAME.search(word) is not None
            )
            if len(self._verdicts) < _MAX_NAMES:
                self._verdicts[name] = verdict
        return verdict

    def _parameter(self, name: str, value: str, secrets: list[str]) -> str:
        if name not in SHOWN_PARAMETERS:
            secrets.append(value)
            return MASK if value else ""
        if name == "property":
            path, sign, wanted = _split(value)
            if sign and (_AUTH_PATH.match(path) or any(self._is_secret(step) for step in _STEPS.split(path) if step)):
                secrets.append(wanted.strip().strip('"'))
                return f"{path}{sign}{MASK}"
        return _scrubbed(value, secrets)

    def _operation(self, value: Any, found: Masked, suspicious: bool) -> Any:
        """A member of the outermost array, which may be an operation of a JSON Patch, or the outermost object."""
        if not isinstance(value, dict):
            return _taken(value, found)
        if "value" not in value:
            return self._walk(value, found, suspicious, 1)
        others = {name: item for name, item in value.items() if name != "value"}
        return self._walk(others, found, suspicious, 1) | {"value": self._patched(value.get("path"), value["value"], found, suspicious)}

    def _patched(self, path: Any, value: Any, found: Masked, suspicious: bool) -> Any:
        """The value of a JSON Patch operation, whose path says what it is."""
        if not isinstance(path, str):
            return _taken(value, found)
        steps = [step for step in _STEPS.split(path) if step]
        below = next((index + 1 for index, step in enumerate(steps) if step.lower() == "auth"), None)
        if below is not None:
            for step in steps[below:][::-1]:
                value = {step: value}
            masked = self._auth(value, found, suspicious)
            for step in steps[below:]:
                masked = masked[step] if isinstance(masked, dict) else masked
            return masked
        if any(self._is_secret(step) for step in steps):
            return _taken(value, found)
        return self._walk(value, found, suspicious, 1)

    def _walk(self, value: Any, found: Masked, suspicious: bool, depth: int) -> Any:
        if isinstance(value, str):
            return _scrubbed(value, found.secrets) if suspicious else value
        if isinstance(value, dict):
            if depth >= MAX_DEPTH:
                return MASK
            masked = {}
            for name, item in value.items():
                if name == "auth" or name.lower() == "auth":
                    masked[name] = self._auth(item, found, suspicious)
                elif self._is_secret(name):
                    masked[name] = _taken(item, found)
                elif isinstance(item, (dict, list)) or (suspicious and isinstance(item, str)):
                    masked[name] = self._walk(item, found, suspicious, depth + 1)
                else:
                    masked[name] = item
            return masked
        if isinstance(value, list):
            return MASK if depth >= MAX_DEPTH else [self._walk(item, found, suspicious, depth + 1) for item in value]
        return value

    def _auth(self, value: Any, found: Masked, suspicious: bool) -> Any:
        """`auth`: the name of the kind, and of the parameters those that are known to be no secret."""
        if not isinstance(value, dict):
            return _taken(value, found)
        masked = {}
        for name, item in value.items():
            if name == "params" and isinstance(item, dict):
                masked[name] = {key: self._auth_param(key, given, found, suspicious) for key, given in item.items()}
            elif name == "specName" and isinstance(item, str):
                masked[name] = self._walk(item, found, suspicious, 1)
            else:
                masked[name] = _taken(item, found)
        return masked

    def _auth_param(self, name: str, value: Any, found: Masked, suspicious: bool) -> Any:
        if name in self._plain and not isinstance(value, (dict, list)):
            return self._walk(value, found, suspicious, 1)
        return _taken(value, found)


def hide(value: Any, secrets: Iterable[str]) -> Any:
    """A JSON value in whose strings none of the secrets stands, whole or cut short, quoted or not."""
    needles = [secret for secret in secrets if len(secret) >= MIN_SECRET]
    needles += [form for secret in needles for form in _written(secret) if form != secret]
    return _hidden(value, needles) if needles else value


def _hidden(value: Any, needles: list[str]) -> Any:
    if isinstance(value, str):
        for needle in needles:
            if needle[:_HEAD] in value:
                value = _without(value, needle)
        return value
    if isinstance(value, dict):
        return {name: _hidden(item, needles) for name, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item, needles) for item in value]
    return value


def _occurs_twice(secret: str, body: bytes) -> bool:
    """Whether a secret of a body may stand in it a second time; with a backslash in it, JSON may have written it otherwise."""
    if len(secret) < MIN_SECRET:
        return False
    return b"\\" in body or body.count(secret[:_HEAD].encode()) > 1


def _without(text: str, needle: str) -> str:
    """The text with every place masked where the needle, or its beginning, stands."""
    start = text.find(needle[:_HEAD])
    while start >= 0:
        size = min(_HEAD, len(needle))
        while size < len(needle) and text[start : start + size + 1] == needle[: size + 1]:
            size += 1
        text = text[:start] + MASK + text[start + size :]
        start = text.find(needle[:_HEAD], start + len(MASK))
    return text


def _written(secret: str) -> Iterator[str]:
    """How a secret looks inside a message: as Python and as JSON write it."""
    yield repr(secret)[1:-1]
    try:
        yield orjson.dumps(secret).decode()[1:-1]
    except orjson.JSONEncodeError:
        return


def _taken(value: Any, found: Masked) -> Any:
    """What stands for a secret, which is remembered while its request is looked at; null stays null."""
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
            found.secrets.append(item)
        elif not isinstance(item, bool) and item is not None:
            found.secrets.append(str(item))
    return MASK


def _hints(lower: bytes) -> bool:
    """Whether something in a text, which has to be in lower case, looks as if a secret might be near."""
    for hint in _HINTS:  # noqa: SIM110 - this runs for every request; any() would double what it costs
        if hint in lower:
            return True
    return False


def _scrubbed(text: str, secrets: list[str]) -> str:
    if not _hints(text.lower().encode("utf-8", "replace")):
        return text

    def masked(match: re.Match[str]) -> str:
        group = 1 if match.re.groups else 0
        secrets.append(match[group])
        whole, start = match[0], match.start(group) - match.start()
        return whole[:start] + MASK + whole[start + len(match[group]) :]

    for pattern in _SECRET_TEXTS:
        text = pattern.sub(masked, text)
    return text


def _split(text: str) -> tuple[str, str, str]:
    """Path, operator and value of a filter."""
    match = re.search(r"[=!<>~]+", text)
    return (text[: match.start()], match[0], text[match.end() :]) if match else (text, "", "")


def _betrayed(sent: Any, masked: Any) -> list[str]:
    """The places of names and descriptions that held a secret: those that look different now."""
    places = []
    if isinstance(sent, dict):
        places = [name for name in ("name", "description") if isinstance(sent.get(name), str) and sent[name] != masked.get(name)]
    elif isinstance(sent, list):
        for index, (before, after) in enumerate(zip(sent, masked, strict=True)):
            path = before.get("path") if isinstance(before, dict) else None
            if path in ("/name", "/description") and before.get("value") != after.get("value"):
                places.append(f"[{index}].value")
    return places


__all__ = ["MASK", "Masked", "Masker", "hide"]
