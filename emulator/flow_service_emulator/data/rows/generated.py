"""Made-up rows, and which column fills which property of them: the meeting of a schema with names, formats and limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final

import orjson
from arro3.compute import add, cast, take
from arro3.core import Array, DataType, Field, RecordBatch, Schema
from arro3.io import read_json

from flow_service_emulator.data.rows import columns, meanings, row_schema
from flow_service_emulator.data.rows.columns import SMALL_POOL, Column, Pooled, Window, arrow_type
from flow_service_emulator.data.rows.row_schema import List, Map, Node, Object, Scalar, parse_row_schema
from flow_service_emulator.data.rows.schema_parts import ITEMS, Path, SchemaError
from flow_service_emulator.data.rows.seeded import Arrivals, Dice, Stream, spread
from flow_service_emulator.data.rows.sources import Sources

BATCH_ROWS: Final = 16_384
"""The most rows in one batch: a few megabytes, and a few milliseconds of work."""
_DAY: Final = 86_400_000
_NUMBERS: Final = 4_096
_MOST_VALUES: Final = 65_536
"""How many plain values a pool may hold: pools of long lists have fewer lists."""
_REACH: Final = {"later": (30, 90, 365), "earlier": (1, 30, 60), "long ago": (1_200, 2_000)}
"""How many days a time may lie from its row's, at most."""
_REACH_IN_LISTS: Final = 364 * _DAY
_MISSING_PERCENT: Final = 15
_NAMESPACES: Final = ("ECID", "Email", "CRMID")
"""What a map of identities has them by."""


class GeneratedRows:
    """Made-up rows after a JSON Schema (draft 7), the same ones for the same arguments on every machine.

    `x-kind` in the schema says whether the rows are people (`profile`: a row each) or events (`event`: many rows refer
    to the same people, some more often than others). People depend on `seed` alone, so that the datasets of one seed
    can be joined by e-mail address or person id. Raises SchemaError, which is a ValueError, for a schema that rows
    cannot be made from. May be used from several threads at once.
    """

    def __init__(self, schema: Mapping[str, Any], arrivals: Arrivals, *, seed: int, dataset_id: str) -> None:
        root, kind = parse_row_schema(schema)
        builder = ColumnBuilder(Sources(seed, dataset_id, kind, arrivals))
        self._arrivals = arrivals
        self._columns = [builder.column(node) for _, node in root.fields]
        self.arrow_schema = Schema([columns.arrow_field(name, node) for name, node in root.fields])

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """The rows of the positions from `first` up to but not including `end`, in order, in bounded batches.

        The content of a row does not depend on the range.
        """
        while first < end:
            bound = self._arrivals.rows if first < self._arrivals.rows else end
            window = Window(first, min(BATCH_ROWS, end - first, bound - first))
            yield RecordBatch.from_arrays([column(window) for column in self._columns], schema=self.arrow_schema)
            first += window.count


