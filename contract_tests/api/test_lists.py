"""Lists: filters, projection, order, count, limit and paging, on entities, specs and eligible datasets.

Source: reference, section "Sorting, filtering, paging", and the rows of `/configs`, `/connectionSpecs` and `/flowSpecs` in
"Endpoints".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contract_tests.support import Api, assert_error
from contract_tests.tutorial import DATA_LAKE, DESTINATIONS, GOOGLE, S3, SECOND_DATASET, SFTP, SOURCE_CONNECTION

CONFIGS = f"/connectionSpecs/{DATA_LAKE}/configs?outputType=activationDatasets&outputField=datasets"


def named(api: Api, *names: str) -> dict[str, str]:
    """Connections of these names, in this order, a second apart; answers name -> id."""
    ids = {}
    for name in names:
        ids[name] = api.created("connections", {**SFTP.base_connection(), "name": name})
        api.pass_a_moment()
    return ids


def asked(api: Api, path: str, **params: Any) -> httpx.Response:
    """A list, elsewhere only of what the test has created there. In conditions, `{}` is the prefix of its names."""
    given = params.pop("property", [])
    conditions = [condition.replace("{}", api.prefix) for condition in ([given] if isinstance(given, str) else given)]
    own = [] if "continuationToken" in params or "Specs" in path else api.own(path.strip("/"))
    return api.get(path, params={**params, "property": conditions + own})


def plain(api: Api, items: list[dict[str, Any]]) -> list[str]:
    """Names as the test has given them."""
    return [item["name"].removeprefix(api.prefix) for item in items]


def names(api: Api, path: str, **params: Any) -> list[str]:
    response = asked(api, path, **params)
    assert response.status_code == 200, response.text
    return plain(api, response.json()["items"])


def pages(api: Api, path: str, **params: Any) -> Iterator[list[dict[str, Any]]]:
    """Every page, following `_links.next.href` as it is."""
    response = asked(api, path, **params)
    while True:
        assert response.status_code == 200, response.text
        body = response.json()
        yield body["items"]
        href = body["_links"].get("next", {}).get("href")
        if href is None:
            return
        response = api.get(href)


def token_of(response: httpx.Response) -> str:
    """The token as clients cut it out of the href: by splitting at `=`."""
    href: str = response.json()["_links"]["next"]["href"]
    parts = href.split("=")
    assert len(parts) == 2, href
    return parts[1]


# --- order --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("orderby", "expected"), [
    ("name", "abc"), ("+name", "abc"), ("-name", "cba"), ("createdAt", "acb"), ("-createdAt", "bca"),
    ("state,-name", "cba"), ("state,name", "abc"), ("-connectionSpec.id,name", "abc"),
    ("", "bca"), ("updatedAt", "cba"), ("-updatedAt", "abc"), (",".join(["state"] * 7 + ["-name"]), "cba"),
])  # fmt: skip
def test_orderby(api: Api, orderby: str, expected: str) -> None:
    """a, c and b were created in this order, and a was changed last. Without it the newest stands first."""
    path = f"/connections/{named(api, 'a', 'c', 'b')['a']}"
    api.patched(path, {"op": "add", "path": "/description", "value": "changed"})
    assert names(api, "/connections", **({"orderby": orderby} if orderby else {})) == [*expected]


# --- filters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("condition", "expected"), [
    ("name=={}b", "b"), ('name=="{}b"', "b"), ("name=={}a,{}c", "ca"), ('name=="{}a","{}c"', "ca"),
    ("name!={}b", "ca"), ("name!={}a,{}b", "c"),
    ("name<{}b", "a"), ("name<={}b", "ba"), ("name>{}b", "c"), ("name>={}b", "cb"),
    ("createdAt==<b>", "b"), ("createdAt!=<b>", "ca"),
    ("createdAt<<b>", "a"), ("createdAt<=<b>", "ba"), ("createdAt><b>", "c"), ("createdAt>=<b>", "cb"),
    ("auth.specName==SFTP with Password", "cba"), ("auth.params.username==alice", "cba"),
    (f"connectionSpec.id=={SFTP.spec}", "cba"), (f"connectionSpec.id=={S3.spec}", ""), ("name==nobody", ""),
])  # fmt: skip
def test_filter(api: Api, condition: str, expected: str) -> None:
    """All six operators; several values mean any of them; a value may be wrapped in double quotes."""
    ids = named(api, "a", "b", "c")
    when = api.item(f"/connections/{ids['b']}")["createdAt"]
    assert names(api, "/connections", property=condition.replace("<b>", str(when))) == [*expected]


def test_filter_on_ids(api: Api) -> None:
    ids = named(api, "a", "b", "c")
    assert names(api, "/connections", property=f"id=={ids['b']}") == ["b"]
    assert names(api, "/connections", property=f'id=="{ids["b"]}"', orderby="name") == ["b"]
    assert names(api, "/connections", property=[f"id=={ids['b']}", "name=={}a"]) == []
    assert names(api, "/connections", property=f"id=={ids['a']},{ids['c']}") == ["c", "a"]
    assert names(api, "/connections", property=f"id!={ids['b']}") == ["c", "a"]
    assert names(api, "/flows", property=f"id=={ids['b']}") == []
    assert asked(api, "/connections", property=f"id=={ids['b']}", count="true").json() == {"count": 1}


def test_filter_into_arrays(api: Api) -> None:
    """`targetConnectionIds[]==a,b` and `inheritedAttributes.targetConnections[].connectionSpec.id==…`."""
    s3, sftp, google = [api.flow(destination, api.later) for destination in (S3, SFTP, GOOGLE)]
    (target,) = api.item(f"/flows/{sftp}")["targetConnectionIds"]
    (source,) = api.item(f"/flows/{s3}")["sourceConnectionIds"]
    for condition, flows in {
        f"targetConnectionIds[]=={target}": [sftp],
        f"targetConnectionIds[]=={target},{source}": [sftp],
        f"sourceConnectionIds[]=={source}": [s3],
        f"inheritedAttributes.targetConnections[].connectionSpec.id=={GOOGLE.spec}": [google],
        f"inheritedAttributes.targetConnections[].connectionSpec.id!={GOOGLE.spec}": [sftp, s3],
    }.items():
        assert [flow["id"] for flow in api.mine("/flows", property=condition)] == flows, condition


@pytest.mark.emulator_only
def test_filter_on_what_some_have_not(api: Api) -> None:
    """Guessed: where the field is missing nothing equals, so that `!=` alone matches; the emulator's own reading."""
    first, second = SOURCE_CONNECTION["params"]["datasets"][0]["dataSetId"], SECOND_DATASET
    both = [{"dataSetId": first, "name": "One"}, {"dataSetId": second}]
    some, other = (
        api.created("sourceConnections", {**SOURCE_CONNECTION, "params": {"datasets": datasets}})
        for datasets in (both, both[1:])
    )
    for condition, ids in {
        "name==One": [some], "name==One,Two": [some], f"dataSetId=={second}": [other, some],
        "name!=One": [other], "name==Two": [],
    }.items():  # fmt: skip
        found = api.mine("/sourceConnections", property=f"params.datasets[].{condition}")
        assert [item["id"] for item in found] == ids, condition


