"""ECMA-262 patterns, as JSON Schema's `pattern` means them, with a verdict in bounded time.

Python's `re` is not that: its `$` matches before a trailing newline, its `\\d` takes any Unicode digit, and it
backtracks without end on the published Google bucket pattern. The engine here is Rust's, through
jsonschema_rs, which refuses what ECMA-262 does not know and translates most of the rest. Ours are `.` (which leaves
out four line ends in ECMA-262, one in Rust), `\\b` (whose words are of ASCII letters in ECMA-262) and the bounds below.

The bounds are for any value under the patterns that fixtures bring. They are no shelter from a pattern made to be slow:
lookaround around large repetitions can cost a long search at each of a value's (at most 1,024) characters.

Characters are code points, as in ECMA-262's Unicode mode and as in JSON Schema's own `maxLength`.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache

import jsonschema_rs

BACKTRACK_LIMIT = 10_000
"""Steps back that a pattern with lookaround may take on one value. The published patterns need at most 128 for any
value that matches (measured), so at this limit a verdict is never wrong for them, and comes within a millisecond."""

SMALL_PROGRAM = 2_500
"""Bytes of a compiled pattern up to which long values are matched: at worst about 0.4 µs a character."""

LARGE_PROGRAM = 350_000
"""Bytes of a compiled pattern beyond which it is refused: at worst about 65 µs a character, where it is not."""

LONG_VALUE = 262_144
"""Characters of the longest value that is matched against a pattern with a small program and no lookaround."""

SHORT_VALUE = 1_024
"""Characters of the longest value that is matched against any other pattern; no storage takes a longer name."""

_TOKEN = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\.", re.DOTALL)
_IN_RUST = {
    ".": r"[^\n\r\u2028\u2029]",
    r"\b": "(?:(?<=[0-9A-Za-z_])(?![0-9A-Za-z_])|(?<![0-9A-Za-z_])(?=[0-9A-Za-z_]))",
    r"\B": "(?:(?<=[0-9A-Za-z_])(?=[0-9A-Za-z_])|(?<![0-9A-Za-z_])(?![0-9A-Za-z_]))",
}


class PatternError(ValueError):
    """The pattern is no ECMA-262 regular expression, or one that cannot be matched in bounded time."""


class Verdict(Enum):
    """What came of matching a value against a pattern. Only MATCH is a match."""

    MATCH = auto()
    MISMATCH = auto()
    TOO_LONG = auto()
    """The value is longer than `EcmaPattern.longest` and was not looked at."""
    GAVE_UP = auto()
    """The limit of steps back was reached. No published pattern does so on a value that matches."""


class EcmaPattern:
    """One ECMA-262 pattern, compiled. As in JSON Schema it may match anywhere in a value unless it is anchored.

    Raises PatternError for a pattern that is not ECMA-262 or is too large.
    """

    __slots__ = ("_engine", "_gives_up", "longest", "source")

    def __init__(self, source: str, backtrack_limit: int = BACKTRACK_LIMIT) -> None:
        self.source = source
        #: Characters of the longest value that is matched.
        self.longest = SHORT_VALUE
        self._gives_up = False
        small = _compiled(source, jsonschema_rs.RegexOptions(size_limit=SMALL_PROGRAM))
        if small is not None:
            self.longest = LONG_VALUE
            self._engine = small
            return
        # Without lookaround and references back the time is linear, so this one is preferred.
        large = _compiled(source, jsonschema_rs.RegexOptions(size_limit=LARGE_PROGRAM))
        if large is not None:
            self._engine = large
            return
        backtracking = _compiled(
            source,
            jsonschema_rs.FancyRegexOptions(backtrack_limit=backtrack_limit, size_limit=LARGE_PROGRAM),
        )
        if backtracking is None:
            raise PatternError(f"not an ECMA-262 pattern, or too large a one: {source}")
        self._engine = backtracking
        self._gives_up = True

    def verdict(self, value: str) -> Verdict:
        """Match `value`; never raises, whatever the string holds."""
        if len(value) > self.longest:
            return Verdict.TOO_LONG
        try:
            matches = self._engine.is_valid(value)
        except UnicodeEncodeError:
            # A lone surrogate, which no JSON text in UTF-8 can hold, is matched as U+FFFD.
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            matches = self._engine.is_valid(value)
        if matches:
            return Verdict.MATCH
        return Verdict.GAVE_UP if self._gives_up and self._gave_up(value) else Verdict.MISMATCH

    def matches(self, value: str) -> bool:
        """Whether `verdict` is MATCH."""
        return self.verdict(value) is Verdict.MATCH

    def _gave_up(self, value: str) -> bool:
        limit = jsonschema_rs.ValidationErrorKind.BacktrackLimitExceeded
        return any(isinstance(error.kind, limit) for error in self._engine.iter_errors(value))


@lru_cache(maxsize=1_024)
def ecma_pattern(source: str) -> EcmaPattern:
    """The compiled pattern, compiled once per process: the specs share theirs. Raises PatternError."""
    return EcmaPattern(source)


def _compiled(
    source: str, options: jsonschema_rs.RegexOptions | jsonschema_rs.FancyRegexOptions
) -> jsonschema_rs.Draft7Validator | None:
    rust = _TOKEN.sub(lambda token: _IN_RUST.get(token[0], token[0]), source)
    try:
        return jsonschema_rs.Draft7Validator({"pattern": rust}, pattern_options=options)
    except (jsonschema_rs.ValidationError, UnicodeEncodeError):
        return None
