"""Records and files as rows: what goes in comes out, from whatever position, and what is new is told from what was there."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flow_service_emulator.datasets.content
import flow_service_emulator.datasets.record_files
import flow_service_emulator.datasets.record_rows
from flow_service_emulator.datasets.arrow_json_schema import json_schema_of
from flow_service_emulator.datasets.bounds import TooMuch, text_memory
from flow_service_emulator.datasets.content import KeptTexts, difference, read_records, with_further
from flow_service_emulator.datasets.panics import FileFault
from flow_service_emulator.datasets.parquet_rows import Mark
from flow_service_emulator.datasets.record_files import read_file
from flow_service_emulator.datasets.record_rows import (
    RecordRows,
    Relocated,
    decoded_texts,
    record_texts,
    shape_of_texts,
)
from flow_service_emulator.rows.row_schema import parse_row_schema
from flow_service_emulator.rows.seeded import RowSource
from flow_service_emulator.store.changes import encoded_meta

NAMES = st.sampled_from(["a", "b", "é", "x.y", " ", "[]"])
PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "text": st.text(max_size=5),
    "whole": st.integers(-(2**63), 2**63 - 1),
    "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
    "truth": st.booleans(),
}
SHAPES = st.recursive(
    st.sampled_from(sorted(PLAIN)),
    lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4) | st.lists(inner, min_size=1, max_size=1),
    max_leaves=8,
)
RECORD_SHAPES = st.dictionaries(NAMES, SHAPES, min_size=1, max_size=4)


def values(shape: Any) -> st.SearchStrategy[Any]:
    """Values of a shape, and nulls, and objects without some of their fields."""
    if isinstance(shape, str):
        return st.none() | PLAIN[shape]
    if isinstance(shape, list):
        return st.none() | st.lists(values(shape[0]), max_size=3)
    return st.none() | objects(shape)


def objects(shape: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: values(part) for name, part in shape.items()})


def without_nulls(value: Any) -> Any:
    """As rows come out: fields that are null are left out, nulls within arrays stay."""
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {name: without_nulls(part) for name, part in value.items() if part is not None}
    return value


def full(shape: Any) -> Any:
    """A value that has everything that a shape has."""
    if isinstance(shape, str):
        return {"text": "x", "whole": 1, "number": 0.5, "truth": True}[shape]
    return [full(shape[0])] if isinstance(shape, list) else {name: full(part) for name, part in shape.items()}


def rows_of(source: RowSource, first: int = 0, end: int | None = None) -> list[Any]:
    from arro3.io import write_ndjson

    target = io.BytesIO()
    for batch in source.batches(first, int(source.count_at(0)) if end is None else end):
        write_ndjson(batch, target)
    return [json.loads(line) for line in target.getvalue().split(b"\n")[:-1]]


@settings(max_examples=60, deadline=None)
@given(RECORD_SHAPES.flatmap(lambda shape: st.tuples(st.just(shape), st.lists(objects(shape), max_size=6))))
def test_any_records_of_one_shape_come_out_as_they_are(drawn: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    shape, records = drawn
    records = [*records, full(shape)]
    texts, found = record_texts(records)
    schema = found.arrow_schema()
    source = RecordRows(schema, decoded_texts(texts, schema), rows_per_hour=0, anchor=0)
    assert rows_of(source) == without_nulls(records)
    assert shape_of_texts(texts).arrow_schema() == schema
    parse_row_schema(json_schema_of(schema))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 2), max_size=12), st.integers(0, 4))
def test_records_are_lengthened_when_the_old_ones_come_first(before: list[int], after: list[int], kept: int) -> None:
    after = before[:kept] + after
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow_service_emulator.datasets.record_rows, "CHUNK_RECORDS", 3)
        old, new = (read_records("x", [{"n": number} for number in numbers], 0) for numbers in (before, after))
    texts = KeptTexts([encoded_meta("", text).raw for text in old.texts])
    found = difference("x", new, texts)
    assert found.lengthened == (after[: len(before)] == before)
    assert found.same == (after == before)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a", "\u00e9", "\u20ac", "\U0001f600"]), max_size=9), st.integers(0, 9))
def test_records_that_are_lengthened_are_as_if_put_together(values: list[str], had: int) -> None:
    """Their texts, what these take, and their columns, of which the further ones may bring another."""
    records = [{"n": number, value: value} for number, value in enumerate(values)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow_service_emulator.datasets.record_rows, "CHUNK_RECORDS", 3)
        old, whole = read_records("x", records[:had], 0), read_records("x", records, 0)
        kept = KeptTexts([encoded_meta("", text).raw for text in old.texts])
        new = with_further(old._replace(texts=()), kept, records[had:])
    assert [*list(kept)[: new.first], *new.texts] == whole.texts
    assert new.memory == whole.memory == sum(text_memory(text.encode()) for text in whole.texts)
    assert (new.rows, new.columns) == (whole.rows, whole.columns)
    assert difference("x", whole, kept).changes == difference("x", new, kept).changes


def test_records_that_are_appended_are_bounded_together_with_those_that_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wide character among those appended widens the whole text that they come to the end of."""
    monkeypatch.setattr(flow_service_emulator.datasets.content, "MAX_TEXT_MEMORY", 1_000)
    old = read_records("x", [{"a": "x" * 400}], 0)
    kept = KeptTexts([encoded_meta("", text).raw for text in old.texts])
    assert with_further(old, kept, [{"a": "x" * 400}]).memory < 1_000
    for further in ("x" * 600, "\U0001f600"):
        with pytest.raises(TooMuch, match="those that it has and the further ones, take as text more than 1000 bytes"):
            with_further(old, kept, [{"a": further}])


