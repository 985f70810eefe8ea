"""What the columns of one dataset are made of: seeded randomness by the property's place, pools of values, people and ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from arro3.compute import add, cast, div, mul, sub
from arro3.core import Array, DataType

from flow_service_emulator.data.rows import columns, meanings
from flow_service_emulator.data.rows.columns import SMALL_POOL, Code, Column, Pooled, Window
from flow_service_emulator.data.rows.meanings import WORDS, fitting, words_of
from flow_service_emulator.data.rows.row_schema import DatasetKind, Scalar
from flow_service_emulator.data.rows.schema_parts import ITEMS, Path, SchemaError
from flow_service_emulator.data.rows.seeded import Arrivals, Dice, Stream, spread

_DELAY_STEP: Final = 9
"""Milliseconds; a row's own time lies up to 65,535 times that (just under ten minutes) before its arrival."""
_MAX_OWNERS: Final = 4_096
"""How many people the rows of events refer to, at most."""
_DEVICES: Final = 512
_REFERENCES: Final = 64
_FIRST_NUMBER: Final = 100_000
_FEWEST_DIGITS: Final = 9
"""Ids that must be shorter than their usual form are numbers of at least so many digits."""


@dataclass
class Sources:
    """The randomness and the pools of one dataset.

    People depend on `seed` alone: person number 17 has the same name, e-mail address and ids in every dataset, so that
    datasets can be joined.
    """

    seed: int
    dataset_id: str
    kind: DatasetKind
    arrivals: Arrivals
    _streams: dict[tuple[str, ...], Stream] = field(default_factory=dict)
    _emails: Column | None = None
    """The same wherever they are in a row."""

    def pool(self, node: Scalar, values: Sequence[Any], stream: Stream | None = None) -> Pooled:
        """A column of these values at random; columns that share a stream and a size take the same place of theirs."""
        return Pooled(Array(list(values), type=columns.arrow_type(node)), stream or self.stream(node.path))

    def stream(self, path: Path, use: str = "values") -> Stream:
        """The random bytes of a property, or of another use of it."""
        return self.named("dataset", self.dataset_id, use, *path)

    def named(self, *name: str) -> Stream:
        """The random bytes of a name; those of `people` and a use are the same in every dataset of a seed."""
        return self._streams.setdefault(name, Stream(self.seed, *name))

    def dice(self, path: Path, use: str = "values") -> Dice:
        """Random choices for a property, or for another use of it."""
        return Dice(self.seed, self.dataset_id, use, *path)

    def times(self, window: Window) -> Array:
        """The times that rows stand for (epoch milliseconds): up to ten minutes before they arrive."""
        start, span, rest, among = map(columns.int64, self.arrivals.line(window.first))
        arrivals = add(div(add(mul(columns.ramp("q", window.count), span), rest), among), start)
        delays = Array.from_buffer(memoryview(self.stream((), "delay").take(window.first, window.count, 2)).cast("H"))
        return sub(arrivals, mul(cast(delays, DataType.int64()), columns.int64(_DELAY_STEP)))

    # --- people

    def of_person(self, column: Column) -> Column:
        """A column of people as the dataset has it: a row each in profiles, some people again and again in events."""
        owners = min(max(self.arrivals.rows // 8, 8), _MAX_OWNERS)
        return column if self.kind == "profile" else columns.referenced(column, owners, self.stream((), "who"))

    def person_column(self, node: Scalar, meaning: str) -> Column:
        """The column of a person's `first`, `last` or `full` name, `gender`, `email` or `phone` (`person.email` and so on).

        Names, gender and address of a row agree. An address has no limits of length.
        """
        names = [(name, "female") for name in WORDS["female_names"]] + [(name, "male") for name in WORDS["male_names"]]
        given = _cycled(Dice(self.seed, "people", "first").shuffled(names))
        first, gender = [name for name, _ in given], [gender for _, gender in given]
        last = _cycled(Dice(self.seed, "people", "last").shuffled(WORDS["last_names"]))

        def of(values: Sequence[str], use: str) -> Column:
            return self.pool(node, values, self.named("people", use))

        if meaning == "person.email":
            if self._emails is None:  # the person's number makes it unique
                parts = [
                    of([meanings.email_part(name) + "." for name in first], "first"),
                    of([meanings.email_part(name) for name in last], "last"),
                    columns.position(1, DataType.string()),
                    of(["@" + domain for domain in spread(WORDS["email_domains"], SMALL_POOL)], "domain"),
                ]
                email = columns.joined(parts)
                self._emails = self.of_person(lambda window: window.once(email))
            return self._emails
        if meaning == "person.full" and node.min_length <= 6 and node.max_length >= 24:  # `Mei Li` is the shortest
            return self.of_person(columns.joined([of([name + " " for name in first], "first"), of(last, "last")]))
        name = meaning.removeprefix("person.")
        if name == "phone":
            values = meanings.own_values("own.phone", Dice(self.seed, "people", "phone"), 4 * SMALL_POOL)
        else:
            values = {"first": first, "last": last, "full": last, "gender": gender}[name]
        fit = fitting(values, node.min_length, node.max_length)
        return self.of_person(of(_cycled(fit, len(values)), {"gender": "first", "full": "last"}.get(name, name)))

    # --- ids

    def number_id_column(self, node: Scalar) -> Column | None:
        """A number that is different in every row; None where rows have none, or limits leave no room for it."""
        names = words_of(node.path[-1])
        is_id = bool(names) and names[-1] in ("id", "key") and self.kind == "profile" and ITEMS not in node.path
        if node.high is not None or not (is_id or node.path == ("_id",)):
            return None
        step = int(node.step or 1)
        least = _FIRST_NUMBER if node.low is None else max(_FIRST_NUMBER, int(node.low) + 1)
        return columns.position(-(-least // step) * step, columns.arrow_type(node), step)

    def id_column(self, node: Scalar, name: str) -> Column:
        """The column of an id: of a `person`, an `ecid`, of a `device`, or the row's or another thing's `own`.

        It is different in every row of profiles; in events only where the event itself has it. Raises SchemaError where
        ids do not fit the limits of length.
        """
        last = words_of(node.path[-1])
        if name in ("person", "ecid"):
            names = [part for part in node.path if part != ITEMS]
            whose = ["ecid"] if name == "ecid" else [word for part in names[-2:] for word in words_of(part)][-2:]
            return self.of_person(self._code(node, Dice(self.seed, "people", *whose), name))
        if name == "device":
            code = self._code(node, Dice(self.seed, "devices", *last), name)
            return (
                code if self.kind == "profile" else columns.referenced(code, _DEVICES, self.stream((), "which device"))
            )
        code = self._code(node, self.dice(node.path), name)
        if node.path == ("_id",) or self.kind == "profile" or meanings.OWN_OF_EVENT & set(last[:-1] or ["id"]):
            return code
        return columns.referenced(code, _REFERENCES, self.stream(node.path))

    def _code(self, node: Scalar, dice: Dice, name: str) -> Column:
        """Unique text that keeps to the limits of length."""
        code = _usual_code(node, dice, name)
        if node.min_length <= code.width <= node.max_length:
            return code
        if node.format == "uuid" or node.max_length < _FEWEST_DIGITS:
            raise SchemaError(node.path, f"an id does not fit into {node.min_length} to {node.max_length} characters")
        digits = min(node.max_length, 18)
        number = columns.position(10 ** (digits - 1), DataType.string())
        if node.min_length <= digits:
            return number
        return columns.joined([self.pool(node, ["0" * (node.min_length - digits)] * SMALL_POOL), number])


def _usual_code(node: Scalar, dice: Dice, name: str) -> Code:
    """A UUID of version 4, an Experience Cloud ID (38 digits), 16 hexadecimal digits, or ten behind a prefix (`ORD-3A91C0D4E2`)."""
    below, words = dice.below, words_of(node.path[-1])
    if node.format == "uuid":
        return Code(
            dice,
            lambda n: f"{n:03x}{below(16):x}~-4{below(16**3):03x}-a{below(16**3):03x}-{below(16**12):012x}",
            lambda n: f"{n >> 16:04x}-{n & 0xFFFF:04x}",
            16**8,
        )
    if name == "ecid":
        return Code(dice, lambda n: f"{1000 + n}{below(10**6):06d}~{below(10**12):012d}", "{:016d}".format, 10**16)
    if words in (["id"], []):
        return Code(dice, lambda n: f"{n:03X}{below(16):X}~{below(16**4):04X}", "{:08X}".format, 16**8)
    prefix = "".join(words[:-1] or words)[:3].upper()
    return Code(dice, lambda n: f"{prefix}-{n >> 8:X}~{n & 0xFF:02X}", "{:07X}".format, 16**7)


def _cycled(values: Sequence[Any], size: int = SMALL_POOL) -> list[Any]:
    return [values[place % len(values)] for place in range(size)]