class ColumnBuilder:
    """Build the columns of one dataset from what `sources` offers."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._samples: dict[Path, tuple[Sequence[Any], Stream]] = {}

    def column(self, node: Node, owner: Node | None = None) -> Column:
        """The column of a property, null where its `owner` (itself, or the list whose only item it is) is absent.

        Raises SchemaError where no values fit.
        """
        owner = owner or node
        if isinstance(node, Object):
            fields = [columns.arrow_field(name, part) for name, part in node.fields]
            return columns.struct([self.column(part) for _, part in node.fields], fields, self._gaps(owner))
        if isinstance(node, List) and node.is_single:
            return columns.one_item(self.column(node.item), arrow_type(node), self._gaps(owner))
        if isinstance(node, Scalar):
            column = self._leaf(node)
        else:
            column = self._map(node) if isinstance(node, Map) and node.fields else self._ready(node)
        if not isinstance(column, Pooled):
            gaps = self._gaps(owner)
            return column if gaps is None else columns.gappy(column, gaps)
        size = len(column.pool)
        gaps = self._gaps(owner, size)  # in a pool, they cost nothing when rows are made
        places = None if gaps is None else add(columns.ramp("q", size), gaps.pool)
        return column if places is None else Pooled(take(column.pool, places), column.stream)

    def _gaps(self, node: Node, size: int = SMALL_POOL) -> Pooled | None:
        """Where an optional property is null: a column of 0 and null."""
        if not node.optional or _always_there(node):
            return None
        whole = isinstance(node, Object) or (
            node.is_single if isinstance(node, List) else isinstance(node, Map) and node.fields
        )
        use, most = ("missing", 20) if whole else ("gaps", 24)
        dice = self._sources.dice(node.path, use)
        share = 4 + dice.below(most)
        pool = Array([None if dice.chance(share) else 0 for _ in range(size)], type=DataType.int64())
        return Pooled(pool, self._sources.stream(node.path, use))

    def _map(self, node: Map) -> Column:
        """Maps of known names."""
        items = {name: part.item for name, part in node.fields if isinstance(part, List) and part.is_single}
        listed = len(items) == len(node.fields)
        values = {name: self.column(items[name] if listed else part, part) for name, part in node.fields}
        return columns.map_of(values, arrow_type(node), arrow_type(node.value), listed=listed)

    # --- plain values

    def _leaf(self, node: Scalar) -> Column:
        if node.is_time:
            return self._time(node)
        of_text = node.type == "string"
        meaning = meanings.text_meaning(node.path, node.format) if of_text else meanings.number_meaning(node.path)
        if meaning == "person.gender" and {"female", "male"} <= set(node.choices):
            return self._sources.person_column(node, meaning)
        if node.choices:
            size = max(SMALL_POOL, min(len(node.choices), _MOST_VALUES))
            return self._of_entity(node, meaning) or self._sources.pool(node, spread(node.choices, size))
        if of_text:
            return self._text(node, meaning)
        if node.type == "boolean":
            dice = self._sources.dice(node.path)
            share = 25 + dice.below(65)
            return self._sources.pool(node, [dice.chance(share) for _ in range(SMALL_POOL)])
        ids = self._sources.number_id_column(node) if node.type == "integer" else None
        return ids or self._of_entity(node, meaning) or self._sources.pool(node, self._numbers(node))

    def _of_entity(self, node: Scalar, meaning: str) -> Pooled | None:
        """An entity's field where all its values fit, so that a `desktop` is no phone.

        There are 256 rows of it, the same ones for every field in the same part of the schema: two addresses have a city each, but
        city and country agree.
        """
        entity = meaning.partition(".")[0]
        values = meanings.entity_values(meaning)
        if not values or len(row_schema.possible(node, values)) < len(values):
            return None
        names = [] if entity == "device" else [name for name in node.path[:-1] if not name.startswith("_")]
        part = tuple(names[:1])
        rows = spread(self._sources.dice(part, entity).shuffled(values), SMALL_POOL)
        if node.type != "string":
            rows = [int(value) if node.type == "integer" else float(value) for value in rows]
        return self._sources.pool(node, rows, self._sources.stream(part, "entity " + entity))

    def _time(self, node: Scalar) -> Column:
        type_ = arrow_type(node)
        meaning = meanings.time_meaning(node.path)
        if meaning == "row":
            return columns.time(self._sources.times, type_)
        dice = self._sources.dice(node.path)
        if meaning == "birth":
            days = Array([dice.below(22_000) - 9_000 for _ in range(_NUMBERS)], type=DataType.int32())
            births = cast(cast(days, DataType.date32()), type_)
            return self._sources.of_person(Pooled(births, self._sources.named("people", "birth")))
        reach = dice.one_of(_REACH[meaning]) * _DAY // 1000
        sign = 1000 if meaning == "later" else -1000
        shifts = Array([sign * dice.below(reach) for _ in range(SMALL_POOL)], type=DataType.int64())
        return columns.time(self._sources.times, type_, Pooled(shifts, self._sources.stream(node.path)))

    def _numbers(self, node: Scalar) -> list[float]:
        whole = node.type == "integer"
        usual = meanings.number_range(node.path, whole=whole)
        step = node.step or usual.step
        span = max(usual.high - usual.low, 1000 * step)
        low, high = node.low, node.high
        if low is None:
            low = usual.low if high is None or high > usual.low else high - span
        if high is None:
            high = usual.high if usual.high > low else low + span
        if whole:
            low, high = max(low, Fraction(-(2 ** (node.bits - 1)))), min(high, Fraction(2 ** (node.bits - 1) - 1))
        first, count = row_schema.multiples(low, high, step)
        while not whole and node.step is None and count < 100 and low < high and step > Fraction(1, 10**9):
            step /= 10
            first, count = row_schema.multiples(low, high, step)
        if count == 0 and low == high:
            return [float(low)] * SMALL_POOL
        if count == 0:
            raise SchemaError(node.path, "no number with up to nine decimals lies between the limits")
        size = SMALL_POOL if count <= SMALL_POOL // 2 else _NUMBERS
        draws = memoryview(self._sources.stream(node.path, "numbers").take(0, size, 4)).cast("I")
        picks = [(draw**3 * count) >> 96 if usual.skewed else (draw * count) >> 32 for draw in draws]
        values: list[float] = [(first + pick) * step.numerator for pick in picks]
        return values if whole else [value / step.denominator for value in values]

    def _text(self, node: Scalar, meaning: str) -> Column:
        limited = node.min_length > 19 or node.max_length < 48  # `mei.li1@example.com` is the shortest
        if meaning == "person.email" and limited:
            meaning = "own.email"
        source, _, name = meaning.partition(".")
        if source == "id" or node.format == "uuid":
            return self._sources.id_column(node, name)
        if meaning == "product.sku" and self._sources.kind == "profile" and len(node.path) == 1:
            return self._sources.id_column(node, "own")  # a row for each product
        if source == "person":
            return self._sources.person_column(node, meaning)
        if of_entity := self._of_entity(node, meaning):
            return of_entity
        values = meanings.entity_values(meaning) if node.format else []
        if not values:
            dice = self._sources.dice(node.path)
            values = meanings.own_values(meaning if source == "own" else "own.words", dice, SMALL_POOL)
        fit = meanings.fitting(values, node.min_length, node.max_length)
        if node.format and fit[0] not in values:
            reason = f"no {node.format} of {node.min_length} to {node.max_length} characters can be made"
            raise SchemaError(node.path, reason)
        return self._sources.pool(node, fit)

    # --- lists and maps: their lengths vary, so they are taken from a pool of ready ones, made value by value

    def _ready(self, node: List | Map) -> Pooled:
        """Ready lists or maps. Raises SchemaError where different items are asked for and run out."""
        dice = self._sources.dice(node.path)
        size = max(8, min(SMALL_POOL, _MOST_VALUES // max(1, row_schema.values_in(node))))
        lines = [orjson.dumps({"list": self._sample(node, dice, {})}) for _ in range(size)]
        schema = Schema([Field("list", arrow_type(node), nullable=False)])
        pool = read_json(b"\n".join(lines), schema).read_next_batch().column(0)
        return Pooled(pool, self._sources.stream(node.path))

    def _items(self, node: List, dice: Dice) -> list[Any]:
        count = node.min_items + dice.below(node.max_items - node.min_items + 1)
        if not node.unique:
            return [self._sample(node.item, dice, {}) for _ in range(count)]
        found: dict[bytes, Any] = {}
        for _ in range(32 * count):
            item = self._sample(node.item, dice, {})
            found.setdefault(orjson.dumps(item, option=orjson.OPT_SORT_KEYS), item)
            if len(found) == count:
                break
        if len(found) < node.min_items:
            reason = f"minItems {node.min_items} with uniqueItems, but there are only {len(found)} different items"
            raise SchemaError(node.path, reason)
        return list(found.values())

    def _sample(self, node: Node, dice: Dice, picks: dict[Stream, int]) -> Any:
        """One JSON value. `picks` holds what has been picked for one item, so that its properties agree."""
        if isinstance(node, List):
            return self._items(node, dice)
        if isinstance(node, Map) and not node.fields:
            names = _NAMESPACES if node.path[-1].lower() == "identitymap" else meanings.WORDS["words"]
            chosen = dice.shuffled(names)[: 1 + dice.below(row_schema.MAX_MAP_ENTRIES)]
            return {name: self._sample(node.value, dice, {}) for name in chosen}
        if isinstance(node, Object | Map):
            present = [
                (name, part) for name, part in node.fields if not part.optional or not dice.chance(_MISSING_PERCENT)
            ]
            return {name: self._sample(part, dice, picks) for name, part in present}
        if node.path not in self._samples:
            self._samples[node.path] = self._sample_values(node)
        values, stream = self._samples[node.path]
        place = picks.setdefault(stream, dice.below(1 << 32))
        return values[place % len(values)]

    def _sample_values(self, node: Scalar) -> tuple[Sequence[Any], Stream]:
        if node.is_time:
            return self._instants(node), self._sources.stream(node.path)
        column = self._leaf(node)
        stream = column.stream if isinstance(column, Pooled) else self._sources.stream(node.path)
        return columns.values_of(column), stream

    def _instants(self, node: Scalar) -> list[str]:
        """Times inside of lists, which know nothing of their row's: in the year before the anchor, or after it."""
        dice = self._sources.dice(node.path)
        sign = 1 if meanings.time_meaning(node.path[:-1] if node.path[-1] == ITEMS else node.path) == "later" else -1
        shifts = (sign * dice.below(_REACH_IN_LISTS) for _ in range(SMALL_POOL))
        moments = (
            datetime.fromtimestamp((self._sources.arrivals.anchor_millis + shift) // 1000, UTC) for shift in shifts
        )
        return [f"{moment:%Y-%m-%dT%H:%M:%SZ}"[: 10 if node.format == "date" else None] for moment in moments]


def _always_there(node: Node) -> bool:
    """Whether a property is never left out: what tells rows apart and what they are dated by."""
    if isinstance(node, Object):
        return any(_always_there(part) for _, part in node.fields)
    if isinstance(node, List | Map) or node.choices:
        return False
    return node.path == ("_id",) or (node.is_time and meanings.time_meaning(node.path) == "row")
