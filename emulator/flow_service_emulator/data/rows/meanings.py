"""What a property stands for, guessed from its name, and the made-up values of each meaning."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any, Final, NamedTuple

from flow_service_emulator.built_in import built_in
from flow_service_emulator.data.rows import vocabulary as words
from flow_service_emulator.data.rows.draws import Dice, spread
from flow_service_emulator.data.rows.schema_error import ITEMS, Path

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_GIVEN: Final[dict[str, Any]] = built_in("meanings.json")
"""Names (in lower case, without separators) and words of names -> what they mean."""
_ROW_TIME, _LONG_AGO, _LATER, _PERSON_IDS, _DEVICE_IDS, _PICTURES = (
    frozenset(_GIVEN[key]) for key in ("rowTime", "longAgo", "later", "personIds", "deviceIds", "pictures")
)
_TEXT_BY_NAME: Final[dict[str, str]] = {
    name: meaning for meaning, names in _GIVEN["textByName"].items() for name in names
}
_TEXT_BY_FORMAT: Final[dict[str, str]] = {
    form: meaning for meaning, forms in _GIVEN["textByFormat"].items() for form in forms
}


class Range(NamedTuple):
    """The numbers of a meaning: multiples of `step` from `low` to `high`, mostly small ones if `skewed`."""

    low: Fraction
    high: Fraction
    step: Fraction
    skewed: bool = False


def _range(low: float, high: float, step: str = "1", *, skewed: bool = False) -> Range:
    return Range(Fraction(low), Fraction(high), Fraction(step), skewed)


_NUMBERS: Final = tuple(
    (frozenset(row["names"]), _range(row["low"], row["high"], row["step"], skewed=row["skewed"]))
    for row in _GIVEN["numbers"]
)
_ANY_NUMBER: Final = _range(0, 1_000, "0.01")
_WHOLE_SCORE: Final = _range(0, 100)


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
    for name, part, meaning in _GIVEN["textByParent"]:
        if whole == name and part in above:
            return str(meaning)
    if whole in _TEXT_BY_NAME:
        return _TEXT_BY_NAME[whole]
    if whole in ("ecid", "mcid"):
        return "id.ecid"
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
    for keys, found in _NUMBERS:
        if names & keys:
            if not whole or found.step.denominator == 1:
                return found
            return _WHOLE_SCORE if found.high == 1 else Range(found.low, found.high, Fraction(1), found.skewed)
    return _range(0, 1_000) if whole else _ANY_NUMBER


def number_entity(path: Path) -> str | None:
    """The entity's field, such as `place.latitude`, that a number belongs to; None where it stands alone."""
    whole = "".join(words_of(path[-1]))
    above = "".join(words_of(path[-2])) if len(path) > 1 and path[-2] != ITEMS else ""
    if whole in ("latitude", "lat"):
        return "place.latitude"
    if whole in ("longitude", "lon", "lng"):
        return "place.longitude"
    if whole in ("price", "listprice", "unitprice") or (whole == "amount" and "price" in above):
        return "product.price"
    return {"screenwidth": "device.screenWidth", "screenheight": "device.screenHeight"}.get(whole)


@cache
def entity_rows(entity: str) -> tuple[dict[str, Any], ...]:
    """All there are of an entity (`place`, `product`, `device`, `page`, `campaign`, `segment`), by the field's name."""
    if entity == "place":
        return tuple(dict(zip(words.PLACE_FIELDS, place, strict=True)) for place in words.PLACES)
    if entity == "device":
        devices = (dict(zip(words.DEVICE_FIELDS, device, strict=True)) for device in words.DEVICES)
        return tuple({**device, "userAgent": _user_agent(device)} for device in devices)
    if entity == "product":
        return tuple(
            _product(kind, style)
            for style in range(len(words.PRODUCT_STYLES))
            for kind in range(len(words.PRODUCT_KINDS))
        )
    if entity == "page":
        return tuple({"name": name, "url": f"https://www.example.com/{_slug(name)}"} for name in words.PAGES)
    names = words.CAMPAIGNS if entity == "campaign" else words.SEGMENTS
    return tuple({"name": name, "id": f"{entity[:3].upper()}-{1001 + number}"} for number, name in enumerate(names))


def own_values(meaning: str, dice: Dice, size: int) -> list[str]:
    """`size` values of a meaning that begins with `own.`"""
    plain = {
        "own.color": words.COLORS, "own.size": words.SIZES, "own.channel": words.CHANNELS,
        "own.company": words.COMPANIES, "own.job": words.JOB_TITLES, "own.interest": words.INTERESTS,
        "own.sentence": words.SENTENCES,
    }  # fmt: skip
    if meaning in plain:
        return spread(plain[meaning], size)
    return [_one_value(meaning, dice) for _ in range(size)]


def _one_value(meaning: str, dice: Dice) -> str:
    if meaning == "own.street":
        return f"{1 + dice.below(980)} {dice.one_of(words.STREETS)}"
    if meaning == "own.ipv4":
        return f"{dice.one_of(('192.0.2', '198.51.100', '203.0.113'))}.{1 + dice.below(254)}"
    if meaning == "own.ipv6":
        return f"2001:db8:{1 + dice.below(65_534):x}:{1 + dice.below(65_534):x}::{1 + dice.below(65_534):x}"
    if meaning == "own.hostname":
        return f"{dice.one_of(words.WORDS)}{1 + dice.below(99)}.{dice.one_of(words.EMAIL_DOMAINS)}"
    if meaning == "own.time":
        return f"{dice.below(24):02d}:{dice.below(60):02d}:{dice.below(60):02d}Z"
    if meaning == "own.duration":
        return f"PT{1 + dice.below(59)}M{dice.below(60)}S"
    if meaning == "own.phone":
        return f"+1-{dice.one_of(words.AREA_CODES)}-555-01{dice.below(100):02d}"
    return f"{dice.one_of(words.WORDS)} {dice.one_of(words.WORDS)}"


def fitting(values: Sequence[str], least: int, most: int) -> list[str]:
    """The values whose length is from `least` to `most` characters; cut or lengthened where there is none."""
    good = [value for value in values if least <= len(value) <= most]
    return good or [(value + " " + "x" * least)[:least] if len(value) < least else value[:most] for value in values]


def email_part(name: str) -> str:
    """A name as it stands in an e-mail address: lower case ASCII letters only."""
    plain = unicodedata.normalize("NFKD", name.replace("ı", "i").replace("ß", "ss").replace("ł", "l"))
    return "".join(letter for letter in plain.lower() if "a" <= letter <= "z")


def _product(kind: int, style: int) -> dict[str, Any]:
    name, category, cents = words.PRODUCT_KINDS[kind]
    brand = words.PRODUCT_BRANDS[(kind + style) % len(words.PRODUCT_BRANDS)]
    sku = f"{brand[:2].upper()}{style + 1}{kind + 1:02d}-{100 + (kind * 37 + style * 11) % 900}"
    return {
        "sku": sku,
        "kind": name.lower(),
        "image": f"https://images.example.com/{sku.lower()}.jpg",
        "name": f"{words.PRODUCT_STYLES[style]} {name}",
        "category": category,
        "brand": brand,
        "price": (cents + style * 250) / 100,
    }


def _user_agent(device: dict[str, Any]) -> str:
    return f"Mozilla/5.0 ({device['operatingSystem']} {device['osVersion']}; {device['model']}) {device['browser']}"


def _slug(name: str) -> str:
    return "-".join(words_of(name))