@given(st.integers(1, 40), st.integers(0, 30), st.integers(0, 100), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_repeated_records_at_any_positions(count: int, grown: int, first: int, length: int) -> None:
    texts, shape = record_texts([{"n": number} for number in range(count)])
    schema = shape.arrow_schema()
    source = RecordRows(schema, decoded_texts(texts, schema), rows_per_hour=2, anchor=1000, grown=grown)
    assert [source.count_at(at) for at in (0, 1000, 1000 + 3600)] == [count + grown, count + grown, count + grown + 2]
    expected = [{"n": position % count} for position in range(first, first + length)]
    assert rows_of(source, first, first + length) == expected
    assert rows_of(Relocated(source, 50), first + 50, first + 50 + length) == expected


def ndjson(records: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def comma_separated(records: Iterable[Any]) -> bytes:
    return b"n,t\n" + b"".join(f'{record["n"]},"{record["t"]}"\n'.encode() for record in records)


def parquet(records: list[Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    schema = pa.schema([("n", pa.int64()), ("t", pa.string())])
    pq.write_table(pa.Table.from_pylist(records, schema=schema), sink, row_group_size=7 + len(records) // 3)
    return sink.getvalue()


FORMS: dict[str, Callable[[list[Any]], bytes]] = {
    "f.json": lambda records: json.dumps(records).encode(),
    "f.ndjson": ndjson,
    "f.csv": comma_separated,
    "f.parquet": parquet,
}


@pytest.mark.parametrize("name", FORMS)
def test_a_file_gives_any_range_of_rows_and_knows_its_beginning(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_service_emulator.datasets.record_files, "_PIECE_BYTES", 64)
    file = tmp_path / name

    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.booleans())
    def check(old: int, more: int, first: int, length: int, changed: bool) -> None:
        records = [{"n": number, "t": f"no. {number}"} for number in range(old + more)]
        file.write_bytes(FORMS[name](records[:old]))
        before = read_file(file).mark
        if changed and old:
            records[old // 2]["t"] = "other"
        file.write_bytes(FORMS[name](records))
        found = read_file(file, before)
        assert found.mark.rows == old + more
        assert found.lengthened == (not (changed and old))
        end = min(first + length, old + more)
        assert rows_of(found.source, min(first, end), end) == records[first:end]
        assert read_file(file, Mark.from_json(found.mark.as_json())).lengthened
        if more:
            assert not read_file_of(FORMS[name](records[:old]), file, found.mark)

    check()


def read_file_of(content: bytes, file: Path, before: Mark) -> bool:
    """Whether a file with this content begins with what there was before."""
    file.write_bytes(content)
    return read_file(file, before).lengthened


def test_a_line_that_goes_on_is_another_line(tmp_path: Path) -> None:
    for name, old, new in (
        ("f.csv", b"n\n1\n2", b"n\n1\n23\n"),
        ("f.csv", b"n\n1\n2", b"n\n1\n2\n3"),
        ("f.ndjson", b'{"n":1}', b'{"n":1}\r\n'),
    ):
        file = tmp_path / name
        file.write_bytes(old)
        before = read_file(file).mark
        assert read_file_of(new, file, before) == (new != b"n\n1\n23\n")


@pytest.mark.parametrize("name", ["f.ndjson", "f.csv"])
def test_a_file_that_changes_during_an_export_ends_it(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    records = [{"n": number, "t": "x"} for number in range(20_000)]
    file.write_bytes(FORMS[name](records))
    source = read_file(file).source
    file.write_bytes(FORMS[name](records[:5]))
    with pytest.raises(FileFault, match="was changed while it was exported"):
        rows_of(source)
    (tmp_path / "other").write_bytes(FORMS[name]([*records, *records]))
    (tmp_path / "other").replace(file)
    with pytest.raises(FileFault, match="was changed while it was exported"):
        rows_of(source)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        rows_of(source)


def test_a_column_of_csv_is_what_all_of_its_rows_allow(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    lines = [f"{number},{number},1,{number},true," for number in range(9_000)]
    file.write_text("\n".join(["a,b,c,d,e,f", *lines, "0.5,x,,-7,false,", ""]))
    rows = rows_of(read_file(file).source)
    assert rows[1] == {"a": 1.0, "b": "1", "c": 1, "d": 1, "e": True}
    assert rows[-1] == {"a": 0.5, "b": "x", "d": -7, "e": False}
    assert [type(value) for value in rows[1].values()] == [float, str, int, int, bool]


def test_reading_can_be_ended(tmp_path: Path) -> None:
    def go_on() -> None:
        raise InterruptedError

    for name in ("f.ndjson", "f.csv", "f.parquet"):
        file = tmp_path / name
        file.write_bytes(FORMS[name]([{"n": 1, "t": "x"}]))
        with pytest.raises(InterruptedError):
            read_file(file, None, go_on)
