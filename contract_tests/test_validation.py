"""Schemas, patterns, conditions, passwords and sentences of `flow_service_emulator.validation`."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from flow_service_emulator.built_in import fixtures_dir
from flow_service_emulator.validation.schemas import compiled
from flow_service_emulator.validation.validation import MASK, MAX_VIOLATIONS, SchemaError, SchemaValidator, Violation

untimed = settings(max_examples=80, deadline=None)


def matches(pattern: str, text: str) -> bool:
    return SchemaValidator({"pattern": pattern}).violations(text) == []


SPECS = [json.loads(path.read_text("utf-8")) for path in (fixtures_dir() / "connection-specs").glob("*.json")]
PATTERNS = sorted(set(re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps(SPECS))), key=len)
PATTERNS = [json.loads(pattern) for pattern in PATTERNS]
"""As the connection specs publish them."""
SECRET_KEY = r"^[A-Za-z0-9/\+]{40}$"
DATASETS = {"flowSpec": {"attributes": {"_workflow": "DATASETS"}}}
SEGMENTS = {"flowSpec": {"attributes": {"_workflow": "SEGMENTS"}}}


# --- Patterns
PIECES = [
    *("a", "z0", "0", "1.", "12.3", ".", "-", "--", "_", "a-b", "a.b", "goog", "gle", "g0ogle", "x" * 30, "a/b", "/"),
    *("!", "*", "'", "(", ")", "%", "%SEGMENT_NAME%", "%SEGMENT_ID%", "%SEGMENT_", " ", "A", "é", "\u0661", "+", "\\"),
]
texts = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@pytest.mark.parametrize("pattern", PATTERNS)
@untimed
@given(text=texts)
def test_a_short_text_has_the_verdict_of_another_engine(pattern: str, text: str) -> None:
    """Python's, which is right where no line ends, and which a longer text would hold up for hours."""
    assert matches(pattern, text[:40]) is bool(re.search(pattern, text[:40], re.ASCII))


@pytest.mark.parametrize("pattern", [*PATTERNS, r"(?=[ab]{1,900}!)a", "(?!x)[a-z]{2,900}!"])
@pytest.mark.parametrize("piece", ["a.", "a-", "/", "%SEGMENT_ID%/", "goo"])
def test_a_long_value_gets_its_verdict(pattern: str, piece: str) -> None:
    """The published Google pattern takes a backtracking engine without a limit longer than anyone would wait."""
    for length in (222, 1_000_000):
        assert not matches(pattern, (piece * length)[: length - 1] + ",")


