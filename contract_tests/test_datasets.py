"""Seeded rows: the same whatever the range they are asked for in, dated right, and true to their schema.

The facts are the reference's "Exported files" (no row is older than 365 days) and "Schedule" (a first export of every
row, later ones of the rows added since). Rows are read by pyarrow and by the JSON writer, schemas are held against
them by jsonschema-rs: neither made them.
"""

from __future__ import annotations

import io
import ipaddress
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache, reduce
from itertools import pairwise
from typing import Any

import arro3.io
import orjson
import pyarrow as pa
import pytest
from arro3.core import RecordBatch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft7Validator

from flow_service_emulator.catalog import load_catalog
from flow_service_emulator.data.datasets.content import FileFault, check_schema
from flow_service_emulator.data.rows.generated import GeneratedRows
from flow_service_emulator.data.rows.schema_parts import SchemaError
from flow_service_emulator.data.rows.seeded import Arrivals

ANCHOR = 1_700_000_000.0
ROWS = 1_500
SCHEMAS = [dataset.json_schema() for dataset in load_catalog().datasets.values()]
BY_TITLE = {schema["title"]: schema for schema in SCHEMAS}
ORDERS, PROFILES, LOYALTY = "XDM ExperienceEvent: orders", "XDM Individual Profile", "Loyalty membership"


def make(schema: Mapping[str, Any], *, rows: int = ROWS, dataset_id: str = "5ef3e324052581191aa6a466") -> GeneratedRows:
    return GeneratedRows(schema, Arrivals(rows, 40, ANCHOR), seed=1, dataset_id=dataset_id)


@cache
def rows_of(title: str) -> GeneratedRows:
    return make(BY_TITLE[title])


def read(batches: Iterator[RecordBatch]) -> list[dict[str, Any]]:
    """The rows, by another library than made them."""
    return [row for batch in batches for row in pa.record_batch(batch).to_pylist()]


def table(rows: GeneratedRows, *cuts: int) -> pa.Table:
    """The rows from the first to the last cut, made in the ranges in between."""
    batches = [pa.record_batch(batch) for first, end in pairwise(cuts) for batch in rows.batches(first, end)]
    return pa.Table.from_batches(batches, pa.schema(rows.arrow_schema))


def as_json(batches: Iterator[RecordBatch]) -> list[dict[str, Any]]:
    """The rows as an export in JSON has them."""
    found = []
    for batch in batches:
        text = io.BytesIO()
        arro3.io.write_ndjson(batch, text)
        found += [orjson.loads(line) for line in text.getvalue().splitlines()]
    return found


def of_one_property(schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "required": ["value"], "properties": {"value": schema}, **more}


# --- when rows arrive


def millis(arrivals: Arrivals, position: int) -> int:
    """When a row arrives (epoch milliseconds)."""
    start, _, rest, among = arrivals.line(position)
    return start + rest // among


@settings(deadline=None)
@given(
    rows=st.integers(0, 5_000_000) | st.integers(0, 20),
    rows_per_hour=st.one_of(st.just(0), st.integers(0, 100_000), st.floats(0, 1_000, allow_nan=False)),
    anchor=st.integers(0, 4_000_000_000) | st.floats(0, 4e9, allow_nan=False),
    hours=st.floats(-24 * 800, 24 * 800, allow_nan=False),
    more=st.floats(0, 24 * 400, allow_nan=False),
)
@example(rows=3, rows_per_hour=7, anchor=ANCHOR, hours=1, more=0)
def test_counts_agree_with_arrivals(rows: int, rows_per_hour: float, anchor: float, hours: float, more: float) -> None:
    arrivals = Arrivals(rows, rows_per_hour, anchor)
    at = anchor + hours * 3600
    count = arrivals.count_at(at)
    assert count >= 0
    assert arrivals.count_at(at + more * 3600) >= count
    at_millis = round(at * 1_000_000) // 1000
    if count:
        assert millis(arrivals, count - 1) <= at_millis
    if count < rows or rows_per_hour > 1e-5:
        assert millis(arrivals, count) > at_millis