@pytest.mark.emulator_only
@pytest.mark.parametrize("status", ["success", "Success", "SUCCESS", "failed,success"])
def test_status_of_runs_in_any_letter_case(api: Api, status: str) -> None:
    """Reference, Entities: filters compare the status words without regard to case."""
    api.flow(S3)
    (run,) = api.advance(0)
    found = api.items("/runs", property=f"metrics.statusSummary.status=={status}")
    assert [item["id"] for item in found] == [run["id"]]
    assert api.items("/runs?property=metrics.statusSummary.status!=success") == []


# --- projection, count, limit -------------------------------------------------------------------------------------


def test_projection(api: Api) -> None:
    """A `property` with no operator is a comma-separated list of top-level fields; the token alone carries it on."""
    ids = named(api, "a", "b")
    found = list(pages(api, "/connections", property="id,name", limit=1))
    assert found == [[{"id": ids[name], "name": f"{api.prefix}{name}"}] for name in "ba"]


@pytest.mark.parametrize("count", ["true", "True", "TRUE"])
def test_count(api: Api, count: str) -> None:
    """`count=true` returns `{"count": N}` and no items."""
    named(api, "a", "b", "c")
    assert asked(api, "/connections", count=count).json() == {"count": 3}
    assert asked(api, "/connections", count=count, property="name>{}a").json() == {"count": 2}


@pytest.mark.parametrize("count", ["false", "False"])
def test_limit_with_count_false(api: Api, count: str) -> None:
    """`limit` with `count=false` (or `False`) is fine: a real client sends it."""
    named(api, "a", "b")
    assert names(api, "/connections", limit=1, count=count) == ["b"]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_limit(api: Api, limit: int) -> None:
    named(api, "a", "b", "c")
    assert names(api, "/connections", limit=limit) == ["c", "b", "a"][:limit]


@pytest.mark.emulator_only
@pytest.mark.parametrize("collection", ["connections", "sourceConnections", "targetConnections", "flows", "runs"])
def test_empty_list(api: Api, collection: str) -> None:
    assert api.get(f"/{collection}").json() == {"items": [], "_links": {}}


# --- paging -------------------------------------------------------------------------------------------------------


def test_next_link(api: Api) -> None:
    """`_links.next.href` is `/<collection>?continuationToken=<token>` and nothing after; none on the last page."""
    named(api, "a", "b")
    first = asked(api, "/connections", limit=1)
    href = first.json()["_links"]["next"]["href"]
    assert href == f"/connections?continuationToken={token_of(first)}"
    assert api.get(href).json()["_links"] == {}


