"""Which column fills which property of a dataset: the meeting of its schema with names, formats and limits."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

from arro3.compute import cast, take
from arro3.core import Array, DataType

from flow_service_emulator.data.rows.columns import SMALL_POOL, Column, Gappy, MapOf, OneItem, Pooled, Struct, Time
from flow_service_emulator.data.rows.draws import spread
from flow_service_emulator.data.rows.identity_columns import id_column, is_row_id, number_id_column, person_column
from flow_service_emulator.data.rows.list_pools import ListPools
from flow_service_emulator.data.rows.meanings import (
    fitting,
    number_entity,
    number_range,
    own_values,
    text_meaning,
    time_meaning,
)
from flow_service_emulator.data.rows.row_schema import List, Map, Node, Object, Scalar, allows, multiples
from flow_service_emulator.data.rows.schema_parts import SchemaError
from flow_service_emulator.data.rows.sources import Sources, arrow_field, arrow_type

_DAY: Final = 86_400_000
_NUMBERS: Final = 4_096
_MOST_CHOICES: Final = 65_536
_REACH: Final = {"later": (30, 90, 365), "earlier": (1, 30, 60), "long ago": (1_200, 2_000)}
"""How many days a time may lie from its row's, at most."""


class ColumnBuilder:
    """Build the columns of one dataset from what `sources` offers."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._lists = ListPools(sources, self._leaf)

    def column(self, node: Node) -> Column:
        """The column of a property. Raises SchemaError where no values fit."""
        if isinstance(node, Object) and node.is_map:
            parts = [(name, self.column(part)) for name, part in node.fields]
            entries = MapOf([name for name, _ in parts], [part for _, part in parts], arrow_type(node))
            return self._with_missing(node, entries)
        if isinstance(node, Object):
            fields = [arrow_field(name, part) for name, part in node.fields]
            return Struct([self.column(part) for _, part in node.fields], fields, self._missing(node))
        if isinstance(node, List) and node.min_items == node.max_items == 1:
            return OneItem(self.column(node.item), arrow_type(node), self._missing(node))
        if isinstance(node, List | Map):
            column: Column = self._lists.column(node)
        else:
            column = self._leaf(node)
        return self._with_gaps(node, column) if node.optional and not _always_there(node) else column

    # --- null

    def _with_missing(self, node: Object, column: Column) -> Column:
        """A column with null where the object is absent as a whole, where that can be."""
        missing = self._missing(node)
        if missing is None:
            return column
        gaps = [None if absent else 0 for absent in missing.pool.to_pylist()]
        return Gappy(column, Pooled(Array(gaps, type=DataType.int64()), missing.stream))

    def _missing(self, node: Object | List) -> Pooled | None:
        """Where an optional object is absent as a whole."""
        if not node.optional or _always_there(node):
            return None
        dice = self._sources.dice(node.path, "missing")
        share = 4 + dice.below(20)
        pool = Array([dice.chance(share) for _ in range(SMALL_POOL)], type=DataType.bool())
        return Pooled(pool, self._sources.stream(node.path, "missing"))

    def _with_gaps(self, node: Node, column: Column) -> Column:
        """A column with null in some rows. In a pool, that costs nothing when rows are made."""
        dice = self._sources.dice(node.path, "gaps")
        share = 4 + dice.below(24)
        if isinstance(column, Pooled):
            places = [None if dice.chance(share) else place for place in range(len(column.pool))]
            return Pooled(take(column.pool, Array(places, type=DataType.int64())), column.stream)
        gaps = Array([None if dice.chance(share) else 0 for _ in range(SMALL_POOL)], type=DataType.int64())
        return Gappy(column, Pooled(gaps, self._sources.stream(node.path, "gaps")))

    # --- plain values

    def _leaf(self, node: Scalar) -> Column:
        if node.type == "string":
            if node.is_time:
                return self._time(node)
            meaning = text_meaning(node.path, node.format)
            if meaning == "person.gender" and {"female", "male"} <= set(node.choices):
                return person_column(self._sources, node, meaning)
            if node.choices:
                return self._choice_of_entity(node, meaning) or self._choice(node, node.choices)
            return self._text(node, meaning)
        if node.choices:
            return self._choice(node, node.choices)
        if node.type == "boolean":
            dice = self._sources.dice(node.path)
            share = 25 + dice.below(65)
            return self._sources.pool(node, [dice.chance(share) for _ in range(SMALL_POOL)])
        return self._number(node)

    def _choice(self, node: Scalar, choices: Sequence[Any]) -> Pooled:
        size = SMALL_POOL if len(choices) <= SMALL_POOL else min(len(choices), _MOST_CHOICES)
        return self._sources.pool(node, spread(choices, size))

    def _choice_of_entity(self, node: Scalar, meaning: str) -> Pooled | None:
        """An entity's field where all its values are among the choices: so a `desktop` is no phone."""
        if meaning.partition(".")[0] in ("own", "person", "id"):
            return None
        values = self._sources.entity_values(meaning, node.path)
        if not set(values) <= set(node.choices):
            return None
        return self._sources.pool(node, values, self._sources.entity_stream(meaning, node.path))

    def _time(self, node: Scalar) -> Column:
        type_, instant = arrow_type(node), DataType.timestamp("ms", tz="UTC")
        meaning = time_meaning(node.path)
        if meaning == "row":
            return Time(type_, instant)
        dice = self._sources.dice(node.path)
        if meaning == "birth":
            days = Array([(dice.below(22_000) - 9_000) * _DAY for _ in range(_NUMBERS)], type=DataType.int64())
            return self._sources.of_person(Pooled(cast(cast(days, instant), type_), self._sources.people("birth")))
        reach = dice.one_of(_REACH[meaning]) * _DAY // 1000
        sign = 1000 if meaning == "later" else -1000
        shifts = Array([sign * dice.below(reach) for _ in range(SMALL_POOL)], type=DataType.int64())
        return Time(type_, instant, Pooled(shifts, self._sources.stream(node.path)))

    def _number(self, node: Scalar) -> Column:
        if node.type == "integer" and is_row_id(self._sources, node):
            return number_id_column(node)
        entity = number_entity(node.path)
        if entity is not None:
            values = [float(value) for value in self._sources.entity_values(entity, node.path)]
            if all(allows(node, Fraction(str(value))) for value in values):
                good = [int(value) if node.type == "integer" else value for value in values]
                if node.type == "number" or good == values:
                    return self._sources.pool(node, good, self._sources.entity_stream(entity, node.path))
        return self._sources.pool(node, self._numbers(node))

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
        if whole:
            low, high = max(low, Fraction(-(2 ** (node.bits - 1)))), min(high, Fraction(2 ** (node.bits - 1) - 1))
        found = multiples(low, high, step)
        if not whole and node.step is None:
            while found.stop - found.start < 100 and low < high and step > Fraction(1, 10**9):
                step /= 10
                found = multiples(low, high, step)
        if not found and low == high:
            return [float(low)] * SMALL_POOL
        count = found.stop - found.start
        if count == 0:
            raise SchemaError(node.path, "no number with up to nine decimals lies between the limits")
        size = SMALL_POOL if count <= SMALL_POOL // 2 else _NUMBERS
        draws = memoryview(self._sources.stream(node.path, "numbers").take(0, size, 4)).cast("I")
        picks = (
            ((draw**3 * count) >> 96 for draw in draws) if usual.skewed else ((draw * count) >> 32 for draw in draws)
        )
        up, down = step.numerator, step.denominator
        values: list[float] = [(found.start + pick) * up for pick in picks]
        return values if whole else [value / down for value in values]

    def _text(self, node: Scalar, meaning: str) -> Column:
        source, _, name = meaning.partition(".")
        if source == "id" or node.format == "uuid":
            return id_column(self._sources, node, name)
        if meaning == "product.sku" and self._sources.kind == "profile" and len(node.path) == 1:
            return id_column(self._sources, node, "own")  # a row for each product
        if source == "person":
            return person_column(self._sources, node, meaning)
        if source != "own":
            values = [str(value) for value in self._sources.entity_values(meaning, node.path)]
            if all(node.min_length <= len(value) <= node.max_length for value in values):
                return self._sources.pool(node, values, self._sources.entity_stream(meaning, node.path))
            if not node.format:
                return self._text(node, "own.words")
        else:
            values = own_values(meaning, self._sources.dice(node.path), SMALL_POOL)
        fit = fitting(values, node.min_length, node.max_length)
        if node.format and fit[0] not in values:
            reason = f"no {node.format} of {node.min_length} to {node.max_length} characters can be made"
            raise SchemaError(node.path, reason)
        return self._sources.pool(node, fit)


def _always_there(node: Node) -> bool:
    """Whether a property is never left out: what tells rows apart and what they are dated by."""
    if isinstance(node, Object):
        return any(_always_there(part) for _, part in node.fields)
    if isinstance(node, List | Map) or node.choices:
        return False
    return node.path == ("_id",) or (node.format in ("date-time", "date") and time_meaning(node.path) == "row")
