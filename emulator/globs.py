"""Globs in which `*` stands for any characters, slashes too, and `?` for one; nothing else is special."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache
from typing import Final

_ANY, _PART = "any", "part"
"""Symbols beside single characters: any character, and any character but a slash."""


MAX_GLOB: Final = 256
"""Characters of a glob that a user gives."""
MAX_STARS: Final = 10
"""Asterisks of one; each multiplies the work of finding out whether it can match."""
_KEPT: Final = 256
"""How many globs are kept compiled: more than a set of fault rules has. fnmatch's own cache would keep 32,768, each of which
may take 100 KB."""


def glob_matches(glob: str, text: str) -> bool:
    """Whether a text matches a glob, upper and lower case told apart. The work grows with both lengths only."""
    return _compiled(glob).match(text) is not None


@lru_cache(maxsize=_KEPT)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob.replace("[", "[[]")))


def overlap(glob: str, template: str) -> bool:
    """Whether some path matches both a glob and the template of a route (`/flows/{id}`).

    Walks both at once, as one walks the product of two automata; the work is at most the product of their lengths.
    """
    wanted = [(_ANY, True) if char == "*" else (_ANY, False) if char == "?" else (char, False) for char in glob]
    there: list[tuple[str, bool]] = []
    for part in re.split(r"(\{\w+\})", template):
        there += [(_PART, False), (_PART, True)] if part.startswith("{") else [(char, False) for char in part]
    todo, seen = [(0, 0)], {(0, 0)}
    while todo:
        i, j = todo.pop()
        if i == len(wanted) and j == len(there):
            return True
        steps = []
        if i < len(wanted) and wanted[i][1]:
            steps.append((i + 1, j))
        if j < len(there) and there[j][1]:
            steps.append((i, j + 1))
        if i < len(wanted) and j < len(there) and _meet(wanted[i][0], there[j][0]):
            steps.append((i if wanted[i][1] else i + 1, j if there[j][1] else j + 1))
        todo += [step for step in steps if step not in seen]
        seen.update(steps)
    return False


def _meet(one: str, other: str) -> bool:
    """Whether a glob's symbol and a template's can stand for the same character."""
    return one in (_ANY, other) or (other == _PART and len(one) == 1 and one != "/")
