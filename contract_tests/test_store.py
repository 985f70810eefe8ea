"""The store, in memory and in a data folder: where nothing acknowledged is lost by kills, cuts and a full disk."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tinydb import Query

from flow_service_emulator.store.log import LOG_NAME
from flow_service_emulator.store.store import Change, Delete, Put, Records, Scope, SetMeta, Store, StoreError

PROD: Final[Scope] = ("ORG@AdobeOrg", "prod")
DEV: Final[Scope] = ("ORG@AdobeOrg", "dev")
INDEXES: Final = {"runs": ("flowId",), "flows": ("sourceConnectionIds", "targetConnectionIds")}


def reopened(folder: Path | None) -> Store:
    return Store(folder, indexes=INDEXES)


def entity(id: str, **fields: Any) -> dict[str, Any]:
    """An entity with what every one has, and more."""
    return {"id": id, "createdAt": 1_700_000_000_000, "etag": f'"{id}-1"', **fields}


def ids(records: Records) -> list[str]:
    """The ids of records, newest first."""
    return [record.id for record in records]


def contents(store: Store) -> dict[str, Any]:
    """Everything that a store holds, without the number that comes next."""
    tables: dict[str, Any] = orjson.loads(b"".join(store.pieces()))["tables"]
    return tables


@pytest.fixture(autouse=True)
def disk_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the disk: they end processes, not the machine."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store, on each backend in turn."""
    opened = reopened(tmp_path / "data" if request.param == "file" else None)
    yield opened
    opened.close()


def test_what_was_given_or_answered_is_not_what_is_stored(store: Store) -> None:
    given = entity("a", name="first", params={"list": [1]})
    store.write([Put(PROD, "flows", given)])
    record = store.record(PROD, "flows", "a")
    assert record and record.raw == orjson.dumps(given)
    given["params"]["list"].append(2)
    (store.get(PROD, "flows", "a") or {})["params"]["list"].append(3)
    assert store.get(PROD, "flows", "a") == entity("a", name="first", params={"list": [1]})