@pytest.mark.parametrize("params", [
    {"limit": 2},
    {"limit": 2, "orderby": "name"},
    {"limit": 1, "orderby": "-state,name"},
    {"limit": 3, "property": ["name>{}a", "name!={}d"]},
    {"limit": 2, "orderby": "createdAt"},
])  # fmt: skip
def test_the_token_alone_carries_filter_order_and_limit_on(api: Api, params: dict[str, Any]) -> None:
    named(api, "e", "b", "d", "a", "c")
    whole = names(api, "/connections", **{name: value for name, value in params.items() if name != "limit"})
    found = [plain(api, page) for page in pages(api, "/connections", **params)]
    assert [name for page in found for name in page] == whole
    assert all(len(page) == params["limit"] for page in found[:-1])


def test_the_token_with_the_other_parameters(api: Api) -> None:
    """Clients send it with or without their other parameters."""
    named(api, "a", "b", "c")
    params: dict[str, Any] = {"limit": 1, "orderby": "name", "property": "name!={}b", "count": "False"}
    first = asked(api, "/connections", **params)
    params["property"] = [params["property"], *api.own("connections")]
    assert names(api, "/connections", **params, continuationToken=token_of(first)) == ["c"]


@pytest.mark.parametrize(("deleted", "created"), [("", ("aa", "zz", "c")), ("ae", ()), ("ace", ("a", "c", "e", "0"))])
@pytest.mark.parametrize("orderby", ["name", "-name", "createdAt", "-createdAt", "state", None])
def test_what_exists_throughout_is_seen_exactly_once(
    api: Api, orderby: str | None, deleted: str, created: tuple[str, ...]
) -> None:
    """Guessed: paging stays right while entities are created and deleted in between."""
    ids = named(api, "b", "d", "a", "e", "c")
    params: dict[str, Any] = {"limit": 2, **({"orderby": orderby} if orderby else {})}
    seen: list[str] = []
    for number, page in enumerate(pages(api, "/connections", **params)):
        seen += [item["id"] for item in page]
        for name in deleted if number == 0 else ():
            api.delete(f"/connections/{ids[name]}")
        named(api, *(created if number == 0 else ()))
    throughout = {entity_id for entity_id in ids.values() if api.get(f"/connections/{entity_id}").status_code == 200}
    assert throughout <= set(seen)
    assert len(seen) == len(set(seen))


def test_a_token_that_was_changed_or_is_another_collections(api: Api) -> None:
    """Guessed: the refusal is published nowhere."""
    named(api, "a", "b")
    token = token_of(asked(api, "/connections", limit=1))
    other = "B" if token[0] == "A" else "A"
    changed = (token[:-1], token + "A", token[1:], token.swapcase(), other + token[1:])
    for path, sent in (("/flows", token), *(("/connections", each) for each in changed)):
        answer = api.get(path, params={"continuationToken": sent})
        assert_error(answer, "value-invalid", field="continuationToken")


# --- specs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "count"), [
    ("/connectionSpecs?property=name==activation-datalake", 1),
    (f"/connectionSpecs?property=id=={S3.spec},{SFTP.spec}", 2),
    ("/connectionSpecs?property=name!=activation-datalake", 6),
    (f"/flowSpecs?property=id=={S3.flow_spec}", 1),
    (f"/flowSpecs?property=targetConnectionSpecIds[]=={S3.spec}", 1),
    ("/flowSpecs?property=attributes._workflow==DATASETS", 6),
])  # fmt: skip
def test_filter_on_specs(api: Api, path: str, count: int) -> None:
    """Reference, Endpoints: `property` filter."""
    total = api.get(f"{path}&count=true").json()["count"]
    assert len(api.items(path)) == min(total, 100)
    assert total >= count if api.foreign else total == count


@pytest.mark.parametrize("collection", ["connectionSpecs", "flowSpecs"])
def test_paging_on_specs(api: Api, collection: str) -> None:
    whole = [item for page in pages(api, f"/{collection}") for item in page]
    found = list(pages(api, f"/{collection}", limit=4))
    assert [item for page in found for item in page] == whole
    assert len(found) == -(-len(whole) // 4)
    assert api.foreign or len(found) == 2


@pytest.mark.parametrize("destination", DESTINATIONS, ids=lambda item: item.folder)
def test_flow_spec_joins_data_lake_and_destination(api: Api, destination: Any) -> None:
    spec = api.item(f"/flowSpecs/{destination.flow_spec}")
    assert spec["sourceConnectionSpecIds"] == [DATA_LAKE]
    assert spec["targetConnectionSpecIds"] == [destination.spec]
    assert "DATASETS" in spec["attributes"]["_workflow"]


# --- eligible datasets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("properties", ["name", "name,state", "state", "id", "nothing", "name,nothing"])
def test_configs_properties(api: Api, properties: str) -> None:
    """`properties=name,state` cuts each item down to those fields (with `id`)."""
    items = api.get(f"{CONFIGS}&properties={properties}").json()["items"]
    assert all(set(item) == {"id", *properties.split(",")} - {"nothing"} for item in items) and items


def test_configs_are_the_same_whichever_spec_is_asked(api: Api) -> None:
    """Guessed: it is about the emulator itself."""
    assert api.get(CONFIGS).json() == api.get(CONFIGS.replace(DATA_LAKE, S3.spec)).json()