@settings(deadline=None)
@given(rows=st.integers(0, 10**9), rows_per_hour=st.integers(0, 10**6), anchor=st.integers(0, 4 * 10**9))
def test_a_dataset_has_its_rows_at_the_anchor_and_grows_by_the_hour(rows: int, rows_per_hour: int, anchor: int) -> None:
    arrivals = Arrivals(rows, rows_per_hour, anchor)
    assert arrivals.count_at(anchor) == rows
    for hours in (1, 3, 24, 24 * 30):
        assert arrivals.count_at(anchor + hours * 3600) == rows + hours * rows_per_hour


# --- the same rows whatever the range


@settings(max_examples=30, deadline=None)
@given(
    title=st.sampled_from(sorted(BY_TITLE)),
    cuts=st.lists(st.integers(0, 1_300), min_size=2, max_size=6).map(sorted),
    offset=st.sampled_from([0, ROWS - 700, 500_000_000]),
)
def test_any_split_of_a_range_gives_the_same_rows(title: str, cuts: list[int], offset: int) -> None:
    rows = rows_of(title)
    cuts = [offset + cut for cut in cuts]
    whole = table(rows, cuts[0], cuts[-1])
    assert whole.num_rows == cuts[-1] - cuts[0]
    assert table(rows, *cuts).equals(whole)


# --- rows that look like the real thing


@pytest.mark.parametrize("title", sorted(BY_TITLE))
def test_rows_keep_to_their_schema_have_an_id_and_are_dated_just_before_they_arrive(title: str) -> None:
    rows, arrivals = rows_of(title), Arrivals(ROWS, 40, ANCHOR)
    validator = Draft7Validator(BY_TITLE[title], validate_formats=True)
    for row in as_json(rows.batches(ROWS - 150, ROWS + 150)):
        faults = [f"{fault.instance_path}: {fault.message}" for fault in validator.iter_errors(row)]
        assert not faults, row
    found = read(rows.batches(0, 2 * ROWS))
    assert len({row["_id"] for row in found}) == 2 * ROWS
    for position in range(ROWS - 300, ROWS + 300):
        row = found[position]
        own: datetime = row["timestamp"] if BY_TITLE[title]["x-kind"] == "event" else row["_repo"]["modifyDate"]
        assert own.tzinfo is not None
        assert 0 <= millis(arrivals, position) - round(own.timestamp() * 1000) < 600_000


def test_events_refer_to_some_people_again_and_again() -> None:
    rows = read(rows_of(ORDERS).batches(0, ROWS))
    people = Counter(row["personID"] for row in rows)
    assert len(people) <= ROWS // 8
    assert max(people.values()) > 4 * ROWS / len(people)
    types = Counter(row["eventType"] for row in rows)
    assert max(types.values()) > 3 * min(types.values())
    assert len({row["commerce"]["order"]["purchaseID"] for row in rows}) == ROWS


def test_people_are_the_same_in_every_dataset_of_a_seed() -> None:
    profiles = {row["personID"]: row["personalEmail"]["address"] for row in read(rows_of(PROFILES).batches(0, ROWS))}
    members = make(BY_TITLE[LOYALTY], dataset_id="5ef3e3259ad2a1191ab7dd7d")
    for row in read(members.batches(0, 300)):
        assert profiles[row["personID"]] == row["email"]
    for row in read(rows_of(ORDERS).batches(0, 300)):
        assert profiles[row["personID"]] == row["email"]


def test_profiles_are_a_row_each_and_names_addresses_and_places_agree() -> None:
    countries: dict[str, set[str]] = {}
    rows = read(rows_of(PROFILES).batches(0, ROWS))
    assert len({row["personID"] for row in rows}) == len({row["personalEmail"]["address"] for row in rows}) == ROWS
    assert len({dict(row["identityMap"])["ECID"][0]["id"] for row in rows}) == ROWS
    for row in rows:
        name, email = row["person"]["name"], row["personalEmail"]["address"]
        first = re.match(r"[a-z]+", email)
        assert first is not None
        assert first[0][0] == name["firstName"].lower().translate(str.maketrans("áéí", "aei"))[0]
        assert re.fullmatch(r"[a-z]+\.[a-z]+[0-9]+@example\.(com|org|net)", email)
        address = row["homeAddress"]
        if address is not None:
            countries.setdefault(address["city"], set()).add(address["countryCode"])
        if row["mobilePhone"] is not None:
            assert re.fullmatch(r"\+1-[2-9][0-9]{2}-555-01[0-9]{2}", row["mobilePhone"]["number"])
    assert len(countries) > 20
    assert all(len(codes) == 1 for codes in countries.values())