def test_names_with_slashes_and_percent_signs_do_not_fall_together(store: Store) -> None:
    scopes = [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a%", "2Fb/c"), ("", "a/b/c"), ('ä\t\n"', "")]
    for number, scope in enumerate(scopes):
        store.write([Put(scope, "flows", entity("x", number=number))])
    assert [(scope, record.entity()["number"]) for scope, record in store.everywhere("flows")] == [
        (scope, number) for number, scope in enumerate(scopes)
    ]
    assert next(store.everywhere("flows", newest_first=True))[1].entity()["number"] == 5
    assert store.count("flows") == len(scopes)


def test_an_index_finds_entities_by_a_field_or_by_a_list_of_texts(store: Store) -> None:
    store.write(
        [Put(PROD, "flows", entity("f", sourceConnectionIds=["s", "s"], targetConnectionIds=["t", 7], name="s"))]
    )
    store.write([Put(PROD, "flows", entity("g", sourceConnectionIds="s", targetConnectionIds=None))])
    assert ids(store.by_index(PROD, "flows", "s")) == ["g", "f"]
    assert ids(store.by_index(PROD, "flows", "t")) == ["f"]
    store.write([Put(PROD, "flows", entity("f", sourceConnectionIds=["x"], targetConnectionIds=["u"]))])
    store.write([Put(PROD, "flows", entity("f", sourceConnectionIds=["s"], targetConnectionIds=["u"]))])
    found = {key: ids(store.by_index(PROD, "flows", key)) for key in ("s", "t", "u", "x")}
    assert found == {"s": ["g", "f"], "t": [], "u": ["f"], "x": []}


def test_several_changes_are_made_in_order_and_all_or_none(store: Store) -> None:
    again = entity("b", name="again")
    changes: list[Change] = [Put(PROD, "flows", entity("b")), Delete(PROD, "flows", "b"), Put(PROD, "flows", again)]
    store.write([Put(PROD, "flows", entity("a")), *changes, Delete(DEV, "flows", "nobody"), SetMeta("mark", {"r": 1})])
    before = contents(store)
    assert ids(store.records(PROD, "flows")) == ["b", "a"]
    assert (store.get(PROD, "flows", "b"), store.get_meta("mark")) == (again, {"r": 1})
    with pytest.raises(TypeError):
        store.write([Put(PROD, "flows", entity("c")), SetMeta("mark", object())])
    assert contents(store) == before


def test_tinydbs_own_calls_work_on_the_tables(store: Store) -> None:
    for id, state in (("a", "enabled"), ("b", "disabled"), ("c", "enabled")):
        store.write([Put(PROD, "flows", entity(id, state=state))])
    table, flow = store.database.table("flows/ORG@AdobeOrg/prod"), Query()
    assert [found["id"] for found in table.search(flow.state == "enabled")] == ["a", "c"]
    table.update({"state": "new"}, flow.id == "b")
    table.remove(flow.id == "c")
    assert store.get(PROD, "flows", "b") == entity("b", state="new")
    assert ids(store.records(PROD, "flows")) == ["b", "a"]
    assert store.database.tables() == {"flows/ORG@AdobeOrg/prod"}
    store.database.drop_tables()
    assert store.count("flows") == 0


def test_a_snapshot_has_the_other_values_and_the_number_that_comes_next(store: Store) -> None:
    store.write([Put(PROD, "runs", entity("a")), Put(PROD, "runs", entity("b")), SetMeta("anchor", 12.5)])
    store.write([Delete(PROD, "runs", "b")])
    snapshot = orjson.loads(b"".join(store.pieces()))
    store.write([SetMeta("anchor", 13), SetMeta("other", 1), Put(PROD, "runs", entity("c"))])
    store.replace_all(store.read(snapshot))
    assert store.next_seq == 6 > snapshot["nextSeq"]
    assert {key: store.get_meta(key) for key in store.meta_keys()} == {"anchor": 12.5}
    store.write([Put(PROD, "runs", entity("c"))])
    other = orjson.loads(b"".join(store.pieces()))
    other["tables"] = {name: dict(reversed(records.items())) for name, records in other["tables"].items()}
    assert ids(store.read(other).records(PROD, "runs")) == ["c", "a"]  # whoever has put it into another order
    fresh = reopened(None)
    fresh.replace_all(fresh.read(snapshot))
    assert orjson.loads(b"".join(fresh.pieces())) == snapshot and fresh.next_seq == snapshot["nextSeq"] == 4


_names = st.sampled_from("abcdef")
_places = st.tuples(st.sampled_from([PROD, DEV]), st.sampled_from(["connections", "runs"]), _names)
_changes = st.lists(st.tuples(_places, st.none() | st.sampled_from(["f", "g"])), min_size=1, max_size=4)
_steps = st.lists(_changes | st.just("reopen") | st.just("save") | st.just("restore"), max_size=40)


@settings(max_examples=60, deadline=None)
@given(_steps, st.booleans())
def test_any_changes_in_any_order_as_on_a_plain_dict(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], on_file: bool
) -> None:
    folder = tmp_path_factory.mktemp("data") if on_file else None
    store = reopened(folder)
    model: dict[tuple[Scope, str, str], dict[str, Any]] = {}  # in the order of creation
    saved = (b"".join(store.pieces()), dict(model))
    for step in steps:
        if step == "save":
            saved = (b"".join(store.pieces()), dict(model))
        elif step == "restore":
            store.replace_all(store.read(orjson.loads(saved[0])))
            model = dict(saved[1])
        elif step == "reopen" and folder is not None:
            store.close()
            store = reopened(folder)
        elif step != "reopen":
            puts = [(place, entity(place[2], flowId=flow) if flow else None) for place, flow in step]
            store.write(
                Delete(*place) if document is None else Put(place[0], place[1], document) for place, document in puts
            )
            for place, document in puts:
                if document is None:
                    model.pop(place, None)
                else:
                    model[place] = document
        for scope in (PROD, DEV):
            for collection in ("connections", "runs"):
                mine = [each for place, each in model.items() if place[:2] == (scope, collection)][::-1]
                assert [record.entity() for record in store.records(scope, collection)] == mine
                for flow in ("f", "g") if collection == "runs" else ():
                    wanted = [each["id"] for each in mine if each["flowId"] == flow]
                    assert ids(store.by_index(scope, "runs", flow)) == wanted
    store.close()


# --- in a data folder ------------------------------------------------------------


