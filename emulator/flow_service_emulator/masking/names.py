"""Which fields hold secrets: by what the specs say of them (`format: password`), and by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.masking.texts import MIN_LOOKS
from flow_service_emulator.validation.patterns import ecma_pattern

_HARMLESS: Final = frozenset({"continuationtoken", "tokentype"})
_SECRET: Final = (
    "secret(?!ar(?:y|ie|ia))|(?<!com)passw(?!arn|idth)|passphrase|passcode|pwd|token|credential|signature|connectionstring"
    "|privatekey|sshkey|accountkey|accesskey|apikey|sharedkey|principalkey|authorization|cookie"
    "|^sas(?:$|uri|url|token|key)|^jwt|jwt$|^bearer(?:$|auth|key|value)|^clientid$"
)
"""What a field's name, in lower case and without punctuation, has in it when its value is a secret wherever it stands.

Not meant are secretaries, and the `passw` of compassWidth and bypassWarnings.
"""
_ABOUT: Final = frozenset(
    (
        *("algorithm", "count", "counts", "created", "date", "enabled", "endpoint", "expiration", "expires", "expiry"),
        *("format", "issuer", "length", "lifetime", "limit", "method", "mode", "name", "names", "policy", "provider"),
        *("required", "rotation", "rules", "size", "status", "strength", "time", "timestamp", "ttl", "type", "types"),
        *("usage", "validity", "version"),
    )
)
"""Words at the end of a name that tells something about a secret, such as `tokenCount` or `password_policy`, and not it."""
_NO_LETTERS: Final = "0123456789_-. "
_NO_WORD: Final = r"[^a-z0-9]"
_WORDS: Final = r"[A-Z]{0,5}[a-z]*(?: [A-Z]{0,5}[a-z]*)*"
_MAX_KIND: Final = 40
"""Characters of a text that is shown as the name of a kind of credentials although there is none of the name."""
_LIKE_ENOUGH: Final = 0.6
_MAX_REMEMBERED: Final = 2_000
_MAX_NAME: Final = 100
"""Names of fields that are remembered, and their characters, at most."""


class SecretNames:
    """What the names of fields, and the kinds of credentials, say about what stands in them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._verdicts: dict[str, bool] = {}
        self.harmless: set[str] = set()
        """Names of which it is known that they are not guarded, nor long enough to look like a secret themselves."""

    def is_secret(self, name: str) -> bool:
        """Whether a field of this name, wherever it stands, is kept from sight."""
        verdict = self._verdicts.get(name)
        if verdict is None:
            word = re.sub(_NO_WORD, "", name.lower())
            telling = word not in _HARMLESS and re.search(_SECRET, word) is not None and not _is_about(name)
            verdict = name in self.passwords or (telling and name not in self.plain)
            if len(self._verdicts) < _MAX_REMEMBERED and len(name) <= _MAX_NAME:
                self._verdicts[name] = verdict
        return verdict

    def is_guarded(self, name: str) -> bool:
        """The same, or whether it is `auth`, in which the most is a secret."""
        guarded = name.lower() == "auth" or self.is_secret(name)
        if not guarded and len(self.harmless) < _MAX_REMEMBERED and len(name) < MIN_LOOKS:
            self.harmless.add(name)
        return guarded

    def is_kind(self, name: str) -> bool:
        """Whether a text is the name of a kind of credentials, such as `Access Key`, or so much like one that it was meant to be."""
        if name in self.kinds:
            return True
        if len(name) > 2 * max(map(len, self.kinds), default=0):
            return False
        from difflib import get_close_matches  # on first use: only what is refused needs it

        return bool(get_close_matches(name.lower(), [kind.lower() for kind in self.kinds], 1, _LIKE_ENOUGH))

    def may_be_kind(self, name: str) -> bool:
        """The same, or whether it is nothing but a few words: what was sent for a kind is told to whoever sent it."""
        return self.is_kind(name) or (len(name) <= _MAX_KIND and re.fullmatch(_WORDS, name) is not None)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The names that `auth.specName` may have."""
        return frozenset(name for spec in self._catalog.connection_specs.values() for name in spec.auth)

    @cached_property
    def plain(self) -> frozenset[str]:
        """The fields of `auth.params` that some spec declares and none declares a password."""
        declared: set[str] = set()
        for spec in self._catalog.connection_specs.values():
            for validator in spec.auth.values():
                declared |= set(validator.schema.get("properties", ()))
        return frozenset(declared - self.passwords)

    def is_shown(self, name: str, value: Any) -> bool:
        """Whether a parameter of `auth` may be seen: no password's field, and no password in the field of, say, a key's id."""
        if name not in self.plain or isinstance(value, (dict, list)):
            return False
        patterns = self._patterns.get(name)
        return not patterns or (isinstance(value, str) and any(ecma_pattern(each).matches(value) for each in patterns))

    @cached_property
    def _patterns(self) -> dict[str, list[str]]:
        """The parameters of `auth` for which each spec that declares them has a pattern, and these patterns."""
        schemas: dict[str, list[Any]] = {}
        for spec in self._catalog.connection_specs.values():
            for validator in spec.auth.values():
                for name, schema in validator.schema.get("properties", {}).items():
                    schemas.setdefault(name, []).append(schema.get("pattern") if isinstance(schema, dict) else None)
        return {name: patterns for name, patterns in schemas.items() if None not in patterns}

    @cached_property
    def passwords(self) -> frozenset[str]:
        """The names of all fields that a spec declares passwords, and of the outermost fields that those stand in."""
        specs = self._catalog.connection_specs.values()
        validators = [validator for spec in specs for validator in spec.auth.values()]
        validators += [spec.target for spec in specs if spec.target is not None]
        steps = [re.findall(r"[^.\[\]]+", path) for validator in validators for path in validator.password_paths]
        return frozenset(name for names in steps if names for name in (names[0], names[-1]))

    @cached_property
    def published(self) -> frozenset[str]:
        """The texts of the specs' own examples, which messages show: no secrets, even if a client sends them as such."""
        return frozenset(text for spec in self._catalog.connection_specs.values() for text in _texts(spec.examples))


def _is_about(name: str) -> bool:
    """Whether a name ends with a word of its own that says what is told about a secret; `passwordupdate` does not."""
    name = name.rstrip(_NO_LETTERS)
    for word in _ABOUT:
        if name[-len(word) :].lower() == word:
            before, first, second = name[: -len(word)][-1:], name[-len(word)], name[1 - len(word)]
            camel = first.isupper() and (before.islower() or second.islower())
            return before != "" and (camel or not before.isalpha())
    return False


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
