"""The rows of an exported file as Python values."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any


def file_rows(path: Path) -> list[dict[str, Any]]:
    """NDJSON (`.json`, `.json.gz`) as JSON has the values, Parquet with datetimes.

    Raises ValueError for any other file, and for one that is not what its name says.
    """
    name = path.name
    if name.endswith(".json"):
        return _records(path.read_bytes())
    if name.endswith(".json.gz"):
        try:
            return _records(gzip.decompress(path.read_bytes()))
        except (gzip.BadGzipFile, EOFError, zlib.error) as fault:
            raise ValueError(f"{path} is not GZIP: {fault}") from None
    if name.endswith(".parquet"):
        return _parquet_rows(path)
    raise ValueError(f"{path}: the rows of .json, .json.gz and .parquet files can be read")


def _records(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split(b"\n") if line]


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    from arro3.io import read_parquet

    try:
        table = read_parquet(str(path)).read_all()
    except (KeyboardInterrupt, SystemExit, FileNotFoundError):
        raise
    except BaseException as fault:  # arro3 panics on broken files; a panic is no Exception and would end the test run
        raise ValueError(f"{path} is not Parquet: {str(fault)[:200]}") from None
    columns = [table.column(name).to_pylist() for name in table.column_names]
    return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]
