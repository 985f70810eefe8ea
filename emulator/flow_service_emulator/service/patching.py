"""JSON Patch (RFC 6902) as the service takes it: `add`, `replace` and `remove`, in any letter case, all or nothing."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from flow_service_emulator.entities import Entity
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.service.bodies import SERVER_FIELDS, Kind
from flow_service_emulator.settings import MAX_BODY_BYTES
from flow_service_emulator.validation.validation import MAX_DEPTH, Finding, is_shallow
from flow_service_emulator.validation.violation_text import echo, literal

OPERATIONS: Final = ("add", "replace", "remove")
MAX_OPERATIONS: Final = 1_000
"""Operations in one patch at most; more is refused with 1455-400."""
_EXAMPLE: Final = '[{"op": "replace", "path": "/name", "value": "new"}]'
_POINTER: Final = re.compile(r"/(?:[^~]|~[01])*")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")


def apply_patch(kind: Kind, entity: Entity, body: Any, warnings: list[Finding]) -> frozenset[str]:
    """Carries out every operation of a patch on an entity, in place; answers which top-level fields it named.

    `warnings` is told what was lenient. Raises `patch-invalid` (1455-400) naming the operation, `operation-unsupported`
    (1434-400), or `connection-spec-immutable`; the entity is of no use then.
    """
    if not isinstance(body, list):
        raise _invalid(f"the body must be an array of operations such as {_EXAMPLE}")
    if len(body) > MAX_OPERATIONS:
        raise _invalid(f"{len(body)} operations were sent, at most {MAX_OPERATIONS} are taken")
    touched = set()
    for index, operation in enumerate(body):
        op, path, value = _read(index, operation, warnings)
        keys = [key.replace("~1", "/").replace("~0", "~") for key in path[1:].split("/")]
        _check_allowed(kind, keys[0], path)
        try:
            _change(entity, op, keys, value)
        except LookupError:
            raise _invalid(
                f"operation {index} ({op} {echo(path)}): the path leads to nothing that is there", path
            ) from None
        touched.add(keys[0])
    # An entity may be as deep and as large as one that is created; else one patch after another could pile it up.
    if not is_shallow(entity):
        raise _invalid(f"the result would be nested deeper than {MAX_DEPTH} levels")
    if len(orjson.dumps(entity)) > MAX_BODY_BYTES:
        raise _invalid(f"the result would be larger than {MAX_BODY_BYTES} bytes")
    return frozenset(touched)


def _read(index: int, operation: Any, warnings: list[Finding]) -> tuple[str, str, Any]:
    """Operation in lower case, path and value of one operation."""
    if not isinstance(operation, dict):
        raise _invalid(f"operation {index} must be an object with op, path and value")
    op, path = operation.get("op"), operation.get("path")
    if op is None:
        raise _invalid(f"operation {index} needs an op: {', '.join(OPERATIONS)}")
    if not isinstance(op, str) or op.lower() not in OPERATIONS:
        raise ServiceError("operation-unsupported", known=OPERATIONS, op=echo(op))
    if op not in OPERATIONS:
        text = f'"{op}" was sent for "{op.lower()}"; RFC 6902 has lower case only'
        warnings.append(Finding("patch-op-letter-case", f"[{index}].op", text))
    if not isinstance(path, str) or not path.startswith("/"):
        raise _invalid(f'operation {index} needs a path that starts with "/", got {echo(literal(path))}')
    if _POINTER.fullmatch(path) is None:
        raise _invalid(
            f"operation {index}: {echo(path)} is no JSON Pointer; a ~ is written ~0, a / inside a name ~1", path
        )
    if op.lower() != "remove" and "value" not in operation:
        raise _invalid(f"operation {index} ({op} {echo(path)}) needs a value", path, "required")
    return op.lower(), path, operation.get("value")


def _check_allowed(kind: Kind, top: str, path: str) -> None:
    """Raises for a path that a patch may not change."""
    if top == "connectionSpec" and kind.collection == "connections":
        raise ServiceError("connection-spec-immutable")
    for fixed, reason in kind.fixed.items():
        if path == fixed or path.startswith(fixed + "/") or fixed.startswith(path + "/"):
            raise _invalid(f"{echo(path)} cannot be updated: {reason}", path, "fixed")
    if top in SERVER_FIELDS or top in kind.derived:
        raise _invalid(f"{echo(path)} cannot be updated: {echo(top)} is filled by the server", path, "server")
    if not top:
        raise _invalid("the path must name a field, such as /name")


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


def _invalid(detail: str, path: str = "", kind: str = "") -> ServiceError:
    return ServiceError("patch-invalid", place=path, kind=kind, detail=detail)
