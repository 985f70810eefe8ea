"""The sentences of violations: where, what was expected, what was given instead; short whatever the value is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

SHOWN: Final = 60
"""Characters of a given text, name or number that are shown."""
MAX_ECHO: Final = 100
"""Characters of a client's text that an error repeats."""
MAX_OPTIONS: Final = 20
"""Allowed values that are listed."""

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_$@][A-Za-z0-9_$@-]{0,59}")
_TYPES: Final = {
    "string": "a string",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "an object",
    "array": "an array",
    "null": "null",
}


def path_text(path: str, keys: Sequence[str | int]) -> str:
    """`path` and the keys below it: `params.datasets[0].dataSetId`; unusual names as `params["a.b"]`."""
    for key in keys:
        if isinstance(key, int):
            path += f"[{key}]"
        elif _PLAIN_NAME.fullmatch(key):
            path += f".{key}" if path else key
        else:
            path += f"[{literal(key)}]"
    return path


def literal(value: Any) -> str:
    """A value as JSON has it, shortened; of an object or an array only how large it is."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _quoted(value)
        case dict():
            return f"an object of {_count(len(value), 'property')}" if value else "an empty object"
        case list():
            return f"an array of {_count(len(value), 'item')}" if value else "an empty array"
    return str(value)


def echo(value: Any) -> str:
    """A client's value as an error repeats it: a text without quotes, at most MAX_ECHO characters, always writable as UTF-8."""
    text = value if isinstance(value, str) else literal(value)
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_ECHO else text[: MAX_ECHO - 3] + "..."


def violation_text(place: str, rule: str, limit: Any, value: Any, *, hidden: bool, several: bool = False) -> str:
    """One sentence, without its full stop. `limit` is what the schema has under the keyword `rule`.

    `hidden` keeps the value out of the sentence; `several` is for `oneOf` and says that more than one form fits.
    """
    place = place or "the body"
    alone = _ALONE.get(rule)
    if alone is not None:
        return f"{place} {alone}"
    if rule == "oneOf" and several:
        return f"{place} must have exactly one of the {len(limit)} allowed forms, but fits more than one of them"
    expected = _EXPECTED[rule](limit) if rule in _EXPECTED else f"fit the schema's {rule} ({literal(limit)})"
    if hidden or re.match(r"auth\b", place):  # a client may have put a password into the field of another name
        return f"{place} must {expected}, got another value (it may be a secret, so it is not shown)"
    return f"{place} must {expected}, got {_given(rule, limit, value)}"


def _given(rule: str, limit: Any, value: Any) -> str:
    shown = literal(value)
    if rule == "type" and isinstance(value, str):
        return f"the string {shown}"
    if rule == "type" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"the number {shown}"
    if rule in ("minLength", "maxLength") and len(value) <= SHOWN:
        return f"{shown} ({_count(len(value), 'character')})"
    return shown


def _quoted(text: str) -> str:
    if len(text) <= SHOWN:
        return json.dumps(text, ensure_ascii=False)
    return f'{json.dumps(text[:SHOWN], ensure_ascii=False)[:-1]}…" ({_count(len(text), "character")})'


def _count(number: int, thing: str) -> str:
    if number != 1:
        thing = thing[:-1] + "ies" if thing.endswith("y") else thing + "s"
    return f"{number:,} {thing}"


def _either(options: Sequence[str]) -> str:
    listed = list(options[:MAX_OPTIONS])
    if len(options) > MAX_OPTIONS:
        listed.append(f"{len(options) - MAX_OPTIONS:,} more")
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} or {listed[-1]}"


def _be_of_type(limit: Any) -> str:
    return "be " + _either([_TYPES[name] for name in ([limit] if isinstance(limit, str) else limit)])


def _be_one_of(limit: Any) -> str:
    return "be " + _either([literal(option) for option in limit]) if limit else "not be given: no value is allowed here"


def _have_a_form(limit: Any) -> str:
    """`oneOf` and `anyOf`, which in the published specs list constants with a title each."""
    if all(isinstance(form, dict) and "const" in form for form in limit):
        return _be_one_of([form["const"] for form in limit])
    return f"have one of the {len(limit)} allowed forms"


_EXPECTED: Final[Mapping[str, Callable[[Any], str]]] = {
    "type": _be_of_type,
    "enum": _be_one_of,
    "const": lambda limit: f"be {literal(limit)}",
    "pattern": lambda limit: f"match the pattern {limit}",
    "minLength": lambda limit: f"have at least {_count(limit, 'character')}",
    "maxLength": lambda limit: f"have at most {_count(limit, 'character')}",
    "minimum": lambda limit: f"be at least {limit}",
    "maximum": lambda limit: f"be at most {limit}",
    "exclusiveMinimum": lambda limit: f"be greater than {limit}",
    "exclusiveMaximum": lambda limit: f"be less than {limit}",
    "multipleOf": lambda limit: f"be a multiple of {limit}",
    "minItems": lambda limit: f"have at least {_count(limit, 'item')}",
    "maxItems": lambda limit: f"have at most {_count(limit, 'item')}",
    "minProperties": lambda limit: f"have at least {_count(limit, 'property')}",
    "maxProperties": lambda limit: f"have at most {_count(limit, 'property')}",
    "oneOf": _have_a_form,
    "anyOf": _have_a_form,
}
_ALONE: Final = {
    "required": "is required but missing",
    "additionalProperties": "is not a known property here",
    "uniqueItems": "must not have the same item twice",
    "propertyNames": "has a name that is not allowed here",
    "false": "is not allowed here",
}
