"""A seventh destination, made of two fixture files, whose target parameters use every keyword of draft 7.

Source: documentation, "Add a destination" (a destination is a matter of files); JSON Schema draft 7, validation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contract_tests.support import Api, serving, violations
from contract_tests.tutorial import AZURE_BLOB

pytestmark = pytest.mark.emulator_only
FIXTURES = Path(__file__).parents[2] / "fixtures"
SEVENTH = replace(
    AZURE_BLOB,
    folder="seventh",
    spec="00000000-0000-4000-8000-000000000007",
    flow_spec="00000000-0000-4000-8000-000000000077",
)
OBJECT, TEXT, COLOURS = {"type": "object"}, {"type": "string"}, ["red", "green"]
CASES: dict[str, tuple[dict[str, Any], list[Any], list[Any], str, str]] = {
    # keyword: the schema, values that fit, values that do not, the rule, a part of the message
    "text": (TEXT, ["", "x"], [1, None, True, [], {}], "type", "must be a string"),
    "integer": ({"type": "integer"}, [1, 1.0, -5], [1.5, "1", True], "type", "must be a whole number"),
    "number": ({"type": "number"}, [1, 1.5], ["1", False, None], "type", "must be a number"),
    "boolean": ({"type": "boolean"}, [True, False], [0, "true"], "type", "must be"),
    "array": ({"type": "array"}, [[], [1]], [{}, "[]"], "type", "must be an array"),
    "types": ({"type": ["string", "null"]}, ["", None], [0, []], "type", "a string or null"),
    "enum": ({"enum": [*COLOURS, 1]}, ["red", 1, 1.0], ["blue", True, None], "enum", '"red", "green" or 1'),
    "const": ({"const": {"a": [1]}}, [{"a": [1.0]}], [{"a": [2]}, {}], "const", "must be"),
    "min_length": ({"minLength": 2}, ["ab", "äö", 1], ["a", ""], "minLength", "at least 2 characters"),
    "max_length": ({"maxLength": 2}, ["ab", "😀😀", []], ["abc"], "maxLength", "at most 2 characters"),
    "minimum": ({"minimum": 2}, [2, 3, "x"], [1, 1.99], "minimum", "at least 2"),
    "maximum": ({"maximum": 2}, [2, 1, "x"], [3, 2.01], "maximum", "at most 2"),
    "above": ({"exclusiveMinimum": 2}, [2.01, "x"], [2, 1], "exclusiveMinimum", "greater than 2"),
    "below": ({"exclusiveMaximum": 2}, [1.99, "x"], [2, 3], "exclusiveMaximum", "less than 2"),
    "multiple": ({"multipleOf": 0.1}, [0.3, 1, "x"], [0.35], "multipleOf", "multiple of 0.1"),
    "min_items": ({"minItems": 2}, [[1, 2], {}], [[1], []], "minItems", "at least 2 items"),
    "max_items": ({"maxItems": 2}, [[1, 2], {}], [[1, 2, 3]], "maxItems", "at most 2 items"),
    "unique": ({"uniqueItems": True}, [[1, "1", True], 5], [[1, 1.0], [{"a": 1}, {"a": 1}]], "uniqueItems", "twice"),
    "few": ({"minProperties": 1}, [{"a": 1}, []], [{}], "minProperties", "at least 1 property"),
    "many": ({"maxProperties": 1}, [{"a": 1}, {}], [{"a": 1, "b": 2}], "maxProperties", "at most 1 property"),
    "pattern": ({"pattern": "^a\\d+$"}, ["a1", 5], ["a", "b1", "a1\n"], "pattern", "^a\\d+$"),
    "any_of": ({"anyOf": [TEXT, {"minimum": 5}]}, ["x", 5, None], [4], "anyOf", "one of the 2 allowed forms"),
    "one_of": ({"oneOf": [{"minimum": 5}, {"maximum": 9}]}, [4, 10], [7], "oneOf", "more than one"),
    "one_of_texts": ({"oneOf": [{"const": "a"}, {"const": "b"}]}, ["a", "b"], ["c"], "oneOf", '"a" or "b"'),
    "not": ({"not": TEXT}, [1], ["x"], "not", "must fit"),
    "contains": ({"contains": {"const": 1}}, [[2, 1], "x"], [[2], []], "contains", "must fit"),
}
DEEP: dict[str, tuple[dict[str, Any], list[Any], list[Any], str, str]] = {
    # the same, of something inside the value: the rule, and the place below it
    "required": ({"required": ["a"]}, [{"a": None}, 1], [{}, {"b": 1}], "required", ".a"),
    "properties": ({"properties": {"a": TEXT}}, [{"a": "x", "b": 1}, []], [{"a": 1}], "type", ".a"),
    "closed": ({"properties": {"a": {}}, "additionalProperties": False}, [{"a": 1}], [{"b": 1}], "additionalProperties", ".b"),
    "others": ({"properties": {"a": {}}, "additionalProperties": TEXT}, [{"a": 1, "b": "x"}], [{"b": 1}], "type", ".b"),
    "patterned": ({"patternProperties": {"^x": TEXT}}, [{"x1": "x", "a": 1}], [{"x1": 1}], "type", ".x1"),
    "names": ({"propertyNames": {"maxLength": 2}}, [{"ab": 1}], [{"abc": 1}], "propertyNames", ".abc"),
    "items": ({"items": TEXT}, [["x"], [], "x"], [["x", 1]], "type", "[1]"),
    "tuple": ({"items": [TEXT], "additionalItems": {"type": "null"}}, [["x", None], ["x"]], [["x", 1]], "type", "[1]"),
    "all_of": ({"allOf": [OBJECT, {"required": ["a"]}]}, [{"a": 1}], [{}], "required", ".a"),
    "if": ({"if": {"minProperties": 1}, "then": {"required": ["a"]}}, [{}, {"a": 1}], [{"b": 1}], "required", ".a"),
    "else": ({"if": {"minProperties": 1}, "else": TEXT}, [{"a": 1}, "x"], [], "type", ""),
    "dependent": ({"dependencies": {"a": {"required": ["b"]}}}, [{}, {"a": 1, "b": 1}], [{"a": 1}], "required", ".b"),
    "reference": ({"$ref": "#/definitions/text"}, ["x"], [1], "type", ""),
}  # fmt: skip

CONDITIONS: dict[str, tuple[list[Any], list[Any]]] = {
    # operator: what the codec's name has to be compared with "zip" for the field to count, and for it not to
    "EQUALS": (["zip"], ["ZIP", "unzip", 1]),
    "NOT_EQUALS": (["tar", ["zip"]], ["zip"]),
    "CONTAINS": (["unzip", ["tar", "zip"]], ["zi", ["unzip"], 1]),
    "NOT_CONTAINS": (["zi", ["unzip"]], ["zip", "zipped", ["zip"]]),
}


@pytest.fixture(scope="module")
def seventh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("seventh")
    own = {
        kind: json.loads((FIXTURES / kind / "azure-blob.json").read_text("utf-8"))
        for kind in ("connection-specs", "flow-specs")
    }
    own["connection-specs"]["destination"] = "seventh"
    own["connection-specs"]["spec"]["id"] = SEVENTH.spec  # with the name of a built-in one
    schema = own["connection-specs"]["spec"]["targetSpec"]["spec"]
    schema["definitions"] = {"text": TEXT}
    schema["properties"] |= {name: case[0] for name, case in (CASES | DEEP).items()}
    for operator in CONDITIONS:
        condition = {"field": "codec.name", "operator": operator, "value": "zip"}
        schema["properties"][operator] = {"conditional": condition, "type": "integer"}
    schema["required"].append("EQUALS")
    schema["properties"]["palette"] = {"items": {"properties": {"colour": {"enum": COLOURS}}}}
    schema["properties"]["secret"] = {"type": "string", "format": "password", "minLength": 6}
    own["flow-specs"] |= {"id": SEVENTH.flow_spec, "name": "Seventh", "targetConnectionSpecIds": [SEVENTH.spec]}
    for kind, content in own.items():
        (folder / "fixtures" / kind).mkdir(parents=True)
        (folder / "fixtures" / kind / "seventh.json").write_text(json.dumps(content))
    with serving(folder, "--fixtures", str(folder / "fixtures")) as server, closing(Api(server.url)) as api:
        yield api


@pytest.fixture(scope="module")
def base(seventh: Api) -> str:
    return seventh.created("connections", SEVENTH.base_connection())


@pytest.mark.parametrize("name", CASES | DEEP)
def test_every_keyword(seventh: Api, base: str, name: str) -> None:
    _, good, bad, rule, told = (CASES | DEEP)[name]
    for value in good:
        body = SEVENTH.target_connection(base, **{name: value})
        stored = seventh.item(f"/targetConnections/{seventh.created('targetConnections', body)}")["params"][name]
        assert stored == value and type(stored) is type(value)
    for value in bad:
        found = violations(seventh.post("/targetConnections", SEVENTH.target_connection(base, **{name: value})))
        (place,) = found
        assert found[place]["rule"] == rule
        assert place == f"params.{name}" + (told if name in DEEP else "")
        assert name in DEEP or told in found[place]["message"]
        if rule == "type" and name in CASES:
            kind = {str: "the string ", int: "the number ", float: "the number "}.get(type(value), "")
            assert f", got {kind}" in found[place]["message"]
            assert kind or ", got the " not in found[place]["message"]


@pytest.mark.parametrize("operator", CONDITIONS)
def test_a_field_on_a_condition(seventh: Api, base: str, operator: str) -> None:
    """Where the condition does not hold, nothing is asked of the field."""
    holds, fails = CONDITIONS[operator]
    for codec in holds:
        params = {"codec": {"name": codec}, "EQUALS": 1, operator: "x"}
        assert set(violations(seventh.post("/targetConnections", SEVENTH.target_connection(base, **params)))) == {
            f"params.{operator}"
        }
    for codec in fails:
        params = {"codec": {"name": codec}, "EQUALS": 1, operator: "x"}
        seventh.created("targetConnections", SEVENTH.target_connection(base, **params))
    answer = seventh.post("/targetConnections", SEVENTH.target_connection(base, codec={"name": "zip"}))
    assert violations(answer)["params.EQUALS"]["rule"] == "required"


def test_the_documented_letter_case_is_stored_at_any_depth(seventh: Api, base: str) -> None:
    body = SEVENTH.target_connection(base, palette=[{"colour": "green"}, {"colour": "RED"}, {}])
    stored = seventh.item(f"/targetConnections/{seventh.created('targetConnections', body)}")
    assert stored["params"]["palette"] == [{"colour": "green"}, {"colour": "red"}, {}]


def test_a_password_of_its_own_is_never_shown(seventh: Api, base: str) -> None:
    body = SEVENTH.target_connection(base, secret="hunter2hunter2")
    stored = seventh.get(f"/targetConnections/{seventh.created('targetConnections', body)}")
    assert stored.json()["items"][0]["params"]["secret"] == "****"
    refused = seventh.post("/targetConnections", SEVENTH.target_connection(base, secret="hunt2"))
    assert violations(refused)["params.secret"]["rule"] == "minLength" and "hunt2" not in refused.text
    assert "hunt" not in str(seventh.control("GET", "/requests")) + str(seventh.control("GET", "/contract"))


def test_its_bodies_are_described(seventh: Api, base: str) -> None:
    """By schemas of their own, with references to parts of themselves."""
    components = seventh.http.get("/openapi.json").json()["components"]
    validator = Draft202012Validator({"$ref": "#/components/schemas/TargetConnectionRequest", "components": components})
    for destination, name, value, fits in (
        (SEVENTH, "reference", "x", True),
        (SEVENTH, "reference", 1, False),
        (SEVENTH, "min_length", "a", False),
        (AZURE_BLOB, "reference", 1, True),
    ):
        body = destination.target_connection(base, **{"EQUALS": 1, name: value})
        assert validator.is_valid(body) is fits


def test_it_exports_like_any_other(seventh: Api) -> None:
    seventh.flow(SEVENTH)
    (run,) = seventh.advance(0)
    (file,) = seventh.control("GET", "/exports", params={"run": run["id"]})["items"]
    assert file["path"].startswith("seventh/your-container-name/folder/subfolder/")
