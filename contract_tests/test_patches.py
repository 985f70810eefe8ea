"""Patches against a naive reading of RFC 6902."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_service_emulator.errors import ServiceError
from flow_service_emulator.service.bodies import KINDS
from flow_service_emulator.service.patching import apply_patch

values = st.recursive(
    st.integers(0, 3) | st.sampled_from(["a", None, True]),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["a", "/", "~", "0"]), below, max_size=3)
    ),
    max_leaves=8,
)
documents = st.fixed_dictionaries({"params": values, "description": values})
steps = st.lists(st.sampled_from(["a", "~1", "~0", "0", "1", "3", "-", "00", ""]), max_size=3)
paths = st.tuples(st.sampled_from(["params", "description", "new"]), steps).map(
    lambda path: "/".join(["", path[0], *path[1]])
)
patches = st.lists(
    st.fixed_dictionaries({"op": st.sampled_from(["add", "Replace", "remove"]), "path": paths, "value": values}),
    min_size=1,
    max_size=4,
)


def naive(document: Any, op: str, keys: list[str], value: Any) -> Any:
    """The document after one operation, by RFC 6902 and 6901; LookupError where the path leads nowhere."""
    key, below = keys[0], keys[1:]
    if isinstance(document, dict):
        if below:
            return {**document, key: naive(document[key], op, below, value)}
        if op != "add" and key not in document:
            raise LookupError
        rest = {name: item for name, item in document.items() if name != key}
        return rest if op == "remove" else {**rest, key: value}
    if not isinstance(document, list) or not ((key.isdigit() and str(int(key)) == key) or key == "-"):
        raise LookupError
    if key == "-" and (op != "add" or below):
        raise LookupError
    index = len(document) if key == "-" else int(key)
    head, tail = document[:index], document[index:]
    if index > len(document) or (not tail and (op != "add" or below)):
        raise LookupError
    if below:
        return [*head, naive(tail[0], op, below, value), *tail[1:]]
    return head + ([] if op == "remove" else [value]) + (tail if op == "add" else tail[1:])


@given(documents, patches)
@settings(max_examples=400, deadline=None)
def test_a_patch_does_what_a_naive_reading_of_the_rfc_does(
    document: dict[str, Any], patch: list[dict[str, Any]]
) -> None:
    expected: Any = copy.deepcopy(document)
    try:
        for operation in copy.deepcopy(patch):
            keys = [key.replace("~1", "/").replace("~0", "~") for key in operation["path"].split("/")[1:]]
            expected = naive(expected, operation["op"].lower(), keys, operation["value"])
    except LookupError:
        with pytest.raises(ServiceError, match="leads to nothing"):
            apply_patch(KINDS["connections"], document, patch, [])
    else:
        touched = apply_patch(KINDS["connections"], document, patch, [])
        assert document == expected
        assert touched == {operation["path"].split("/")[1] for operation in patch}
