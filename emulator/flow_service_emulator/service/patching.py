"""JSON Patch (RFC 6902) as the service takes it: `add`, `replace` and `remove`, in any letter case, all or nothing."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from flow_service_emulator.entities import Entity
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.settings import MAX_BODY_BYTES
from flow_service_emulator.validation.nesting import MAX_DEPTH, is_shallow
from flow_service_emulator.validation.validation import ContractWarning
from flow_service_emulator.validation.violation_text import literal

OPERATIONS: Final = ("add", "replace", "remove")
MAX_OPERATIONS: Final = 1_000
"""Operations in one patch at most; more is refused with 1455-400."""
_EXAMPLE: Final = '[{"op": "replace", "path": "/name", "value": "new"}]'
_POINTER: Final = re.compile(r"/(?:[^~]|~[01])*")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")


def apply_patch(
    entity: Entity, body: Any, *, allow: Callable[[str, str], None]
) -> tuple[Entity, list[ContractWarning]]:
    """The entity after every operation of the patch, and warnings about what was lenient.

    `allow(top, path)` is asked for each operation with the top-level field and the whole path, and raises when the service
    forbids the change. Raises `patch-invalid` (1455-400) naming the operation, or `operation-unsupported` (1434-400). The
    entity itself is left as it is.
    """
    if not isinstance(body, list):
        raise _invalid(f"the body must be an array of operations such as {_EXAMPLE}")
    if len(body) > MAX_OPERATIONS:
        raise _invalid(f"{len(body)} operations were sent, at most {MAX_OPERATIONS} are taken")
    warnings: list[ContractWarning] = []
    patched = copy.deepcopy(entity)
    for index, operation in enumerate(body):
        op, path, value = _read(index, operation, warnings)
        keys = _keys(path)
        allow(keys[0], path)
        try:
            _change(patched, op, keys, copy.deepcopy(value))
        except LookupError:
            raise _invalid(
                f"operation {index} ({op} {_short(path)}): the path leads to nothing that is there"
            ) from None
    _check_size(patched)
    return patched, warnings


def replaces(body: Any, path: str) -> bool:
    """Whether a patch (of sound form) sets the whole value at a path."""
    return any(operation["path"] == path and operation["op"].lower() != "remove" for operation in body)


def touched_fields(body: Any) -> frozenset[str]:
    """The top-level fields that a patch (of sound form) changes."""
    return frozenset(_keys(operation["path"])[0] for operation in body)


def _keys(path: str) -> list[str]:
    return [key.replace("~1", "/").replace("~0", "~") for key in path[1:].split("/")]


def _read(index: int, operation: Any, warnings: list[ContractWarning]) -> tuple[str, str, Any]:
    """Operation in lower case, path and value of one operation."""
    if not isinstance(operation, dict):
        raise _invalid(f"operation {index} must be an object with op, path and value")
    op, path = operation.get("op"), operation.get("path")
    if op is None:
        raise _invalid(f"operation {index} needs an op: {', '.join(OPERATIONS)}")
    if not isinstance(op, str) or op.lower() not in OPERATIONS:
        raise ServiceError("operation-unsupported", op=_short(op if isinstance(op, str) else literal(op)))
    if op not in OPERATIONS:
        warnings.append(
            ContractWarning(
                "patch-op-letter-case",
                f"[{index}].op",
                f'"{op}" was sent for "{op.lower()}"; RFC 6902 has lower case only',
            )
        )
    if not isinstance(path, str) or not path.startswith("/"):
        raise _invalid(f'operation {index} needs a path that starts with "/", got {_short(literal(path))}')
    if _POINTER.fullmatch(path) is None:
        raise _invalid(f"operation {index}: {_short(path)} is no JSON Pointer; a ~ is written ~0, a / inside a name ~1")
    if op.lower() != "remove" and "value" not in operation:
        raise _invalid(f"operation {index} ({op} {_short(path)}) needs a value")
    return op.lower(), path, operation.get("value")


def _change(document: Any, op: str, keys: list[str], value: Any) -> None:
    """Carries out one operation in place. Raises LookupError when the path leads nowhere."""
    for key in keys[:-1]:
        document = document[_key(document, key)]
    if isinstance(document, list) and op == "add":
        position = len(document) if keys[-1] == "-" else _key(document, keys[-1])
        if position > len(document):
            raise IndexError
        document.insert(position, value)
        return
    last = _key(document, keys[-1])
    if op != "add":
        document[last]  # replace and remove need something that is there
    if op == "remove":
        del document[last]
    else:
        document[last] = value


def _key(container: Any, key: str) -> Any:
    """The key as the container takes it: a name, or an index of an array. Raises LookupError."""
    if isinstance(container, dict):
        return key
    if isinstance(container, list) and _INDEX.fullmatch(key):
        return int(key)
    raise LookupError


def _check_size(patched: Entity) -> None:
    """An entity may be as deep and as large as one that is created; else one patch after another could pile it up."""
    if not is_shallow(patched):
        raise _invalid(f"the result would be nested deeper than {MAX_DEPTH} levels")
    if len(orjson.dumps(patched)) > MAX_BODY_BYTES:
        raise _invalid(f"the result would be larger than {MAX_BODY_BYTES} bytes")


def _invalid(detail: str) -> ServiceError:
    return ServiceError("patch-invalid", detail=detail)


def _short(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
