"""A parameter of a control call that is given twice is refused: one of the two would not be heard."""

from __future__ import annotations

import pytest

from contract_tests.support import Api, assert_error
from contract_tests.tutorial import S3


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/reset?exports=true&exports=false", "exports"),
        ("POST", "/reset?keep=contract&keep=contract", "keep"),
        ("GET", "/contract?format=json&format=html", "format"),
        ("GET", "/exports?flow=a&flow=b", "flow"),
        ("GET", "/overview?flow=a&flow=b", "flow"),
        ("GET", "/previews/any?rows=1&rows=2", "rows"),
        ("GET", "/requests?limit=1&limit=2", "limit"),
    ],
)
def test_it_is_refused_and_nothing_is_done(api: Api, method: str, path: str, name: str) -> None:
    connection = api.created("connections", S3.base_connection())
    refused = api.http.request(method, f"/__emulator{path}")
    assert assert_error(refused, "control-invalid")["detail"] == f"{name} was given twice"
    assert api.item(f"/connections/{connection}")["id"] == connection


@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        ("POST", "/reset?export=true", "known are exports, keep"),
        ("GET", "/contract?as=html", "known are format, fail-on"),
        ("DELETE", "/requests?limit=1", "known are none"),
        ("GET", "/overview?name=a", "known is flow"),
    ],
)
def test_an_unknown_one_is_told_the_known_ones(api: Api, method: str, path: str, known: str) -> None:
    refused = api.http.request(method, f"/__emulator{path}")
    assert f"is unknown; {known}" in assert_error(refused, "control-invalid")["detail"]
