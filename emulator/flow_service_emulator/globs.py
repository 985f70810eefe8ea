"""Globs in which `*` stands for any characters, slashes too, and `?` for one; nothing else is special."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Final, NamedTuple

MAX_GLOB: Final = 256
"""Characters of a glob that a user gives."""
MAX_STARS: Final = 10
"""Asterisks of one; each multiplies the work of finding out whether it can match."""
_KEPT: Final = 256
"""How many globs are kept compiled: more than a set of fault rules has. fnmatch's own cache would keep 32,768, each of which
may take 100 KB."""
_KEPT_PLACES: Final = 4_096
"""How many beginnings of routes are kept; a glob is held against about 60."""


def glob_matches(glob: str, text: str) -> bool:
    """Whether a text matches a glob, upper and lower case told apart. The work grows with both lengths only."""
    return _compiled(glob).match(text) is not None


@lru_cache(maxsize=_KEPT)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob.replace("[", "[[]")))


def overlap(glob: str, template: str) -> bool:
    """Whether some path matches both a glob and the template of a route (`/flows/{id}`).

    The work grows with the template's length, and only in machine words of 30 characters with the glob's.
    """
    return bool(_places(glob, template) >> len(glob))


class _Masks(NamedTuple):
    """A glob as bits, one for each of its characters, the first one lowest."""

    stars: int
    any: int
    """Asterisks and question marks."""
    part: int
    """All but slashes."""
    of: Mapping[str, int]
    """Character -> where the glob has it."""


@lru_cache(maxsize=_KEPT)
def _masks(glob: str) -> _Masks:
    of: dict[str, int] = {}
    for place, char in enumerate(glob):
        of[char] = of.get(char, 0) | 1 << place
    stars = of.pop("*", 0)
    return _Masks(stars, stars | of.pop("?", 0), ((1 << len(glob)) - 1) & ~of.get("/", 0), of)


@lru_cache(maxsize=_KEPT_PLACES)
def _places(glob: str, template: str) -> int:
    """Before which characters of a glob one can be, having read a beginning of a path of the template, as bits.

    The bit behind the last character says that all of the glob can have been read. Templates begin alike, so that what
    is kept of one path's folders serves the next.
    """
    masks = _masks(glob)
    folder, slash, name = template.rpartition("/")
    places = _skipped(1, masks.stars) if not folder else _places(glob, folder)
    for part in re.split(r"(\{\w+\})", slash + name):
        if part.startswith("{"):
            places = _skipped(_read(places, masks.part, masks.stars), masks.part)
            continue
        for char in part:
            places = _skipped(_read(places, masks.of.get(char, 0) | masks.any, masks.stars), masks.stars)
    return places


def _read(places: int, fitting: int, stars: int) -> int:
    """Where one can be after one more character, which `fitting` places of the glob take; an asterisk takes more of them."""
    return (places & fitting) << 1 | places & stars


def _skipped(places: int, passable: int) -> int:
    """Where one can get to from there over any number of `passable` places of the glob.

    An addition does it, as its carry runs through neighbouring bits.
    """
    return ((places & passable) + passable) ^ passable | places
