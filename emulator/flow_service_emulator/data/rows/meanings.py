"""What a property stands for, guessed from its name, and the made-up values of each meaning."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any, Final, NamedTuple

from flow_service_emulator.built_in import built_in
from flow_service_emulator.data.rows.schema_parts import ITEMS, Path
from flow_service_emulator.data.rows.seeded import Dice, spread

WORDS: Final[dict[str, Any]] = built_in("vocabulary.json")
"""What made-up values are built from. Nothing there belongs to a real person: e-mail addresses end in the reserved domains of
RFC 2606, telephone numbers are the fictitious 555-01xx ones, and IP addresses come from the ranges for documentation (RFC 5737,
RFC 3849)."""
_PART: Final = re.compile(r"\{(?:(?P<low>\d+)-(?P<high>\d+)(?::(?P<form>\w+))?|(?P<list>\w+))\}")
"""`{1-254}`, `{0-59:02d}` (a number and its form), or `{streets}`: one of a list."""
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_GIVEN: Final[dict[str, Any]] = built_in("meanings.json")
"""Names (in lower case, without separators) and words of names -> what they mean."""
_ROW_TIME, _LONG_AGO, _LATER, _PERSON_IDS, _DEVICE_IDS, _PICTURES, OWN_OF_EVENT = (
    frozenset(_GIVEN[key])
    for key in ("rowTime", "longAgo", "later", "personIds", "deviceIds", "pictures", "ownOfEvent")
)
_TEXT_BY_NAME, _TEXT_BY_FORMAT = (
    {name: meaning for meaning, names in _GIVEN[key].items() for name in names}
    for key in ("textByName", "textByFormat")
)


class Range(NamedTuple):
    """The numbers of a meaning: multiples of `step` from `low` to `high`, mostly small ones if `skewed`."""

    low: Fraction
    high: Fraction
    step: Fraction
    skewed: bool


def words_of(name: str) -> list[str]:
    """The words of a property's name in lower case: `personID` gives `person` and `id`."""
    return [word.lower() for word in _WORD.findall(name)]


def text_meaning(path: Path, form: str) -> str:
    """What a property that holds text means, such as `person.email`; `own.words` where its name says nothing."""
    names = [name for name in path if name != ITEMS]
    last = words_of(names[-1])
    if form in _TEXT_BY_FORMAT:
        return "product.image" if _PICTURES & set(last) and form.startswith("uri") else _TEXT_BY_FORMAT[form]
    whole = "".join(last)
    above = "".join(words_of(names[-2])) if len(names) > 1 else ""
    if meaning := _by_parent("textByParent", whole, above) or _TEXT_BY_NAME.get(whole):
        return meaning
    if form == "uuid" or (last and last[-1] in ("id", "key", "uuid", "number", "identifier")):
        owner = set(last[:-1])
        return "id.person" if owner & _PERSON_IDS else "id.device" if owner & _DEVICE_IDS else "id.own"
    return "own.words"


def time_meaning(path: Path) -> str:
    """What an instant or a day means: the `row`'s own, a `birth`, or `later`, `earlier`, `long ago` seen from it."""
    last = words_of(path[-1])
    if "".join(last) in _ROW_TIME:
        return "row"
    if "birth" in "".join(last):
        return "birth"
    if _LATER & set(last):
        return "later"
    return "long ago" if _LONG_AGO & set(last) else "earlier"


def number_range(path: Path, *, whole: bool) -> Range:
    """The numbers that look right for a property of this name."""
    names = set(words_of(path[-1] if path[-1] != ITEMS else path[-2]))
    found = next(row for row in _GIVEN["numbers"] if names.intersection(row["names"]) or not row["names"])
    low, high, step = (Fraction(found[key]) for key in ("low", "high", "step"))
    if whole and step.denominator > 1:
        high, step = Fraction(100) if high == 1 else high, Fraction(1)
    return Range(low, high, step, found["skewed"])


def number_meaning(path: Path) -> str:
    """The entity's field, such as `place.latitude`, that a number belongs to; "" where it stands alone."""
    above = "".join(words_of(path[-2])) if len(path) > 1 and path[-2] != ITEMS else ""
    return _by_parent("numberByParent", "".join(words_of(path[-1])), above)


def _by_parent(table: str, whole: str, above: str) -> str:
    return next((meaning for name, part, meaning in _GIVEN[table] if whole == name and part in above), "")


def entity_values(meaning: str) -> list[Any]:
    """What an entity's field, such as `product.price`, is in each there is, in their order; none for what is no entity's."""
    entity, _, field = meaning.partition(".")
    known = WORDS["entities"].get(entity, {"fields": [field], "rows": []})
    place = known["fields"].index(field)
    return [row[place] for row in known["rows"]]


def own_values(meaning: str, dice: Dice, size: int) -> list[str]:
    """`size` values of a meaning that begins with `own.`"""
    values: Sequence[str] | str = WORDS["own"][meaning.removeprefix("own.")]
    if not isinstance(values, str):
        return spread(values, size)
    return [_PART.sub(partial(_drawn, dice), values) for _ in range(size)]


def _drawn(dice: Dice, part: re.Match[str]) -> str:
    if part["list"]:
        return str(dice.one_of(WORDS[part["list"]]))
    low, high = int(part["low"]), int(part["high"])
    return format(low + dice.below(high - low + 1), part["form"] or "d")


def fitting(values: Sequence[str], least: int, most: int) -> list[str]:
    """The values whose length is from `least` to `most` characters; cut or lengthened where there is none."""
    good = [value for value in values if least <= len(value) <= most]
    return good or [(value + " " + "x" * least)[:least] if len(value) < least else value[:most] for value in values]


def email_part(name: str) -> str:
    """A name as it stands in an e-mail address: lower case ASCII letters only."""
    plain = unicodedata.normalize("NFKD", name.replace("ı", "i").replace("ß", "ss").replace("ł", "l"))
    return "".join(letter for letter in plain.lower() if "a" <= letter <= "z")
