"""What keeps a look at any value within bounds of time and stack: how deep and large it is, and patterns.

Patterns are ECMA-262's, as JSON Schema's `pattern` means them. Python's `re` is not that: its `$` matches before a trailing
newline, its `\\d` takes any Unicode digit, and it backtracks without end on the published Google bucket pattern. The engine
here is Rust's, through jsonschema_rs, which refuses what ECMA-262 does not know and translates most of the rest. Ours are `.`
(which leaves out four line ends in ECMA-262, one in Rust), `\\b` (whose words are of ASCII letters in ECMA-262) and the bounds
below. These are for any value under the patterns that fixtures bring. They are no shelter from a pattern made to be slow:
lookaround around large repetitions can cost a long search at each of a value's (at most 1,024) characters.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from jsonschema_rs import Draft7Validator, FancyRegexOptions, RegexOptions, ValidationError

MAX_DEPTH: Final = 64
"""Levels of objects and arrays inside each other, at most."""

BACKTRACK_LIMIT: Final = 10_000
"""Steps back that a pattern with lookaround may take on one value. The published patterns need at most 128 for any
value that matches (measured), so at this limit a verdict is never wrong for them, and comes within a millisecond."""

SMALL_PROGRAM: Final = 2_500
"""Bytes of a compiled pattern up to which long values are matched: at worst about 0.4 µs a character."""

LARGE_PROGRAM: Final = 350_000
"""Bytes of a compiled pattern beyond which it is refused: at worst about 65 µs a character, where it is not."""

LONG_VALUE: Final = 262_144
"""Characters of the longest value that is matched against a pattern with a small program and no lookaround."""

SHORT_VALUE: Final = 1_024
"""Characters of the longest value that is matched against any other pattern; no storage takes a longer name."""

_TOKEN: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\.", re.DOTALL)
_IN_RUST: Final = {
    ".": r"[^\n\r\u2028\u2029]",
    r"\b": "(?:(?<=[0-9A-Za-z_])(?![0-9A-Za-z_])|(?<![0-9A-Za-z_])(?=[0-9A-Za-z_]))",
    r"\B": "(?:(?<=[0-9A-Za-z_])(?=[0-9A-Za-z_])|(?<![0-9A-Za-z_])(?![0-9A-Za-z_]))",
}


def is_shallow(value: Any, depth: int = MAX_DEPTH, most: float = float("inf")) -> bool:
    """Whether a value is nested at most `depth` deep and holds at most `most` values.

    A loop, so that no depth can exhaust the stack; it stops where the answer is no.
    """
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(depth):
        if not level:
            return True
        most -= sum(map(len, level))
        if most < 0:
            return False
        level = [
            member
            for container in level
            for member in (container.values() if isinstance(container, dict) else container)
            if isinstance(member, (dict, list))
        ]
    return not level


class PatternError(ValueError):
    """The pattern is no ECMA-262 regular expression, or one that cannot be matched in bounded time."""


class EcmaPattern:
    """One ECMA-262 pattern, compiled. As in JSON Schema it may match anywhere in a value unless it is anchored.

    `longest` is the number of characters of the longest value that it is matched against; no longer one matches.
    Raises PatternError for a pattern that is not ECMA-262 or is too large.
    """

    __slots__ = ("_engine", "longest")

    def __init__(self, source: str, backtrack_limit: int = BACKTRACK_LIMIT) -> None:
        rust = _TOKEN.sub(lambda token: _IN_RUST.get(token[0], token[0]), source)
        # Without lookaround and references back the time is linear, so the first two are preferred.
        for options, longest in (
            (RegexOptions(size_limit=SMALL_PROGRAM), LONG_VALUE),
            (RegexOptions(size_limit=LARGE_PROGRAM), SHORT_VALUE),
            (FancyRegexOptions(backtrack_limit=backtrack_limit, size_limit=LARGE_PROGRAM), SHORT_VALUE),
        ):
            try:
                self._engine = Draft7Validator({"pattern": rust}, pattern_options=options)
            except ValidationError:
                continue
            self.longest = longest
            return
        raise PatternError(f"not an ECMA-262 pattern, or too large a one: {source}")

    def matches(self, value: str) -> bool:
        return len(value) <= self.longest and self._engine.is_valid(value)


@lru_cache(maxsize=1_024)
def ecma_pattern(source: str) -> EcmaPattern:
    """The compiled pattern, compiled once per process: the specs share theirs. Raises PatternError."""
    return EcmaPattern(source)


class PatternKeyword:
    """`pattern` as a keyword of jsonschema_rs's own validators."""

    def __init__(self, parent_schema: dict[str, object], value: str, schema_path: list[str | int]) -> None:
        self._pattern = ecma_pattern(value)

    def validate(self, instance: object) -> None:
        if isinstance(instance, str) and not self._pattern.matches(instance):
            raise ValueError
