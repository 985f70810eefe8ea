"""ECMA-262's regular expressions, as JSON Schema's `pattern` means them, matched in bounded time.

Python's `re` is something else: its `$` matches before a trailing newline, its `\\d` takes any Unicode digit, and it backtracks
without end on the published Google bucket pattern. The engine here is Rust's, through jsonschema_rs. It refuses what ECMA-262
does not know and translates most of the rest; `.` (which leaves out four line ends in ECMA-262, one in Rust) and `\\b` (whose
words are of ASCII letters) are translated here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from jsonschema_rs import Draft7Validator, FancyRegexOptions, ValidationError

MAX_MATCHED: Final = 16_384
"""Characters of the longest value that can match a pattern."""

OPTIONS: Final = FancyRegexOptions(backtrack_limit=10_000, size_limit=350_000)
"""The published patterns need at most 128 steps back for any value that matches (measured), so that with this limit a verdict
is never wrong for them, and comes within a millisecond. `size_limit` is the bytes of a compiled pattern."""

_TOKEN: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\.", re.DOTALL)
_IN_RUST: Final = {
    ".": r"[^\n\r\u2028\u2029]",
    r"\b": "(?:(?<=[0-9A-Za-z_])(?![0-9A-Za-z_])|(?<![0-9A-Za-z_])(?=[0-9A-Za-z_]))",
    r"\B": "(?:(?<=[0-9A-Za-z_])(?=[0-9A-Za-z_])|(?<![0-9A-Za-z_])(?![0-9A-Za-z_]))",
}


class PatternError(ValueError):
    """The pattern is no ECMA-262 regular expression, or too large a one."""


def matches(pattern: str, value: str) -> bool:
    """Whether a pattern matches anywhere in a value. Raises PatternError."""
    return len(value) <= MAX_MATCHED and compiled(pattern).is_valid(value)


@lru_cache(maxsize=1_024)
def compiled(pattern: str) -> Draft7Validator:
    """The engine of a pattern, made once per process. Raises PatternError."""
    in_rust = _TOKEN.sub(lambda token: _IN_RUST.get(token[0], token[0]), pattern)
    try:
        return Draft7Validator({"pattern": in_rust}, pattern_options=OPTIONS)
    except ValidationError as fault:
        raise PatternError(f"not an ECMA-262 pattern, or too large a one: {pattern}") from fault


class PatternKeyword:
    """`pattern` as a keyword of jsonschema_rs's own validators."""

    def __init__(self, parent_schema: dict[str, object], value: str, schema_path: list[str | int]) -> None:
        self._is_valid = compiled(value).is_valid

    def validate(self, instance: object) -> None:
        if isinstance(instance, str) and not (len(instance) <= MAX_MATCHED and self._is_valid(instance)):
            raise ValueError
