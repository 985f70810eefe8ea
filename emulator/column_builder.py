"""Which column fills which property of a dataset: the meeting of its schema with names, formats and limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import orjson

from emulator import vocabulary as words
from emulator.columns import (
    SMALL_POOL,
    Code,
    Column,
    Gappy,
    Joined,
    OneItem,
    Pooled,
    Position,
    Struct,
    Time,
    Window,
    ecid_code,
    hex_code,
    prefixed_code,
    referenced,
    uuid_code,
    values_of,
)
from emulator.draws import Dice, Stream, spread
from emulator.meanings import (
    email_part,
    entity_rows,
    fitting,
    number_entity,
    number_range,
    own_values,
    text_meaning,
    time_meaning,
    words_of,
)
from emulator.row_schema import (
    ITEMS,
    DatasetKind,
    List,
    Node,
    Object,
    Path,
    Scalar,
    SchemaError,
    allows,
    multiples,
    values_in,
)

if TYPE_CHECKING:
    from arro3.core import Array, DataType, Field

_DAY: Final = 86_400_000
_YEAR: Final = 365 * _DAY
_NUMBERS: Final = 4_096
_MOST_CHOICES: Final = 65_536
_LIST_VALUES: Final = 65_536
_DEVICES: Final = 512
_REFERENCES: Final = 64
_REACH: Final = {"later": (30, 90, 365), "earlier": (1, 30, 60), "long ago": (1_200, 2_000)}
"""How many days a time may lie from its row's, at most."""
_OWN_OF_EVENT: Final = frozenset(
    [
        "id",
        "order",
        "transaction",
        "purchase",
        "payment",
        "event",
        "message",
        "invoice",
        "ticket",
        "interaction",
        "request",
        "merge",
    ]
)
"""What an event has an id of its own for; any other id in an event refers to one of a few things."""


def arrow_type(node: Node) -> DataType:
    """The Arrow type of a property's column.

    `date-time` is a Timestamp in milliseconds, UTC, and `date` a Date32, which are written as ISO 8601 with `Z` in JSON;
    integers are Int64 and numbers Float64.
    """
    from arro3.core import DataType, Field

    if isinstance(node, Object):
        return DataType.struct([arrow_field(name, part) for name, part in node.fields])
    if isinstance(node, List):
        return DataType.list(Field("item", arrow_type(node.item), nullable=False))
    if node.type == "string":
        if node.format == "date-time" and not node.choices:
            return DataType.timestamp("ms", tz="UTC")
        return DataType.date32() if node.format == "date" and not node.choices else DataType.string()
    return {"integer": DataType.int64, "number": DataType.float64, "boolean": DataType.bool}[node.type]()


def arrow_field(name: str, node: Node) -> Field:
    """The field of a property; required ones cannot be null."""
    from arro3.core import Field

    return Field(name, arrow_type(node), nullable=node.optional)


