"""A JSON body that is decoded piece by piece is what it is when it is decoded at once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flow_service_emulator.datasets import json_pieces
from flow_service_emulator.datasets.dataset_files import DatasetFiles
from flow_service_emulator.store.store import Store

NAMES = st.sampled_from(["id", "records", "}, {", 'a"', "é", "]"])
VALUES = st.recursive(
    st.none() | st.integers(0, 9) | st.sampled_from(['},{"id":1', '"', "\\", "]}", "€"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(st.dictionaries(NAMES, VALUES, max_size=3) | VALUES, max_size=12)
FIELDS = st.dictionaries(st.sampled_from(["name", "rowsPerHour", "further"]), st.sampled_from(["n", "]", 1.5]))
MANY = [{"id": number, "lines": [{"sku": "a"}, {"id": 2}]} for number in range(50)]


def decoded(loads: Any, body: bytes) -> Any:
    """What is made of a body: a value, or what is wrong and where."""
    try:
        return loads(body)
    except orjson.JSONDecodeError as fault:
        return fault.msg, fault.pos


@settings(max_examples=300)
@given(RECORDS, FIELDS, FIELDS, st.sampled_from([None, 1]), st.integers(1, 40), st.integers(0, 3), st.booleans())
@example(MANY, {}, {}, None, 20, 40, False)
def test_pieces_are_what_the_whole_is(
    records: list[Any], before: Any, behind: Any, indent: int | None, piece_bytes: int, misses: int, bare: bool
) -> None:
    """Also cut off at any place, with a second array of records, and where records cannot be told apart."""
    body = json.dumps(records if bare else before | {"records": records} | behind, indent=indent).encode()
    once = b'{"records":' + json.dumps(records).encode()
    twice = once + b',"records":' + json.dumps(records[:1]).encode() + b"}"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_pieces, "_PIECE_BYTES", piece_bytes)
        patched.setattr(json_pieces, "_MOST_MISSES", misses)
        for text in (
            body,
            twice,
            once + b',"records":5}',
            body[: len(body) // 2],
            body[:-1],
            body + b",",
            body.replace(b",", b",,", 1),
        ):
            assert decoded(json_pieces.loads, text) == decoded(orjson.loads, text)


@pytest.mark.parametrize("opening", [b"[", b'{"name": "x", "records": ['])
def test_a_large_body_is_never_decoded_at_once(monkeypatch: pytest.MonkeyPatch, opening: bytes) -> None:
    """With records that have arrays of objects in them, whose first field has another name."""
    records = [{"id": number, "lines": [{"sku": "a"}] * 12} for number in range(30_000)]
    ending = b"]" if opening == b"[" else b'], "rowsPerHour": 2}'
    body = opening + json.dumps(records).encode()[1:-1] + ending
    sizes: list[int] = []

    def loads(text: bytes) -> Any:
        sizes.append(len(text))
        return orjson.loads(text)

    itself = SimpleNamespace(loads=loads, JSONDecodeError=orjson.JSONDecodeError)
    monkeypatch.setattr("flow_service_emulator.datasets.json_pieces.orjson", itself)
    found = json_pieces.loads(body)
    assert (found if opening == b"[" else found["records"]) == records
    assert len(body) > 4_000_000 and max(sizes) < 1_500_000
    assert len(sizes) <= len(body) // 1_000_000 + 2, "no cut was within a record"


def test_a_large_dataset_file_is_never_decoded_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither when it is read nor when it is found out whether it describes datasets."""
    sizes: list[int] = []

    def loads(text: bytes) -> Any:
        sizes.append(len(text))
        return orjson.loads(text)

    folder = tmp_path / "datasets"
    folder.mkdir()
    (folder / "own.json").write_text(json.dumps([{"id": number, "text": "x" * 100} for number in range(40_000)]))
    itself = SimpleNamespace(loads=loads, dumps=orjson.dumps, JSONDecodeError=orjson.JSONDecodeError)
    for module in ("json_pieces", "dataset_files", "record_files"):
        monkeypatch.setattr(f"flow_service_emulator.datasets.{module}.orjson", itself)
    files = DatasetFiles(folder, Store(), owner=lambda dataset_id: None)
    asyncio.run(files.refresh())
    assert files["own"].rows == 40_000
    assert max(sizes) < 1_500_000
