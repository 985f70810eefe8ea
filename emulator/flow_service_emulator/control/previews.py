"""The first rows of an exported file, read in any of the four forms, with a bound on bytes and on time."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from flow_service_emulator.datasets.panics import panics_as_faults

MAX_ROWS: Final = 200
MAX_BYTES: Final = 262_144
"""Bytes of JSON in a preview, at most, but for the one row that is always there."""
MAX_LINE: Final = 1_048_576
"""Bytes of one line that are read; a longer one is no row of an export."""
MAX_TEXT: Final = 1_000
"""Characters of a text in a row; a longer one is cut and ends in an ellipsis."""
MAX_PARQUET: Final = 512_000_000
"""Bytes of a Parquet file that is opened: its pages, unlike lines, cannot be had in part."""
MAX_READ: Final = 4_194_304
"""Bytes that are read, or unpacked, for a preview: what has no rows by then is no export."""
_CHUNK: Final = 65_536
_BATCH_ROWS: Final = 16
"""Rows of Parquet that are made at a time: a long text that all have in common is stored once."""
_PARQUET: Final = ".parquet"
_PARQUET_MARK: Final = b"PAR1"
_SMALLEST_PARQUET: Final = 12
_GZIP: Final = ".gz"
_GZIP_WINDOW: Final = 31


class PreviewError(ValueError):
    """The file is not what its name says; the message says why."""


def preview(file: Path, limit: int) -> dict[str, Any]:
    """`{"form", "rows": [...], "more": whether there are more}`: at most `limit` rows, each a JSON object.

    A line that is another value is shown as `{"value": …}`. Texts longer than MAX_TEXT are cut. Raises PreviewError for a file that cannot be read as what it is called.
    """
    form = "parquet" if file.name.endswith(_PARQUET) else "json.gz" if file.name.endswith(_GZIP) else "json"
    rows: list[Any] = []
    size = 0
    more = False
    try:
        for line in _parquet_lines(file) if form == "parquet" else _lines(_pieces(file, packed=form == "json.gz")):
            size += len(line)
            if len(rows) == limit or (rows and size > MAX_BYTES):
                more = True
                break
            row = _short(orjson.loads(line))
            rows.append(row if isinstance(row, dict) else {"value": row})
    except (OSError, zlib.error, orjson.JSONDecodeError) as fault:
        raise PreviewError(f"it is not {form}: {fault}") from fault
    return {"form": form, "rows": rows, "more": more}


def _parquet_lines(file: Path) -> Iterator[bytes]:
    """The rows of a Parquet file as lines of JSON."""
    from arro3.io import read_parquet, write_ndjson

    size = file.stat().st_size
    with file.open("rb") as stream:
        marks = stream.read(4), stream.seek(-min(4, size), io.SEEK_END), stream.read(4)
    if size < _SMALLEST_PARQUET or not marks[0] == marks[2] == _PARQUET_MARK:
        raise PreviewError("it is not Parquet, or not the whole of it")
    if size > MAX_PARQUET:
        raise PreviewError(f"it has more than {MAX_PARQUET} bytes")
    try:
        with panics_as_faults(PreviewError, "it is not Parquet"):
            for batch in read_parquet(file, batch_size=_BATCH_ROWS):
                text = io.BytesIO()
                write_ndjson(batch, text)
                yield from text.getvalue().splitlines()
    except (PreviewError, OSError, orjson.JSONDecodeError):
        raise
    except Exception as fault:  # arro3 raises nothing more exact
        raise PreviewError(f"it is not Parquet: {str(fault)[:200]}") from fault


def _pieces(file: Path, *, packed: bool) -> Iterator[bytes]:
    """A file's text piece by piece; `packed` by gzip, of which no piece unpacks to more than a fixed number of bytes."""
    with file.open("rb") as stream:
        unpacker = zlib.decompressobj(_GZIP_WINDOW)
        begun = False
        while chunk := stream.read(_CHUNK):
            if not packed:
                yield chunk
                continue
            while chunk:
                begun = True
                yield unpacker.decompress(chunk, _CHUNK)
                chunk = unpacker.unconsumed_tail
                if unpacker.eof:  # another member may follow
                    chunk, unpacker, begun = unpacker.unused_data, zlib.decompressobj(_GZIP_WINDOW), False
        if begun:
            raise PreviewError("it is not the whole of a gzip file")


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that hold something. Raises PreviewError for one that is too long."""
    rest, read = b"", 0
    for piece in pieces:
        read += len(piece)
        if read > MAX_READ:
            raise PreviewError(f"its first {MAX_READ} bytes have hardly any rows")
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line for line in lines if line.strip())
        if len(rest) > MAX_LINE:
            raise PreviewError(f"a line is longer than {MAX_LINE} bytes")
    if rest.strip():
        yield rest


def _short(value: Any) -> Any:
    """The value with its long texts cut."""
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…"
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    return value
