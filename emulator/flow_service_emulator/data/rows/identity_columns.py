"""The columns that tell people and things apart: names, e-mail addresses, telephone numbers and ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from arro3.core import DataType

from flow_service_emulator.data.rows.columns import (
    MAX_POSITIONS,
    SMALL_POOL,
    Code,
    Column,
    Joined,
    Pooled,
    Position,
    ecid_code,
    hex_code,
    prefixed_code,
    referenced,
    uuid_code,
)
from flow_service_emulator.data.rows.draws import Dice, Stream, spread
from flow_service_emulator.data.rows.meanings import WORDS, email_part, fitting, own_values, words_of
from flow_service_emulator.data.rows.row_schema import Scalar
from flow_service_emulator.data.rows.schema_parts import ITEMS, SchemaError
from flow_service_emulator.data.rows.sources import Sources, arrow_type

_DEVICES: Final = 512
_REFERENCES: Final = 64
_OWN_OF_EVENT: Final = frozenset(
    ("id", "order", "transaction", "purchase", "payment", "event", "message", "invoice", "ticket", "interaction",
     "request", "merge")
)  # fmt: skip
"""What an event has an id of its own for; any other id in an event refers to one of a few things."""
_LENGTHS: Final = {"person.full": (6, 24), "person.email": (19, 48)}
"""The shortest and the longest that can come out: `Mei Li` and `mei.li1@example.com`."""
_MOST_BEFORE_DOMAIN: Final = 64  # RFC 5321, 4.5.3.1.1
_FIRST_NUMBER: Final = 100_000
_FEWEST_DIGITS: Final = 9
"""Ids that must be shorter than their usual form are numbers of at least so many digits."""


def person_column(sources: Sources, node: Scalar, meaning: str) -> Column:
    """The column of a person's `first`, `last` or `full` name, `gender`, `email` or `phone` (`person.email` and so on).

    Names, gender and address of a row agree. Raises SchemaError where an address does not fit the limits of length.
    """
    names = [(name, "female") for name in WORDS["female_names"]] + [(name, "male") for name in WORDS["male_names"]]
    first = _cycled(Dice(sources.seed, "people", "first").shuffled(names))
    last = _cycled(Dice(sources.seed, "people", "last").shuffled(WORDS["last_names"]))
    given = [name for name, _ in first]
    if meaning == "person.gender":
        return sources.of_person(sources.pool(node, [gender for _, gender in first], sources.people("first")))
    if meaning == "person.first":
        return sources.of_person(_fitted(sources, node, given, sources.people("first")))
    if meaning == "person.last":
        return sources.of_person(_fitted(sources, node, last, sources.people("last")))
    if meaning == "person.phone":
        phones = own_values("own.phone", Dice(sources.seed, "people", "phone"), 4 * SMALL_POOL)
        return sources.of_person(_fitted(sources, node, phones, sources.people("phone")))
    shortest, longest = _LENGTHS[meaning]
    if node.min_length > shortest or node.max_length < longest:
        return _short_text(sources, node, meaning)
    if meaning == "person.full":
        parts = [([name + " " for name in given], "first"), (last, "last")]
        return sources.of_person(Joined([sources.pool(node, part, sources.people(name)) for part, name in parts]))
    if meaning not in sources.columns:
        sources.columns[meaning] = sources.of_person(_email(sources, node, given, last))
    return sources.columns[meaning]


def _email(sources: Sources, node: Scalar, first: Sequence[str], last: Sequence[str]) -> Joined:
    """First and last name, the person's number, which makes it unique, and a reserved domain."""
    domains = ["@" + domain for domain in spread(WORDS["email_domains"], SMALL_POOL)]
    return Joined(
        [
            sources.pool(node, [email_part(name) + "." for name in first], sources.people("first")),
            sources.pool(node, [email_part(name) for name in last], sources.people("last")),
            Position(1, DataType.string()),
            sources.pool(node, domains, sources.people("domain")),
        ]
    )


