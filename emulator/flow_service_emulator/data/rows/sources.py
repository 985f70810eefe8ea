"""What columns are made with: Arrow types, seeded randomness by the property's place, and pools of values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from arro3.core import Array, DataType, Field

from flow_service_emulator.data.rows.columns import SMALL_POOL, Column, Pooled, Window, referenced
from flow_service_emulator.data.rows.draws import Dice, Stream, spread
from flow_service_emulator.data.rows.meanings import entity_values
from flow_service_emulator.data.rows.row_schema import DatasetKind, List, Map, Node, Object, Scalar
from flow_service_emulator.data.rows.schema_parts import Path


def arrow_type(node: Node) -> DataType:
    """The Arrow type of a property's column.

    As published for exported Parquet: `date-time` is a Timestamp in milliseconds, UTC, and `date` a Date32, which JSON shows as
    ISO 8601 with `Z`; integers have 8, 16, 32 or 64 bits, numbers are Float64.
    """
    if isinstance(node, Map) or (isinstance(node, Object) and node.is_map):
        value = node.value if isinstance(node, Map) else node.fields[0][1]
        key = Field("key", DataType.string(), nullable=False)
        return DataType.map(key, Field("value", arrow_type(value), nullable=True), False)
    if isinstance(node, Object):
        return DataType.struct([arrow_field(name, part) for name, part in node.fields])
    if isinstance(node, List):
        return DataType.list(Field("item", arrow_type(node.item), nullable=False))
    if node.is_time:
        return DataType.date32() if node.format == "date" else DataType.timestamp("ms", tz="UTC")
    if node.type == "string":
        return DataType.string()
    if node.type == "integer":
        return {8: DataType.int8, 16: DataType.int16, 32: DataType.int32, 64: DataType.int64}[node.bits]()
    return DataType.float64() if node.type == "number" else DataType.bool()


def arrow_field(name: str, node: Node) -> Field:
    """The field of a property; required ones cannot be null."""
    return Field(name, arrow_type(node), nullable=node.optional)


@dataclass(kw_only=True)
class Sources:
    """The randomness and the pools of one dataset.

    `owners` is how many people the rows of events refer to. People depend on `seed` alone: person number 17 has the
    same name, e-mail address and ids in every dataset, so that datasets can be joined. `anchor` (epoch milliseconds)
    is where times without a row stand near, `millis` gives the rows' times.
    """

    seed: int
    dataset_id: str
    kind: DatasetKind
    owners: int
    anchor: int
    millis: Callable[[Window], Array]
    columns: dict[str, Column] = field(default_factory=dict)
    """Columns of people that are the same wherever they are in a row."""
    _streams: dict[tuple[str, ...], Stream] = field(default_factory=dict)

    def pool(self, node: Scalar, values: Sequence[Any], stream: Stream | None = None) -> Pooled:
        """A column of these values at random; columns that share a stream and a size take the same place of theirs."""
        return Pooled(Array(list(values), type=arrow_type(node)), stream or self.stream(node.path))

    def stream(self, path: Path, use: str = "values") -> Stream:
        """The random bytes of a property, or of another use of it."""
        return self._shared("dataset", self.dataset_id, use, *path)

    def people(self, use: str) -> Stream:
        """The random bytes of people, which are the same in every dataset of a seed."""
        return self._shared("people", use)

    def _shared(self, *name: str) -> Stream:
        return self._streams.setdefault(name, Stream(self.seed, *name))

    def dice(self, path: Path, use: str = "values") -> Dice:
        """Random choices for a property, or for another use of it."""
        return Dice(self.seed, self.dataset_id, use, *path)

    def of_person(self, column: Column) -> Column:
        """A column of people as the dataset has it: a row each in profiles, some people again and again in events."""
        if self.kind == "profile":
            return column
        return referenced(column, self.owners, self.stream((), "who"), self.millis)

    def entity_values(self, meaning: str, path: Path) -> list[Any]:
        """An entity's field in 256 rows; the same rows for every field of it in the same part of the schema."""
        entity = meaning.partition(".")[0]
        dice = Dice(self.seed, self.dataset_id, entity, *_scope(entity, path))
        return spread(dice.shuffled(entity_values(meaning)), SMALL_POOL)

    def entity_stream(self, meaning: str, path: Path) -> Stream:
        """The random bytes by which an entity's row is picked."""
        entity = meaning.partition(".")[0]
        return self.stream(_scope(entity, path), "entity " + entity)


def _scope(entity: str, path: Path) -> Path:
    """The part of the schema that an entity belongs to: two addresses have a city each, but city and country agree."""
    if entity == "device":
        return ()
    names = [name for name in path[:-1] if not name.startswith("_")]
    return tuple(names[:1])