class ColumnBuilder:
    """Builds the columns of one dataset.

    `owners` is how many people the rows of events refer to. People depend on `seed` alone: person number 17 has the
    same name, e-mail address and ids in every dataset, so that datasets can be joined. `anchor` (epoch milliseconds)
    is where times without a row stand near, `millis` gives the rows' times.
    """

    def __init__(
        self,
        *,
        seed: int,
        dataset_id: str,
        kind: DatasetKind,
        owners: int,
        anchor: int,
        millis: Callable[[Window], Array],
    ) -> None:
        self._seed = seed
        self._dataset = dataset_id
        self._kind = kind
        self._owners = owners
        self._anchor = anchor
        self._millis = millis
        self._streams: dict[tuple[str, ...], Stream] = {}

    def column(self, node: Node) -> Column:
        """The column of a property. Raises SchemaError where no values fit."""
        if isinstance(node, Object):
            fields = [arrow_field(name, part) for name, part in node.fields]
            return Struct([self.column(part) for _, part in node.fields], fields, self._missing(node))
        if isinstance(node, List):
            if node.min_items == node.max_items == 1:
                return OneItem(self.column(node.item), arrow_type(node), self._missing(node))
            return self._list(node)
        column = self._leaf(node)
        return self._with_gaps(node, column) if node.optional and not _always_there(node) else column

    # --- null

    def _missing(self, node: Object | List) -> Pooled | None:
        """Where an optional object is absent as a whole."""
        from arro3.core import Array, DataType

        if not node.optional or _always_there(node):
            return None
        dice = self._dice(node.path, "missing")
        share = 4 + dice.below(20)
        pool = Array([dice.chance(share) for _ in range(SMALL_POOL)], type=DataType.bool())
        return Pooled(pool, self._stream(node.path, "missing"))

    def _with_gaps(self, node: Node, column: Column) -> Column:
        from arro3.core import Array, DataType

        if isinstance(column, Pooled):
            return self._with_gaps_in_pool(node, column)
        gaps = Array(self._gaps(node, SMALL_POOL, lambda place: 0), type=DataType.int64())
        return Gappy(column, Pooled(gaps, self._stream(node.path, "gaps")))

    def _with_gaps_in_pool(self, node: Node, pooled: Pooled) -> Pooled:
        """The same pool with null at some places, which costs nothing when rows are made."""
        from arro3.compute import take
        from arro3.core import Array, DataType

        places = self._gaps(node, len(pooled.pool), lambda place: place)
        return Pooled(take(pooled.pool, Array(places, type=DataType.int64())), pooled.stream)

    def _gaps(self, node: Node, size: int, value: Callable[[int], int]) -> list[int | None]:
        dice = self._dice(node.path, "gaps")
        share = 4 + dice.below(24)
        return [None if dice.chance(share) else value(place) for place in range(size)]

    # --- lists

    def _list(self, node: List) -> Pooled:
        """Lists are taken from a pool of ready ones, since their lengths vary."""
        from arro3.core import Field, Schema
        from arro3.io import read_json

        dice = self._dice(node.path)
        size = max(8, min(SMALL_POOL, _LIST_VALUES // values_in(node)))
        samples: dict[Path, tuple[Sequence[Any], Stream]] = {}
        lines = [orjson.dumps({"list": self._items(node, dice, samples)}) for _ in range(size)]
        schema = Schema([Field("list", arrow_type(node), nullable=node.optional)])
        pool = read_json(b"\n".join(lines), schema).read_next_batch().column(0)
        pooled = Pooled(pool, self._stream(node.path))
        return self._with_gaps_in_pool(node, pooled) if node.optional else pooled

    def _items(self, node: List, dice: Dice, samples: dict[Path, tuple[Sequence[Any], Stream]]) -> list[Any]:
        count = node.min_items + dice.below(node.max_items - node.min_items + 1)
        if not node.unique:
            return [self._sample(node.item, dice, samples, {}) for _ in range(count)]
        found: dict[bytes, Any] = {}
        for _ in range(32 * count):
            item = self._sample(node.item, dice, samples, {})
            found.setdefault(orjson.dumps(item, option=orjson.OPT_SORT_KEYS), item)
            if len(found) == count:
                break
        if len(found) < node.min_items:
            raise SchemaError(node.path, f"cannot make {node.min_items} different items")
        return list(found.values())

    def _sample(
        self,
        node: Node,
        dice: Dice,
        samples: dict[Path, tuple[Sequence[Any], Stream]],
        picks: dict[Stream, int],
    ) -> Any:
        """One JSON value. `picks` holds what has been picked for one item, so that its properties agree."""
        if isinstance(node, List):
            return self._items(node, dice, samples)
        if isinstance(node, Object):
            present = [(name, part) for name, part in node.fields if not part.optional or not dice.chance(15)]
            return {name: self._sample(part, dice, samples, picks) for name, part in present}
        if node.path not in samples:
            samples[node.path] = self._sample_values(node)
        values, stream = samples[node.path]
        place = picks.setdefault(stream, dice.below(1 << 32))
        return values[place % len(values)]

    def _sample_values(self, node: Scalar) -> tuple[Sequence[Any], Stream]:
        if node.format == "date-time" and node.type == "string" and not node.choices:
            return self._instants(node), self._stream(node.path)
        if node.format == "date" and node.type == "string" and not node.choices:
            return [instant[:10] for instant in self._instants(node)], self._stream(node.path)
        column = self._leaf(node)
        stream = column.stream if isinstance(column, Pooled) else self._stream(node.path)
        return values_of(column, SMALL_POOL, self._millis), stream

    def _instants(self, node: Scalar) -> list[str]:
        """Times inside of lists, which know nothing of their row's: in the year before the anchor, or after it."""
        dice = self._dice(node.path)
        sign = 1 if time_meaning(node.path[:-1] if node.path[-1] == ITEMS else node.path) == "later" else -1
        start = datetime(1970, 1, 1, tzinfo=UTC)
        shifts = (sign * dice.below(_YEAR - _DAY) for _ in range(SMALL_POOL))
        moments = (start + timedelta(seconds=(self._anchor + shift) // 1000) for shift in shifts)
        return [moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in moments]

    # --- plain values

    def _leaf(self, node: Scalar) -> Column:
        if node.type == "string":
            if node.format in ("date-time", "date") and not node.choices:
                return self._time(node)
            meaning = text_meaning(node.path, node.format)
            if meaning == "person.gender" and {"female", "male"} <= set(node.choices):
                return self._person(node, meaning)
            if node.choices:
                return self._choice_of_entity(node, meaning) or self._choice(node, node.choices)
            return self._text(node, meaning)
        if node.choices:
            return self._choice(node, node.choices)
        if node.type == "boolean":
            dice = self._dice(node.path)
            share = 25 + dice.below(65)
            return self._pool(node, [dice.chance(share) for _ in range(SMALL_POOL)])
        return self._number(node)

    def _choice(self, node: Scalar, choices: Sequence[Any]) -> Pooled:
        size = SMALL_POOL if len(choices) <= SMALL_POOL else min(len(choices), _MOST_CHOICES)
        return self._pool(node, spread(choices, size))

    def _choice_of_entity(self, node: Scalar, meaning: str) -> Pooled | None:
        """An entity's field where all its values are among the choices: so a `desktop` is no phone."""
        if meaning.partition(".")[0] in ("own", "person", "id"):
            return None
        values = self._entity_values(meaning, node.path)
        if not set(values) <= set(node.choices):
            return None
        return self._pool(node, values, self._entity_stream(meaning, node.path))

    def _time(self, node: Scalar) -> Column:
        from arro3.compute import cast
        from arro3.core import Array, DataType

        type_, instant = arrow_type(node), DataType.timestamp("ms", tz="UTC")
        meaning = time_meaning(node.path)
        if meaning == "row":
            return Time(type_, instant)
        dice = self._dice(node.path)
        if meaning == "birth":
            days = Array([(dice.below(22_000) - 9_000) * _DAY for _ in range(_NUMBERS)], type=DataType.int64())
            return self._of_person(Pooled(cast(cast(days, instant), type_), self._people("birth")))
        reach = dice.one_of(_REACH[meaning]) * _DAY // 1000
        sign = 1000 if meaning == "later" else -1000
        shifts = Array([sign * dice.below(reach) for _ in range(SMALL_POOL)], type=DataType.int64())
        return Time(type_, instant, Pooled(shifts, self._stream(node.path)))

    def _number(self, node: Scalar) -> Column:
        if node.type == "integer" and self._is_row_id(node):
            from arro3.core import DataType

            return Position(100_000 if node.low is None else max(100_000, int(node.low) + 1), DataType.int64())
        entity = number_entity(node.path)
        if entity is not None:
            values = [float(value) for value in self._entity_values(entity, node.path)]
            if all(allows(node, Fraction(str(value))) for value in values):
                good = [int(value) if node.type == "integer" else value for value in values]
                if node.type == "number" or good == values:
                    return self._pool(node, good, self._entity_stream(entity, node.path))
        return self._pool(node, self._numbers(node))

    def _numbers(self, node: Scalar) -> list[float]:
        whole = node.type == "integer"
        usual = number_range(node.path, whole=whole)
        step = node.step or usual.step
        span = max(usual.high - usual.low, 1000 * step)
        low, high = node.low, node.high
        if low is None:
            low = usual.low if high is None or high > usual.low else high - span
        if high is None:
            high = usual.high if usual.high > low else low + span
        found = multiples(node, low, high, step)
        if not whole and node.step is None:
            while found.stop - found.start < 100 and low < high and step > Fraction(1, 10**9):
                step /= 10
                found = multiples(node, low, high, step)
        if not found and low == high:
            return [float(low)] * SMALL_POOL
        count = found.stop - found.start
        if count == 0:
            raise SchemaError(node.path, "no number with up to nine decimals lies between the limits")
        size = SMALL_POOL if count <= SMALL_POOL // 2 else _NUMBERS
        draws = memoryview(self._stream(node.path, "numbers").take(0, size, 4)).cast("I")
        picks = (
            ((draw**3 * count) >> 96 for draw in draws) if usual.skewed else ((draw * count) >> 32 for draw in draws)
        )
        up, down = step.numerator, step.denominator
        values: list[float] = [(found.start + pick) * up for pick in picks]
        return values if whole else [value / down for value in values]

    def _text(self, node: Scalar, meaning: str) -> Column:
        source, _, name = meaning.partition(".")
        if source == "id" or node.format == "uuid":
            return self._id(node, name)
        if meaning == "product.sku" and self._kind == "profile" and len(node.path) == 1:
            return self._id(node, "own")  # a row for each product
        if source == "person":
            return self._person(node, meaning)
        if source == "own":
            values = own_values(meaning, self._dice(node.path), SMALL_POOL)
            return self._pool(node, fitting(values, node.min_length, node.max_length))
        values = [str(value) for value in self._entity_values(meaning, node.path)]
        values = [value if node.min_length <= len(value) <= node.max_length else None for value in values]  # type: ignore[misc]
        if None in values:
            return self._text(node, "own.words")
        return self._pool(node, values, self._entity_stream(meaning, node.path))

    # --- entities

    def _entity_values(self, meaning: str, path: Path) -> list[Any]:
        """An entity's field in 256 rows; the same rows for every field of it in the same part of the schema."""
        entity, _, field = meaning.partition(".")
        dice = Dice(self._seed, self._dataset, entity, *_scope(entity, path))
        return [row[field] for row in spread(dice.shuffled(entity_rows(entity)), SMALL_POOL)]

    def _entity_stream(self, meaning: str, path: Path) -> Stream:
        entity = meaning.partition(".")[0]
        return self._stream(_scope(entity, path), "entity " + entity)

    # --- people and ids

    def _person(self, node: Scalar, meaning: str) -> Column:
        names = [(name, "female") for name in words.FEMALE_NAMES] + [(name, "male") for name in words.MALE_NAMES]
        first = _cycled(Dice(self._seed, "people", "first").shuffled(names))
        last = _cycled(Dice(self._seed, "people", "last").shuffled(words.LAST_NAMES))
        given = [name for name, _ in first]
        if meaning == "person.gender":
            return self._of_person(self._pool(node, [gender for _, gender in first], self._people("first")))
        if meaning == "person.first":
            return self._of_person(self._fitted(node, given, self._people("first")))
        if meaning == "person.last":
            return self._of_person(self._fitted(node, last, self._people("last")))
        if meaning == "person.phone":
            phones = own_values("own.phone", Dice(self._seed, "people", "phone"), 4 * SMALL_POOL)
            return self._of_person(self._fitted(node, phones, self._people("phone")))
        if meaning == "person.birth":
            return self._text(node, "own.words")
        if node.max_length < 64 or node.min_length > 8:
            return self._short_text_of_person(node, meaning)
        if meaning == "person.full":
            parts = [([name + " " for name in given], "first"), (last, "last")]
            return self._of_person(Joined([self._pool(node, part, self._people(name)) for part, name in parts]))
        return self._of_person(self._email(node, given, last))

    def _email(self, node: Scalar, first: Sequence[str], last: Sequence[str]) -> Joined:
        """First and last name, the person's number, which makes it unique, and a reserved domain."""
        from arro3.core import DataType

        domains = ["@" + domain for domain in spread(words.EMAIL_DOMAINS, SMALL_POOL)]
        return Joined(
            [
                self._pool(node, [email_part(name) + "." for name in first], self._people("first")),
                self._pool(node, [email_part(name) for name in last], self._people("last")),
                Position(1, DataType.string()),
                self._pool(node, domains, self._people("domain")),
            ]
        )

    def _short_text_of_person(self, node: Scalar, meaning: str) -> Pooled:
        """Names or addresses that keep to the limits of length, at the price of not being unique."""
        dice = self._dice(node.path)
        if meaning == "person.full":
            return self._pool(node, fitting(spread(words.LAST_NAMES, SMALL_POOL), node.min_length, node.max_length))
        if node.max_length < 14 or node.min_length > 64:
            raise SchemaError(node.path, "no e-mail address of this length can be made (14 to 64 characters)")
        room = max(node.min_length - 12, 1), node.max_length - 12
        names = fitting([f"{dice.one_of(words.WORDS)}{dice.below(999)}" for _ in range(SMALL_POOL)], *room)
        return self._pool(node, [name.replace(" ", "x") + "@example.com" for name in names])

    def _fitted(self, node: Scalar, values: Sequence[str], stream: Stream) -> Pooled:
        fit = fitting(values, node.min_length, node.max_length)
        return self._pool(node, fit if len(fit) == len(values) else _cycled(fit, len(values)), stream)

    def _of_person(self, column: Column) -> Column:
        """A column of people as the dataset has it: a row each in profiles, some people again and again in events."""
        if self._kind == "profile":
            return column
        return referenced(column, self._owners, self._stream((), "who"), self._millis)

    def _is_row_id(self, node: Scalar) -> bool:
        """Whether every row has an id of its own here."""
        if node.path == ("_id",):
            return True
        names = words_of(node.path[-1])
        return (
            self._kind == "profile"
            and bool(names)
            and names[-1] in ("id", "key")
            and node.high is None
            and ITEMS not in node.path
        )

    def _id(self, node: Scalar, name: str) -> Column:
        if name in ("person", "ecid"):
            names = [part for part in node.path if part != ITEMS]
            whose = ["ecid"] if name == "ecid" else [word for part in names[-2:] for word in words_of(part)][-2:]
            return self._of_person(self._code(node, Dice(self._seed, "people", *whose), name))
        if name == "device":
            code = self._code(node, Dice(self._seed, "devices", *words_of(node.path[-1])), name)
            if self._kind == "profile":
                return code
            return referenced(code, _DEVICES, self._stream((), "which device"), self._millis)
        code = self._code(node, self._dice(node.path), name)
        if (
            node.path == ("_id",)
            or self._kind == "profile"
            or _OWN_OF_EVENT & set(words_of(node.path[-1])[:-1] or ["id"])
        ):
            return code
        return referenced(code, _REFERENCES, self._stream(node.path), self._millis)

    def _code(self, node: Scalar, dice: Dice, name: str) -> Column:
        """Unique text that keeps to the limits of length."""
        from arro3.core import DataType

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
        if node.format == "uuid" or node.max_length < 9:
            raise SchemaError(node.path, f"an id does not fit into {node.min_length} to {node.max_length} characters")
        digits = min(node.max_length, 18)
        number = Position(10 ** (digits - 1), DataType.string())
        if node.min_length <= digits:
            return number
        return Joined([self._pool(node, ["0" * (node.min_length - digits)] * SMALL_POOL), number])

    # --- randomness

    def _pool(self, node: Scalar, values: Sequence[Any], stream: Stream | None = None) -> Pooled:
        from arro3.core import Array

        return Pooled(Array(list(values), type=arrow_type(node)), stream or self._stream(node.path))

    def _stream(self, path: Path, use: str = "values") -> Stream:
        return self._shared("dataset", self._dataset, use, *path)

    def _people(self, use: str) -> Stream:
        return self._shared("people", use)

    def _shared(self, *name: str) -> Stream:
        return self._streams.setdefault(name, Stream(self._seed, *name))

    def _dice(self, path: Path, use: str = "values") -> Dice:
        return Dice(self._seed, self._dataset, use, *path)


def _always_there(node: Node) -> bool:
    """Whether a property is never left out: what tells rows apart and what they are dated by."""
    if isinstance(node, Object):
        return any(_always_there(part) for _, part in node.fields)
    if isinstance(node, List) or node.choices:
        return False
    return node.path == ("_id",) or (node.format in ("date-time", "date") and time_meaning(node.path) == "row")


def _scope(entity: str, path: Path) -> Path:
    """The part of the schema that an entity belongs to: two addresses have a city each, but city and country agree."""
    if entity == "device":
        return ()
    names = [name for name in path[:-1] if not name.startswith("_")]
    return tuple(names[:1])


def _cycled(values: Sequence[Any], size: int = SMALL_POOL) -> list[Any]:
    return [values[place % len(values)] for place in range(size)]
