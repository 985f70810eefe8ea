"""The files that come with the emulator."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def fixtures_dir() -> Path:
    """The built-in fixtures: `flow_service_emulator/fixtures` in an installed wheel, else `fixtures` of the checkout."""
    package = Path(__file__).resolve().parent
    packaged = package / "fixtures"
    return packaged if packaged.is_dir() else package.parents[1] / "fixtures"


def docs_dir() -> Path:
    """The documentation's pages: `flow_service_emulator/docs` in an installed wheel, else `emulator/docs` of the checkout."""
    package = Path(__file__).resolve().parent
    packaged = package / "docs"
    return packaged if packaged.is_dir() else package.parent / "docs"


def built_in(name: str) -> Any:
    """The content of a JSON file of theirs."""
    return json.loads((fixtures_dir() / name).read_text("utf-8"))