def test_addresses_of_machines_are_reserved_ones() -> None:
    rows = read(rows_of("XDM ExperienceEvent: web").batches(0, 500))
    documentation = [ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]
    seen = {row["environment"]["ipV4"] for row in rows if row["environment"] is not None} - {None}
    assert seen
    assert all(any(ipaddress.ip_address(address) in net for net in documentation) for address in seen)
    assert all(row["web"]["webPageDetails"]["URL"].startswith("https://www.example.com/") for row in rows)


# --- any schema

KEYWORDS = (
    "type", "properties", "required", "items", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "multipleOf",
    "minItems", "maxItems", "uniqueItems", "minLength", "maxLength", "format", "pattern", "examples", "x-kind", "a", "b",
    "allOf", "$ref", "additionalProperties",
)  # fmt: skip
NAMES = st.sampled_from(
    ["price", "email", "firstName", "city", "orderID", "x", "näme", "points", "tags", "birthDate", "_id"]
)


def bounded(least: str, most: str, numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    pair = st.tuples(numbers, numbers).map(sorted)
    both = pair.map(lambda found: {least: found[0], most: found[1]})
    return st.one_of(st.just({}), both, numbers.map(lambda low: {least: low}), numbers.map(lambda high: {most: high}))


WHOLE = st.integers(-(10**6), 10**6)
DECIMAL = st.decimals(-1000, 1000, places=2, allow_nan=False).map(float)
TEXTS = st.builds(
    lambda lengths, form: {"type": "string", **lengths, **({"format": form} if form else {})},
    bounded("minLength", "maxLength", st.integers(0, 60)),
    st.sampled_from(["", "", "", "email", "uuid", "uri", "ipv4", "ipv6", "hostname", "date", "date-time", "time"]),
)
SCALARS = st.one_of(
    TEXTS,
    st.builds(lambda limits: {"type": "integer", **limits}, bounded("minimum", "maximum", WHOLE)),
    st.builds(lambda limits: {"type": "integer", **limits}, bounded("exclusiveMinimum", "exclusiveMaximum", WHOLE)),
    st.builds(
        lambda limits, step: {"type": "integer", "multipleOf": step, **limits},
        bounded("minimum", "maximum", WHOLE),
        st.integers(1, 50),
    ),
    st.builds(lambda limits: {"type": "number", **limits}, bounded("minimum", "maximum", DECIMAL)),
    st.builds(lambda limits: {"type": "number", **limits}, bounded("exclusiveMinimum", "exclusiveMaximum", DECIMAL)),
    st.just({"type": ["boolean", "null"]}),
    st.lists(st.text(max_size=8), min_size=1, max_size=4).map(lambda values: {"enum": values}),
    st.integers().map(lambda value: {"const": value}),
)


def objects(parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def build(properties: dict[str, Any], wanted: list[bool]) -> dict[str, Any]:
        required = [name for name, needed in zip(properties, wanted, strict=False) if needed]
        return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}

    return st.builds(
        build, st.dictionaries(NAMES, parts, min_size=1, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4)
    )


def lists(items: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda item, sizes, unique: {"type": "array", "items": item, "uniqueItems": unique, **sizes},
        items,
        bounded("minItems", "maxItems", st.integers(0, 6)),
        st.booleans(),
    )


PARTS = st.recursive(SCALARS, lambda parts: objects(parts) | lists(parts), max_leaves=6)


@settings(max_examples=40, deadline=None)
@given(schema=objects(PARTS), kind=st.sampled_from(["profile", "event"]))
def test_rows_of_any_schema_keep_to_it(schema: dict[str, Any], kind: str) -> None:
    try:
        rows = make(schema | {"x-kind": kind}, rows=40)
    except SchemaError as refused:
        assume(False)  # what is refused is the other tests' business
        raise AssertionError from refused
    validator = Draft7Validator(schema, validate_formats=True)
    found = as_json(rows.batches(0, 60))
    assert len(found) == 60
    for row in found:
        faults = [f"{fault.instance_path}: {fault.message}" for fault in validator.iter_errors(row)]
        assert not faults, (schema, row)
    assert read(rows.batches(17, 30)) == read(rows.batches(0, 60))[17:30]


@settings(max_examples=100, deadline=None)
@given(
    schema=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda values: (
            st.lists(values, max_size=3)
            | st.dictionaries(
                st.sampled_from(KEYWORDS),
                values
                | st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "#", "#/properties/a"]),
                max_size=6,
            )
        ),
        max_leaves=12,
    )
)
@example({"type": -(2**63) - 1})
def test_no_json_at_all_breaks_the_maker_of_rows(schema: Any) -> None:
    try:
        check_schema(schema)
        rows = make(schema, rows=5)
    except (FileFault, SchemaError) as refused:
        assert str(refused)
    else:
        assert len(read(rows.batches(0, 5))) == 5


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "string", "enum": []}, "none of its values [] fits"),
        ({"enum": [None]}, "no type is given"),
        ({"type": "string", "enum": [None, 5]}, "none of its values [None, 5] fits: each is no string or beyond the limits"),
        ({"type": "integer", "enum": [8, 9], "maximum": 5}, "none of its values [8, 9] fits"),
        ({"type": "string", "const": "a", "enum": ["b"]}, "none of its values ['a'] fits"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "no number lies between 5 and 4"),
        ({"type": "integer", "exclusiveMinimum": 4, "maximum": 4}, "no number lies between 5 and 4"),
        ({"type": "integer", "minimum": 11, "maximum": 19, "multipleOf": 10}, "no multiple of 10 lies between 11 and 19"),
        ({"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 5}, "no number lies between 5 and 4"),
        ({"type": "integer", "maximum": 10**400}, "out of range"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "a text of 5 to 4 characters cannot be made"),
        ({"type": "string", "minLength": 10**9}, "nor any of more than 4096"),
        ({"type": "string", "format": "uuid", "maxLength": 20}, "an id does not fit into 0 to 20 characters"),
        ({"type": "string", "format": "email", "maxLength": 8}, "no email of 0 to 8 characters"),
        ({"type": "string", "format": "ipv4", "maxLength": 5}, "no ipv4 of 0 to 5 characters"),
        ({"type": "string", "pattern": "^a+$"}, "a property with a pattern needs examples"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 2}, "minItems 3 is greater than maxItems 2"),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": True}, "only 2 different items"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 10**9}, "more than 5000 values"),
        ({"type": "array"}, "an array needs items"),
        ({"type": "array", "items": [{"type": "string"}]}, "an array needs items"),
        ({"type": "object"}, "an object needs properties"),
        ({"type": "object", "properties": {}}, "an object needs properties"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"], "additionalProperties": False}, "required names 'b'"),
        ({"type": "object", "properties": {"": {"type": "string"}}}, "'' cannot be a column's name"),
        ({"type": "object", "properties": {"a\0b": {"type": "string"}}}, "cannot be a column's name"),
        ({"type": ["string", "integer"]}, "a column has one type"),
        ({"type": "null"}, "a column has one type"),
        ({}, "no type is given"),
        (True, "has to be an object, not True"),
        ({"$ref": "#/definitions/a"}, "'$ref' '#/definitions/a' leads nowhere"),
        ({"type": "object", "properties": {"a": {"additionalProperties": {}}}}, "additionalProperties that say of what type"),
        ({"anyOf": [{"type": "string"}]}, "'anyOf' is not supported here"),
        (reduce(lambda schema, _: of_one_property(schema), range(100), {"type": "string"}), "nested deeper than"),
    ],
)  # fmt: skip
def test_schemas_that_rows_cannot_be_made_from_are_refused(schema: Any, reason: str) -> None:
    with pytest.raises(SchemaError) as refused:
        make(of_one_property(schema))
    assert reason in refused.value.reason
    assert refused.value.path.split(".")[0] == "value"
    assert str(refused.value) == f"the schema, property {refused.value.path}: {refused.value.reason}"
