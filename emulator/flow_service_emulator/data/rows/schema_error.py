"""Why rows cannot be made from a schema, and where in it."""

from __future__ import annotations

from typing import Any, Final

Path = tuple[str, ...]
"""Names from the root on; `[]` stands for the items of an array."""

ITEMS: Final = "[]"


class SchemaError(ValueError):
    """Rows cannot be made from a schema. `path` is the property ("" for the root), `reason` says why not."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = ".".join(path)
        self.reason = reason
        super().__init__(f"{self.path or 'the schema'}: {reason}")


def shown(value: Any) -> str:
    """A value as a reason shows it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
