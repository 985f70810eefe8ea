"""Columns of lists and maps. Their lengths vary, so they are taken from a pool of ready ones, made value by value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from arro3.core import Field, Schema
from arro3.io import read_json

from flow_service_emulator.data.rows.columns import SMALL_POOL, Column, Pooled, values_of
from flow_service_emulator.data.rows.draws import Dice, Stream
from flow_service_emulator.data.rows.meanings import WORDS, time_meaning
from flow_service_emulator.data.rows.row_schema import MAX_MAP_ENTRIES, List, Map, Node, Object, Scalar, values_in
from flow_service_emulator.data.rows.schema_parts import ITEMS, Path, SchemaError
from flow_service_emulator.data.rows.sources import Sources, arrow_type

_DAY: Final = 86_400_000
_REACH: Final = 364 * _DAY
_MOST_VALUES: Final = 65_536
"""How many plain values a pool may hold: pools of long lists have fewer lists."""
_MISSING_PERCENT: Final = 15
_NAMESPACES: Final = ("ECID", "Email", "CRMID")
"""What a map of identities has them by."""


class ListPools:
    """Make the columns of lists; `leaf` makes the column that a plain value is taken from."""

    def __init__(self, sources: Sources, leaf: Callable[[Scalar], Column]) -> None:
        self._sources = sources
        self._leaf = leaf
        self._samples: dict[Path, tuple[Sequence[Any], Stream]] = {}

    def column(self, node: List | Map) -> Pooled:
        """The column of a list or map, without null. Raises SchemaError where different items are asked for and run out."""
        dice = self._sources.dice(node.path)
        size = max(8, min(SMALL_POOL, _MOST_VALUES // max(1, values_in(node))))
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
            raise SchemaError(
                node.path,
                f"minItems {node.min_items} with uniqueItems, but there are only {len(found)} different items",
            )
        return list(found.values())

    def _sample(self, node: Node, dice: Dice, picks: dict[Stream, int]) -> Any:
        """One JSON value. `picks` holds what has been picked for one item, so that its properties agree."""
        if isinstance(node, List):
            return self._items(node, dice)
        if isinstance(node, Map):
            names = _NAMESPACES if node.path[-1].lower() == "identitymap" else WORDS["words"]
            chosen = dice.shuffled(names)[: 1 + dice.below(MAX_MAP_ENTRIES)]
            return {name: self._sample(node.value, dice, {}) for name in chosen}
        if isinstance(node, Object):
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
            instants = self._instants(node)
            values = instants if node.format == "date-time" else [instant[:10] for instant in instants]
            return values, self._sources.stream(node.path)
        column = self._leaf(node)
        stream = column.stream if isinstance(column, Pooled) else self._sources.stream(node.path)
        return values_of(column, SMALL_POOL, self._sources.millis), stream

    def _instants(self, node: Scalar) -> list[str]:
        """Times inside of lists, which know nothing of their row's: in the year before the anchor, or after it."""
        dice = self._sources.dice(node.path)
        sign = 1 if time_meaning(node.path[:-1] if node.path[-1] == ITEMS else node.path) == "later" else -1
        start = datetime(1970, 1, 1, tzinfo=UTC)
        shifts = (sign * dice.below(_REACH) for _ in range(SMALL_POOL))
        moments = (start + timedelta(seconds=(self._sources.anchor + shift) // 1000) for shift in shifts)
        return [moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in moments]