def _short_text(sources: Sources, node: Scalar, meaning: str) -> Pooled:
    """Names or addresses that keep to the limits of length, at the price of not being unique."""
    dice = sources.dice(node.path)
    if meaning == "person.full":
        return sources.pool(node, fitting(spread(WORDS["last_names"], SMALL_POOL), node.min_length, node.max_length))
    domain = "@" + WORDS["email_domains"][0]
    room = max(node.min_length - len(domain), 1), min(node.max_length - len(domain), _MOST_BEFORE_DOMAIN)
    if room[0] > room[1]:
        raise SchemaError(node.path, "no e-mail address of this length can be made (13 to 76 characters)")
    names = fitting([f"{dice.one_of(WORDS['words'])}{dice.below(999)}" for _ in range(SMALL_POOL)], *room)
    return sources.pool(node, [name.replace(" ", "x") + domain for name in names])


def _fitted(sources: Sources, node: Scalar, values: Sequence[str], stream: Stream) -> Pooled:
    fit = fitting(values, node.min_length, node.max_length)
    return sources.pool(node, fit if len(fit) == len(values) else _cycled(fit, len(values)), stream)


def is_row_id(sources: Sources, node: Scalar) -> bool:
    """Whether every row has a number of its own here."""
    if node.path == ("_id",):
        return True
    names = words_of(node.path[-1])
    is_id = bool(names) and names[-1] in ("id", "key")
    return is_id and sources.kind == "profile" and node.high is None and ITEMS not in node.path


def number_id_column(node: Scalar) -> Position:
    """A number that is different in every row. Raises SchemaError where the limits leave too few of them."""
    step = int(node.step or 1)
    least = _FIRST_NUMBER if node.low is None else max(_FIRST_NUMBER, int(node.low) + 1)
    base = -(-least // step) * step
    if node.high is not None and base + MAX_POSITIONS * step >= int(node.high):
        raise SchemaError(node.path, "the limits leave too few different ids")
    return Position(base, arrow_type(node), step)


def id_column(sources: Sources, node: Scalar, name: str) -> Column:
    """The column of an id: of a `person`, an `ecid`, of a `device`, or the row's or another thing's `own`.

    It is different in every row of profiles; in events only where the event itself has it. Raises SchemaError where
    ids do not fit the limits of length.
    """
    if name in ("person", "ecid"):
        names = [part for part in node.path if part != ITEMS]
        whose = ["ecid"] if name == "ecid" else [word for part in names[-2:] for word in words_of(part)][-2:]
        return sources.of_person(_code(sources, node, Dice(sources.seed, "people", *whose), name))
    if name == "device":
        code = _code(sources, node, Dice(sources.seed, "devices", *words_of(node.path[-1])), name)
        if sources.kind == "profile":
            return code
        return referenced(code, _DEVICES, sources.stream((), "which device"), sources.millis)
    code = _code(sources, node, sources.dice(node.path), name)
    own_of_event = _OWN_OF_EVENT & set(words_of(node.path[-1])[:-1] or ["id"])
    if node.path == ("_id",) or sources.kind == "profile" or own_of_event:
        return code
    return referenced(code, _REFERENCES, sources.stream(node.path), sources.millis)


def _code(sources: Sources, node: Scalar, dice: Dice, name: str) -> Column:
    """Unique text that keeps to the limits of length."""
    code: Code
    if node.format == "uuid":
        code = uuid_code(dice)
    elif name == "ecid":
        code = ecid_code(dice)
    elif words_of(node.path[-1]) in (["id"], []):
        code = hex_code(dice)
    else:
        names = words_of(node.path[-1])
        code = prefixed_code(dice, "".join(names[:-1] or names)[:3].upper())
    if node.min_length <= code.width <= node.max_length:
        return code
    if node.format == "uuid" or node.max_length < _FEWEST_DIGITS:
        raise SchemaError(node.path, f"an id does not fit into {node.min_length} to {node.max_length} characters")
    digits = min(node.max_length, 18)
    number = Position(10 ** (digits - 1), DataType.string())
    if node.min_length <= digits:
        return number
    return Joined([sources.pool(node, ["0" * (node.min_length - digits)] * SMALL_POOL), number])


def _cycled(values: Sequence[Any], size: int = SMALL_POOL) -> list[Any]:
    return [values[place % len(values)] for place in range(size)]