@pytest.mark.parametrize(("pattern", "text", "expected"), [
    (r"^a$", "a\n", False), (r"^\d$", "\u0661", False), (r"^.$", "\x85", True), (r"^[.]$", "x", False),
    (r"^\.$", "x", False), (r"^[\].]$", ".", True), (r"^a$", "A", False), (r"^.$", "\U0001f600", True),
    (r"(?<!a)b", "ab", False), (r"^(a)\1$", "aa", True), (r"^[&&a]$", "&", True), (r"^[[]$", "[", True),
])  # fmt: skip
def test_patterns_follow_ecma_262(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected


@pytest.mark.parametrize("pattern", ["[", "(", "a++", "(?i)a", r"\A", "*", "(?>a)", "a{900}" * 200, "^(a{900}){900}$"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(SchemaError, match=r"regex|size limit"):
        matches(pattern, "a")


# --- Published schemas

PUBLISHED = {
    f"{wrapper['spec']['name']}, {role}": (schema, example)
    for wrapper in SPECS
    for role, schema, example in (
        *((each["name"], each["spec"], wrapper["examples"]["auth"][each["name"]]) for each in wrapper["spec"]["authSpec"]),
        *((role, wrapper["spec"][f"{role}Spec"]["spec"], wrapper["examples"][role]) for role in ("source", "target") if role in wrapper["examples"]),
    )
}  # fmt: skip
values: st.SearchStrategy[Any] = st.one_of(
    texts.filter(str.isascii).map(lambda text: text[:40]),
    st.sampled_from(["JSON", "GZIP", 1, 1.5, True, None, [], [{}], {}]),
)


@cache
def both(name: str, of_datasets: bool) -> tuple[SchemaValidator, Draft7Validator]:
    ours = SchemaValidator(PUBLISHED[name][0])
    return ours, Draft7Validator(ours.applicable(DATASETS if of_datasets else SEGMENTS))


@pytest.mark.parametrize("name", PUBLISHED)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_verdict_is_that_of_jsonschema(name: str, data: st.DataObject) -> None:
    """The library of the specification's own list, and the slower one: on every published schema, with fields left out and others."""
    schema, example = PUBLISHED[name]
    names = data.draw(st.lists(st.sampled_from([*schema["properties"], "another"]), unique=True, max_size=3))
    value = {**example, **{each: data.draw(values) for each in names}}
    for each in data.draw(st.lists(st.sampled_from(list(value)), unique=True, max_size=2)):
        del value[each]
    context = data.draw(st.sampled_from([DATASETS, SEGMENTS]))
    ours, theirs = both(name, context is DATASETS)
    assert (ours.violations(value, context=context) == []) is theirs.is_valid(value)


# --- Conditions


def conditional(field: str, operator: Any, value: Any) -> dict[str, Any]:
    return {"conditional": {"field": field, "operator": operator, "value": value}}


def places(found: list[Violation]) -> list[tuple[str, str]]:
    return [(violation.path, violation.rule) for violation in found]


# --- Schemas with errors


@pytest.mark.parametrize(
    ("schema", "place", "reason"),
    [
        ({"type": "strin"}, "/type", "strin"),
        ({"properties": {"a/b": {"minLength": -1}}}, "/properties/a~1b/minLength", "minimum"),
        ({"required": "a"}, "/required", "array"),
        ({"properties": {"a": {"pattern": "("}}}, "/properties/a/pattern", "regex"),
        ({"items": {"pattern": "^[^]$"}}, "/items/pattern", "regex"),
        ({"items": {"properties": {"a": conditional("x", "EQUALS", "1")}}}, "", "deeper ones are not supported"),
        ({"items": {"$ref": "#/definitions/b"}}, "", "'/definitions/b' does not exist"),
        ({"items": {"$ref": "http://localhost:1/x.json"}}, "", "only parts of the same schema"),
        ({"properties": {"a": conditional("x", "IS", "1")}}, "/properties/a/conditional", 'unknown operator "IS"'),
        ({"properties": {"a": {"conditional": True}}}, "/properties/a/conditional", "has a field"),
    ],
)
def test_a_bad_schema_is_refused_with_the_place_and_the_reason(schema: Any, place: str, reason: str) -> None:
    with pytest.raises(SchemaError) as caught:
        compiled(schema)
        SchemaValidator(schema)
    assert caught.value.place == place
    assert reason in caught.value.reason


def test_formats_are_annotations() -> None:
    schema = {"properties": {"a": {"format": "date"}, "c": {"format": "colour"}}}
    assert SchemaValidator(schema).violations({"a": "x", "c": "x"}) == []


# --- Sentences


def test_examples_come_from_the_example_object_and_else_from_the_schema() -> None:
    keys = {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string", "examples": ["s"]}}}}
    schema = {"properties": {"keys": keys, "n": {"type": "integer", "examples": [0, 1]}}, "required": ["n", "keys"]}
    value = {"keys": [{"id": "a"}, {"id": 2}]}

    found = SchemaValidator(schema).violations(value)
    assert [(each.path, each.example) for each in found] == [("keys[1].id", "s"), ("n", 0)]
    found = SchemaValidator(schema, {"keys": [{"id": "e"}]}).violations(value)
    assert [(each.path, each.example) for each in found] == [("keys[1].id", "e"), ("n", 0)]
    assert "example" in found[1].as_json()
    found = SchemaValidator(schema, {"keys": [{"id": "e"}]}).violations({"n": 1})
    assert [(each.path, each.example) for each in found] == [("keys", [{"id": "e"}])]


def test_the_order_is_that_of_the_schema_and_a_wrong_type_is_told_alone() -> None:
    text = {"type": "string", "enum": ["x"]}
    validator = SchemaValidator({"properties": {"bucket": {"pattern": "^[a-z]+$"}, "type": text, "form": text}})
    value = {"form": 1, "type": 1, "bucket": "X"}
    found = validator.violations(value)
    assert places(found) == [("bucket", "pattern"), ("type", "type"), ("form", "type")]
    assert validator.violations(dict(reversed(value.items()))) == found
    found = SchemaValidator({"items": {"required": ["b", "a"]}}).violations([{"a": 1}, {}])
    assert [violation.path for violation in found] == ["[0].b", "[1].b", "[1].a"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("plain-name_1", "plain-name_1"),
        ("a.b", '["a.b"]'),
        ("", '[""]'),
        ("[0]", '["[0]"]'),
        ('"\n\x1b', '["\\"\\n\\u001b"]'),
        ("x" * 100_000, f'["{"x" * 60}…" (100,000 characters)]'),
    ],
)
def test_unusual_names_make_no_unusual_paths(name: str, path: str) -> None:
    [violation] = SchemaValidator({"properties": {}, "additionalProperties": False}).violations({name: 1})
    assert violation.path == path
    assert violation.message == f"{path} is not a known property here"
    json.dumps(violation.as_json()).encode()


def test_what_is_shown_of_a_value_is_short_and_printable() -> None:
    schema = {"properties": {"a": {"enum": [f"option-{n}" for n in range(1_000)]}}}
    [violation] = SchemaValidator(schema).violations({"a": "\x1b[2J\\" + "y" * 200_000})
    assert len(violation.message) < 600
    assert '"\\u001b[2J\\\\yyy' in violation.message
    assert "980 more" in violation.message
    violation.message.encode()


# --- Bounds


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([{"id": "x"}] * 30_000, []),
        ([{"id": "x"}] * 1_000 + [{"id": 1}], [("items[1000].id", "type")]),
        ([{}] * 2_000, [(f"items[{n}].id", "required") for n in range(MAX_VIOLATIONS)]),
        ([{}] * 300_000, [("", "size")]),
        ([{"id": "x"}] * 30_000 + [{}], [("", "size")]),
    ],
    ids=["many valid", "one wrong", "many wrong", "vast", "vast with one wrong"],
)
def test_large_values_get_a_bounded_answer(items: Any, expected: Any) -> None:
    item = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    validator = SchemaValidator({"properties": {"items": {"type": "array", "items": item}}})
    assert places(validator.violations({"items": items})) == expected


# --- What is meant


def test_fields_are_unknown_where_the_schema_names_others_beside_them() -> None:
    schema = {
        "properties": {
            "named": {"properties": {"a": True}, "required": ["b"]},
            "patterned": {"properties": {"a": True}, "patternProperties": {"^x-": {}}},
            "open": {"properties": {"a": {}}, "additionalProperties": True},
            "silent": {"type": "object"},
            "list": {"items": {"oneOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}},
        }
    }
    fields = {"a": 1, "b": 1, "x-y": 1, "c": 1}
    value = {**dict.fromkeys(("named", "patterned", "open", "silent"), fields), "list": [{}, fields], "more": fields}
    _, _, unknown = SchemaValidator(schema).read(value)
    assert unknown == [("more",), ("named", "x-y"), ("named", "c"), ("list", 1, "x-y"), ("list", 1, "c")]


# --- Passwords

SECRET = "hunter2-is-the-secret"
PASSWORD = {"type": "string", "format": "password", "minLength": 30, "pattern": SECRET_KEY}
ACCOUNT = {
    "type": "object",
    "properties": {
        "user": {"type": "string"},
        "password": PASSWORD,
        "keys": {"items": {"properties": {"key": {"$ref": "#/definitions/key"}}}},
        "either": {"oneOf": [{"type": "object", "properties": {"token": PASSWORD}}, {"type": "null"}]},
    },
    "patternProperties": {"^secret-": PASSWORD},
    "required": ["password"],
    "definitions": {"key": PASSWORD},
}


around_secrets = st.recursive(
    st.just(SECRET) | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("x") | st.just("key"), inner, max_size=2),
    max_leaves=4,
)


@untimed
@given(password=around_secrets, keys=st.lists(around_secrets, max_size=2), token=around_secrets)
def test_no_password_is_ever_shown(password: Any, keys: Any, token: Any) -> None:
    value = {
        "user": 1,
        "password": password,
        "keys": [{"key": key} for key in keys],
        "either": {"token": token},
        "secret-1": password,
    }
    validator = SchemaValidator(ACCOUNT)
    found = validator.violations(value, path="auth.params")
    assert ("auth.params.user", "type") in places(found)
    assert len(found) > 1
    assert SECRET not in json.dumps([violation.as_json() for violation in found])
    masked = validator.mask(value)
    assert masked["user"] == 1 and masked["password"] == masked["secret-1"] == masked["either"]["token"] == MASK
    assert SECRET not in json.dumps(masked)


def test_a_password_that_is_masked_in_both_is_as_valid_as_it_was() -> None:
    validator = SchemaValidator(ACCOUNT)
    stored = {"password": MASK, "keys": [{"key": MASK}]}
    assert validator.violations(stored, stored=stored) == []
    assert {path for path, _ in places(validator.violations(stored))} == {"password", "keys[0].key"}
    assert validator.violations(stored, stored={}) == validator.violations(stored)
