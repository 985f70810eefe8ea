"""A dataset: what it is called, what it has in it, and the positions at which its rows are exported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from flow_service_emulator.data.datasets.content import Found
from flow_service_emulator.data.datasets.tables import digest, json_schema_of, repeated
from flow_service_emulator.data.rows.seeded import Arrivals

if TYPE_CHECKING:
    from arro3.core import RecordBatch, Schema, Table

    from flow_service_emulator.data.rows.generated import GeneratedRows

_STORED: Final = ("name", "origin", "rows", "rows_per_hour", "grown", "anchor", "base", "schema", "digest")
_OWNERS: Final = {"fixtures": "a dataset of the fixtures", "call": "a dataset that was put"}


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset and its rows. They are in `table`, or are made up after the JSON Schema `schema`.

    It was given with `rows` rows. At `anchor` (epoch seconds) there are these and `grown` more, and from then on it grows by
    `rows_per_hour`. Where these are a user's own, the added ones repeat the others in turn; `digest` is that of the others.

    `base` is the position of the first row. Positions are never given to other rows: what takes the place of a dataset whose
    positions have been counted up to `base` begins there, and whoever has exported it up to there gets all of the new rows and
    none of the old.
    """

    id: str
    name: str
    origin: Literal["fixtures", "call", "file", "deleted"]
    rows: int
    rows_per_hour: float = 0
    grown: int = 0
    anchor: float = 0
    base: int = 0
    schema: dict[str, Any] | None = None
    digest: str = ""
    seed: int = 0
    """Decides every value that is made up."""
    file: str | None = None
    body: dict[str, Any] | None = field(default=None, repr=False)
    """As an item of `/configs`, where the fixtures say it."""
    table: Table | None = field(default=None, repr=False)

    @classmethod
    def own(cls, id: str, name: str, origin: Literal["call", "file"], found: Found, **more: Any) -> Dataset:
        """A dataset of rows that were found."""
        rows, last = found.table.num_rows, found.facts["digests"][-1]
        return cls(id=id, name=name, origin=origin, rows=rows, digest=last, table=found.table, **more)

    def stored(self) -> dict[str, Any]:
        """What the store has of it; its rows are apart."""
        return {name: getattr(self, name) for name in _STORED}

    @property
    def owner(self) -> str:
        """In words, whose the id is."""
        return _OWNERS.get(self.origin, f"the file {self.file}")

    def facts(self, now: float) -> dict[str, Any]:
        """What there is to tell of it at an instant (epoch seconds)."""
        names = {"id": self.id, "name": self.name, "origin": self.origin}
        told = names | {"rows": self.rows_at(now), "rowsPerHour": self.rows_per_hour}
        return told if self.file is None else told | {"file": self.file}

    def following(self, old: Dataset | None, found: Found | None, now: float) -> Dataset:
        """This dataset, whose own rows were `found`, in the place of another of its id.

        - If the old rows come first, unchanged, just further ones are new. That goes for rows made after the same schema, too, if
          there are no fewer than now (the times of the old ones move, as they are spread over the year before `now`).
        - If just its name or `rows_per_hour` is another, nothing is new, and it grows otherwise from now on.
        - Else all of its rows are new; so they are where the old ones have grown by being repeated in the meantime.
        """
        if old is None:
            return self
        there = old.rows_at(now)
        begins = self.schema == old.schema
        if found is not None:
            begins = begins and (old.digest == self.digest or old.digest == _digest_of(found, old.rows))
        same = begins and (self.rows, self.digest) == (old.rows, old.digest)
        if same and self.rows_per_hour == old.rows_per_hour:
            return replace(self, base=old.base, grown=old.grown, anchor=old.anchor)
        if same:
            return replace(self, base=old.base, grown=there - old.rows)
        lengthened = begins and there <= (old.rows if self.schema is None else self.rows)
        return replace(self, base=old.base if lengthened else old.base + there)

    def deleted(self, now: float) -> Dataset:
        """What is left of it for a later one of its id: up to where its positions went."""
        base = self.base + self.rows_at(now)
        return Dataset(id=self.id, name=self.name, origin="deleted", rows=0, base=base)

    # --- rows -----------------------------------------------------------------------------------------------------

    def rows_at(self, at: float) -> int:
        """How many rows it has at an instant (epoch seconds). A user's own are there from the beginning."""
        return self._arrivals.count_at(max(at, self.anchor) if self.schema is None else at)

    def count_at(self, at: float) -> int:
        """The end of the range of positions that is there at an instant (epoch seconds)."""
        return self.base + self.rows_at(at)

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """The rows of the positions from `first` up to but not including `end`, in order, in bounded batches."""
        first, end = first - self.base, end - self.base
        return self._made.batches(first, end) if self.table is None else repeated(self.table, first, end)

    @cached_property
    def arrow_schema(self) -> Schema:
        """The schema of every batch. Its timestamps are in UTC."""
        return self._made.arrow_schema if self.table is None else self.table.schema

    def json_schema(self, *, all_required: bool = False) -> dict[str, Any]:
        """The JSON Schema of its rows; where it is told by the rows, `all_required` may say that no field is ever missing."""
        return json_schema_of(self.arrow_schema, all_required) if self.schema is None else self.schema

    @cached_property
    def _arrivals(self) -> Arrivals:
        return Arrivals(self.rows + self.grown, self.rows_per_hour, self.anchor)

    @cached_property
    def _made(self) -> GeneratedRows:
        """Made-up rows. Raises SchemaError for a schema that they cannot be made from."""
        from flow_service_emulator.data.rows.generated import GeneratedRows  # only an export needs it

        assert self.schema is not None, "rows of its own are in a table"
        return GeneratedRows(self.schema, self._arrivals, seed=self.seed, dataset_id=self.id)


def _digest_of(found: Found, rows: int) -> str:
    """The digest of the first rows that were found; "" where there are not so many."""
    for batch, before in zip(found.table.to_batches(), found.facts["digests"], strict=False):
        if rows <= batch.num_rows:
            return digest(batch.slice(0, rows), before)
        rows -= batch.num_rows
    return ""