def test_a_log_cut_off_anywhere_opens_with_all_that_was_whole(tmp_path: Path) -> None:
    log = tmp_path / LOG_NAME
    store = reopened(tmp_path)
    states = {log.stat().st_size: contents(store)}
    for number in range(4):
        changes: list[Change] = [
            Put(PROD, "runs", entity(str(number % 3), flowId="é" * number)),
            SetMeta("last", number),
        ]
        changes += [Delete(PROD, "runs", str(number - 1))] if number % 3 == 2 else []
        store.write(changes)
        states[log.stat().st_size] = contents(store)
    whole = log.read_bytes()
    store.close()
    for size in range(min(states), len(whole) + 1):
        log.write_bytes(whole[:size])
        store = reopened(tmp_path)
        assert contents(store) == states[max(each for each in states if each <= size)]
        store.write([Put(PROD, "runs", entity("after"))])
        expected = contents(store)
        store.close()
        if size % 25 == 0:
            store = reopened(tmp_path)
            assert contents(store) == expected
            store.close()


@pytest.mark.parametrize("line", [b"no JSON\n", b"7\n", b"[5]\n", b'[["t", "x", {"id": "a"}]]\n'])
def test_damage_in_the_middle_is_reported_with_its_place_and_left_as_it_is(tmp_path: Path, line: bytes) -> None:
    log = tmp_path / LOG_NAME
    store = reopened(tmp_path)
    place = log.stat().st_size
    store.write([Put(PROD, "flows", entity("a"))])
    store.close()
    whole = log.read_bytes()
    log.write_bytes(damaged := whole[:place] + line + whole[place:])
    with pytest.raises(StoreError, match=f"{log} is damaged: the line at byte {place} "):
        reopened(tmp_path)
    assert log.read_bytes() == damaged


@pytest.mark.parametrize("content", [b"", b"my diary", b'{"a": 1}\n', b"flow-service-emulator entities, format 1\n"])
def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    log = tmp_path / LOG_NAME
    log.write_bytes(content)
    with pytest.raises(StoreError, match="is no log of this version"):
        reopened(tmp_path)
    assert log.read_bytes() == content
    with pytest.raises(StoreError, match="cannot use the data folder"):
        reopened(log / "data")


def test_a_folder_belongs_to_one_store_at_a_time(tmp_path: Path) -> None:
    first = reopened(tmp_path)
    with pytest.raises(StoreError, match=f"{tmp_path} is in use by process {os.getpid()}$"):
        reopened(tmp_path)
    code = "import sys, pathlib; from flow_service_emulator.store.store import Store; Store(pathlib.Path(sys.argv[1]))"
    other = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    assert other.returncode == 1
    assert f"in use by process {os.getpid()}" in other.stderr
    first.close()
    reopened(tmp_path).close()


def test_the_log_is_shortened_when_it_is_opened(tmp_path: Path) -> None:
    """Whatever a server that was killed meanwhile has left of the new one."""
    log = tmp_path / LOG_NAME
    store = reopened(tmp_path)
    for number in range(1000):
        store.write([SetMeta("counter", {"number": number, "text": "x" * 200})])
    store.close()
    assert log.stat().st_size > 200_000
    (tmp_path / f"{LOG_NAME}.new").write_text("half a li")
    again = reopened(tmp_path)
    assert again.get_meta("counter")["number"] == 999
    assert log.stat().st_size < 1000
    assert sorted(each.name for each in tmp_path.iterdir()) == ["entities.log", "lock"]
    again.close()


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """No file of this process can grow beyond so many bytes: writes stop there, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_a_failed_write_left_is_removed_before_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / LOG_NAME
    store = reopened(tmp_path)
    store.write([Put(PROD, "flows", entity("a"))])
    size = log.stat().st_size

    def refuse(fd: int, length: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(os, "ftruncate", refuse)
        with no_file_beyond(size + 30), pytest.raises(StoreError):
            store.write([Put(PROD, "flows", entity("b"))])
        with pytest.raises(StoreError):
            store.write([Put(PROD, "flows", entity("b"))])
        assert log.stat().st_size == size + 30
    store.write([Put(PROD, "flows", entity("c"))])
    store.close()
    again = reopened(tmp_path)
    assert ids(again.records(PROD, "flows")) == ["c", "a"]
    again.close()
