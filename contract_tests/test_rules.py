"""The rules of the service by themselves: on a recorded request, without a store; and patches against a naive reading."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract_tests.tutorial import S3, SFTP, SOURCE_CONNECTION
from flow_service_emulator.catalog import load_catalog
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.service.bodies import KINDS
from flow_service_emulator.service.kinds import Context, check
from flow_service_emulator.service.patching import apply_patch

CATALOG = load_catalog()
BASE_ID = "11111111-2222-4333-8444-555555555555"
RECORDED = {"connections": {BASE_ID: {"id": BASE_ID, "connectionSpec": {"id": S3.spec, "version": "1.0"}}}}


def judged(collection: str, body: Any) -> tuple[str | None, set[str]]:
    """The error that the rules would answer, and the rules of their warnings."""
    context = Context(CATALOG, lambda collection, entity_id: RECORDED.get(collection, {}).get(entity_id))
    try:
        check(KINDS[collection], body, context)
    except ServiceError as error:
        return error.name, {warning.rule for warning in context.warnings}
    return None, {warning.rule for warning in context.warnings}


@pytest.mark.parametrize(
    ("collection", "body", "error", "rules"),
    [
        ("connections", S3.base_connection(), None, set()),
        ("connections", {"name": "x"}, None, {"connection-spec-missing"}),
        ("connections", {**S3.base_connection(), "nmae": "x"}, None, {"unknown-field"}),
        ("targetConnections", S3.target_connection(BASE_ID), None, {"json-uncompressed"}),
        ("targetConnections", S3.target_connection(BASE_ID, compression="gzip"), None, {"enum-letter-case"}),
        (
            "targetConnections",
            S3.target_connection(BASE_ID, bucketName="A"),
            "provider-rejected",
            {"json-uncompressed"},
        ),
        ("targetConnections", SFTP.target_connection(BASE_ID), "provider-rejected", {"json-uncompressed"}),
        ("targetConnections", S3.target_connection("unheard of"), "provider-rejected", {"json-uncompressed"}),
        ("sourceConnections", SOURCE_CONNECTION, None, set()),
        ("sourceConnections", {**SOURCE_CONNECTION, "params": {"datasets": [{"dataSetId": "any"}]}}, None, set()),
    ],
)
def test_a_recorded_request_is_judged_with_the_catalog_and_a_look_up_alone(
    collection: str, body: dict[str, Any], error: str | None, rules: set[str]
) -> None:
    before = copy.deepcopy(body)
    assert judged(collection, body) == (error, rules)
    assert body == before


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
