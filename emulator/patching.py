"""JSON Patch (RFC 6902) as the service takes it: `add`, `replace` and `remove`, in any letter case, all or nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import orjson

from emulator.entities import Entity
from emulator.errors import ServiceError
from emulator.nesting import MAX_DEPTH, is_shallow
from emulator.settings import MAX_BODY_BYTES
from emulator.validation import Remark
from emulator.violation_text import literal

OPERATIONS = ("add", "replace", "remove")
MAX_OPERATIONS = 1_000
"""Operations in one patch at most; more is refused with 1455-400."""


def apply_patch(
    entity: Entity, body: Any, *, allow: Callable[[str, str], None]
) -> tuple[Entity, list[Remark]]:
    """The entity after every operation of the patch, and remarks on what was lenient.

    `allow(top, path)` is asked for each operation with the top-level field and the whole path, and raises when the service
    forbids the change. Raises `patch-invalid` (1455-400) naming the operation, or `operation-unsupported` (1434-400). The
    entity itself is left as it is.
    """
    import jsonpatch  # on first use: a server that never patches does not pay for it

    if not isinstance(body, list):
        raise ServiceError("patch-invalid", detail='the body must be an array of operations such as [{"op": "replace", "path": "/name", "value": "new"}]')
    if len(body) > MAX_OPERATIONS:
        raise ServiceError("patch-invalid", detail=f"{len(body)} operations were sent, at most {MAX_OPERATIONS} are taken")
    remarks: list[Remark] = []
    patched = copy.deepcopy(entity)
    for index, operation in enumerate(body):
        checked = _checked(index, operation, remarks)
        allow(_top(checked["path"]), checked["path"])
        try:
            patched = jsonpatch.JsonPatch([checked]).apply(patched, in_place=True)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
            # the library's own words would show Python's values, and the entity with them
            raise ServiceError("patch-invalid", detail=f"operation {index} ({checked['op']} {_short(checked['path'])}): the path leads to nothing that is there") from None
    _check_size(patched)
    return patched, remarks


def _check_size(patched: Entity) -> None:
    """An entity may be as deep and as large as one that is created; else one patch after another could pile it up."""
    if not is_shallow(patched):
        raise ServiceError("patch-invalid", detail=f"the result would be nested deeper than {MAX_DEPTH} levels")
    if len(orjson.dumps(patched)) > MAX_BODY_BYTES:
        raise ServiceError("patch-invalid", detail=f"the result would be larger than {MAX_BODY_BYTES} bytes")


def _checked(index: int, operation: Any, remarks: list[Remark]) -> dict[str, Any]:
    """One operation in its standard form."""
    if not isinstance(operation, dict):
        raise ServiceError("patch-invalid", detail=f"operation {index} must be an object with op, path and value")
    op, path = operation.get("op"), operation.get("path")
    if not isinstance(op, str) or op.lower() not in OPERATIONS:
        raise ServiceError("operation-unsupported", op=_short(op if isinstance(op, str) else literal(op)))
    if op not in OPERATIONS:
        remarks.append(Remark("patch-op-letter-case", f"[{index}].op", f'"{op}" was sent for "{op.lower()}"; RFC 6902 has lower case only'))
    if not isinstance(path, str) or not path.startswith("/"):
        raise ServiceError("patch-invalid", detail=f"operation {index} needs a path that starts with \"/\", got {_short(literal(path))}")
    if op.lower() != "remove" and "value" not in operation:
        raise ServiceError("patch-invalid", detail=f"operation {index} ({op} {_short(path)}) needs a value")
    checked = {"op": op.lower(), "path": path}
    return checked if op.lower() == "remove" else {**checked, "value": operation["value"]}


def _top(path: str) -> str:
    """The top-level field that a path leads into."""
    return path[1:].split("/", 1)[0].replace("~1", "/").replace("~0", "~")


def _short(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
