"""The store: the same behaviour on both backends, and a data folder that survives kills, cuts and a full disk."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tinydb import Query
from tinydb.table import Document

from emulator import logfile
from emulator.log_storage import LogStorage
from emulator.store import (
    Delete,
    DuplicateId,
    EtagMismatch,
    NotFound,
    Put,
    Records,
    Scope,
    SetMeta,
    SnapshotError,
    Store,
    StoreError,
    Unstorable,
)

PROD: Scope = ("ORG@AdobeOrg", "prod")
DEV: Scope = ("ORG@AdobeOrg", "dev")
INDEXES = {"runs": "flowId", "flows": ("sourceConnectionIds", "targetConnectionIds")}
ROOT = Path(__file__).parent.parent

Opener = Callable[[], Store]


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store, on each backend in turn."""
    opened = Store(tmp_path / "data" if request.param == "file" else None, indexes=INDEXES)
    yield opened
    opened.close()


def entity(id: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "createdAt": 1_700_000_000_000, "etag": f'"{id}-1"', **fields}


def ids(records: Records) -> list[str]:
    """Newest first."""
    return [record.id for record in records]


# What both backends do


def test_an_entity_is_stored_looked_up_replaced_and_deleted(store: Store) -> None:
    store.insert(PROD, "flows", entity("a", name="one", nested={"é": [1, None, True]}))
    assert store.get(PROD, "flows", "a") == entity("a", name="one", nested={"é": [1, None, True]})
    assert store.raw(PROD, "flows", "a") == orjson.dumps(entity("a", name="one", nested={"é": [1, None, True]}))
    store.replace(PROD, "flows", entity("a", name="two"))
    assert store.get(PROD, "flows", "a") == entity("a", name="two")
    assert store.delete(PROD, "flows", "a") is True
    assert store.delete(PROD, "flows", "a") is False
    assert store.get(PROD, "flows", "a") is None
    assert store.raw(PROD, "flows", "a") is None


def test_a_copy_that_is_changed_leaves_the_entity_alone(store: Store) -> None:
    given = entity("a", params={"list": [1]})
    store.insert(PROD, "flows", given)
    given["params"]["list"].append(2)
    looked_up = store.get(PROD, "flows", "a")
    assert looked_up is not None
    looked_up["params"]["list"].append(3)
    assert store.get(PROD, "flows", "a") == entity("a", params={"list": [1]})


def test_an_id_is_taken_once_in_its_collection_and_scope(store: Store) -> None:
    store.insert(PROD, "flows", entity("a", name="first"))
    with pytest.raises(DuplicateId):
        store.insert(PROD, "flows", entity("a", name="second"))
    store.insert(DEV, "flows", entity("a", name="other sandbox"))
    store.insert(PROD, "connections", entity("a", name="other collection"))
    assert store.get(PROD, "flows", "a") == entity("a", name="first")
    assert store.get(("OTHER", "prod"), "flows", "a") is None


def test_names_with_slashes_and_percent_signs_do_not_fall_together(store: Store) -> None:
    scopes = [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a%", "2Fb/c"), ("", "a/b/c"), ('ä\t\n"', "")]
    for number, scope in enumerate(scopes):
        store.insert(scope, "flows", entity("x", number=number))
    assert [(scope, record.entity()["number"]) for scope, record in store.everywhere("flows")] == [
        (scope, number) for number, scope in enumerate(scopes)
    ]
    for number, scope in enumerate(scopes):
        assert store.get(scope, "flows", "x") == entity("x", number=number)


def test_replacing_asks_for_the_entity_and_its_etag(store: Store) -> None:
    with pytest.raises(NotFound):
        store.replace(PROD, "flows", entity("a"))
    store.insert(PROD, "flows", entity("a"))
    with pytest.raises(EtagMismatch) as mismatch:
        store.replace(PROD, "flows", entity("a", name="late"), if_match="a-1")
    assert mismatch.value.current == '"a-1"'
    assert store.get(PROD, "flows", "a") == entity("a")
    store.replace(PROD, "flows", entity("a", name="in time"), if_match='"a-1"')
    assert store.get(PROD, "flows", "a") == entity("a", name="in time")


def test_records_come_newest_first_and_a_replacement_keeps_its_place(store: Store) -> None:
    for id in "abcd":
        store.insert(PROD, "flows", entity(id, createdAt=ord(id)))
    store.replace(PROD, "flows", entity("b", createdAt=ord("b"), name="changed"))
    store.delete(PROD, "flows", "c")
    records = store.records(PROD, "flows")
    assert ids(records) == ["d", "b", "a"]
    assert [record.id for record in reversed(records)] == ["a", "b", "d"]
    assert len(records) == 3
    assert [record.created_at for record in records] == [ord("d"), ord("b"), ord("a")]
    assert [record.entity().get("name") for record in records] == [None, "changed", None]
    second = next(record.seq for record in records if record.id == "b")
    assert [record.id for record in records.older_than(second)] == ["a"]
    assert [record.id for record in records.newer_than(second)] == ["d"]
    assert [record.id for record in records.older_than(second + 1)] == ["b", "a"]
    assert [record.id for record in records.newer_than(0)] == ["a", "b", "d"]


def test_a_walk_goes_on_while_entities_come_and_go(store: Store) -> None:
    for number in range(200):
        store.insert(PROD, "flows", entity(f"{number:03}"))
    seen = []
    for step, record in enumerate(store.records(PROD, "flows")):
        seen.append(record.id)
        store.insert(PROD, "flows", entity(f"new-{step}"))
        if step < 60:
            store.delete(PROD, "flows", f"{step:03}")  # From the far end: these are not come by.
            store.delete(PROD, "flows", f"{199 - step:03}")  # Already seen.
    assert seen == [f"{number:03}" for number in range(199, 59, -1)]


def test_an_index_finds_entities_by_a_field_or_by_a_list_of_texts(store: Store) -> None:
    for number in range(6):
        store.insert(PROD, "runs", entity(f"r{number}", flowId=f"f{number % 2}"))
    assert [record.id for record in reversed(store.by_index(PROD, "runs", "f1"))] == ["r1", "r3", "r5"]
    store.replace(PROD, "runs", entity("r3", flowId="f0"))
    store.delete(PROD, "runs", "r0")
    assert ids(store.by_index(PROD, "runs", "f0")) == ["r4", "r3", "r2"]
    assert ids(store.by_index(PROD, "runs", "f1")) == ["r5", "r1"]
    assert len(store.by_index(DEV, "runs", "f1")) == 0
    store.insert(PROD, "flows", entity("f", sourceConnectionIds=["s", "s"], targetConnectionIds=["t", 7], name="s"))
    store.insert(PROD, "flows", entity("g", sourceConnectionIds="s", targetConnectionIds=None))
    assert ids(store.by_index(PROD, "flows", "s")) == ["g", "f"]
    assert ids(store.by_index(PROD, "flows", "t")) == ["f"]
    store.trim(PROD, "runs", ["r2", "r4", "nobody"])
    assert ids(store.by_index(PROD, "runs", "f0")) == ["r3"]
    with pytest.raises(KeyError):
        store.by_index(PROD, "connections", "x")


def test_several_changes_are_made_in_order_and_all_or_none(store: Store) -> None:
    store.insert(PROD, "flows", entity("a"))
    store.write(
        [
            Put(PROD, "runs", entity("r", flowId="a")),
            Put(PROD, "flows", entity("a", lastRun="r")),
            Put(PROD, "flows", entity("b")),
            Delete(PROD, "flows", "b"),
            Put(PROD, "flows", entity("b", name="again")),
            Delete(DEV, "flows", "nobody"),
            SetMeta("bookmark", {"r": 1}),
        ]
    )
    assert ids(store.records(PROD, "flows")) == ["b", "a"]
    assert store.get(PROD, "flows", "b") == entity("b", name="again")
    assert store.get_meta("bookmark") == {"r": 1}
    with pytest.raises(Unstorable):
        store.write([Put(PROD, "flows", entity("c")), SetMeta("bookmark", object())])
    assert store.get(PROD, "flows", "c") is None
    assert store.get_meta("bookmark") == {"r": 1}


def test_values_of_the_emulators_own(store: Store) -> None:
    for number, key in enumerate(["b/2", "a/1", "b/1"]):
        store.set_meta(key, number)
    store.set_meta("b/2", [1.5, None])
    assert store.meta_keys() == ["b/2", "a/1", "b/1"]
    assert store.meta_keys("b/") == ["b/2", "b/1"]
    assert store.get_meta("b/2") == [1.5, None]
    store.set_meta("b/2", None)
    assert store.get_meta("b/2") is None
    assert store.meta_keys("b/") == ["b/1"]


@pytest.mark.parametrize("value", [{1, 2}, 2**70, "\ud800", pytest.param({"x": None}, id="deep")])
def test_what_is_no_json_is_refused(store: Store, value: Any) -> None:
    if isinstance(value, dict):
        for _ in range(300):
            value = [value]
    with pytest.raises(Unstorable):
        store.insert(PROD, "flows", entity("a", value=value))
    assert len(store.records(PROD, "flows")) == 0


def test_asking_for_what_is_unknown_leaves_no_trace(store: Store) -> None:
    for number in range(3):
        scope = (f"org-{number}", "prod")
        assert store.get(scope, "flows", "a") is None
        assert ids(store.records(scope, "flows")) == []
        assert ids(store.by_index(scope, "runs", "a")) == []
        assert store.delete(scope, "flows", "a") is False
        assert store.table(scope, "flows").all() == []
    assert store.table(PROD, "flows").storage.read() == {}


def test_entities_of_all_scopes_come_oldest_first(store: Store) -> None:
    for number, scope in enumerate([PROD, DEV, PROD, ("x", "y"), DEV]):
        store.insert(scope, "flows", entity(str(number)))
        store.insert(scope, "runs", entity(str(number)))
    found = [(scope, record.id) for scope, record in store.everywhere("flows")]
    assert found == [(PROD, "0"), (DEV, "1"), (PROD, "2"), (("x", "y"), "3"), (DEV, "4")]


def test_tinydbs_own_calls_work_on_the_tables(store: Store) -> None:
    for id, state in (("a", "enabled"), ("b", "disabled"), ("c", "enabled")):
        store.insert(PROD, "flows", entity(id, state=state))
    table, flow = store.table(PROD, "flows"), Query()
    assert [found["id"] for found in table.search(flow.state == "enabled")] == ["a", "c"]
    found = table.get(flow.id == "b")
    assert found is not None
    assert table.get(doc_id=found.doc_id) == entity("b", state="disabled")
    assert table.get(doc_id=99) is None
    assert table.contains(flow.id == "b")
    assert (len(table), [each["id"] for each in table]) == (3, ["a", "b", "c"])
    assert table.update({"state": "disabled"}, flow.id == "a") == [table.all()[0].doc_id]
    assert table.search(flow.state == "enabled") == [entity("c", state="enabled")]
    new = table.insert(entity("d", state="new"))
    assert table.insert_multiple([entity("e"), entity("f")]) == [new + 1, new + 2]
    assert store.get(PROD, "flows", "f") == entity("f")
    assert table.remove(flow.id.one_of(["a", "e"])) == [1, new + 1]
    assert ids(store.records(PROD, "flows")) == ["f", "d", "c", "b"]
    assert table.upsert({"state": "changed"}, flow.id == "b") == [found.doc_id]
    assert store.get(PROD, "flows", "b") == entity("b", state="changed")
    assert store.table(PROD, "flows").storage.read().keys() == {"flows/ORG@AdobeOrg/prod"}
    table.truncate()
    assert (len(table), ids(store.records(PROD, "flows"))) == (0, [])


def test_tinydbs_calls_keep_ids_unique_and_numbers_in_place(store: Store) -> None:
    table, flow = store.table(PROD, "runs"), Query()
    table.insert_multiple(entity(id, flowId="f") for id in "abc")
    with pytest.raises(DuplicateId):
        table.insert(entity("a"))
    with pytest.raises(DuplicateId):
        table.update({"id": "a"}, flow.id == "b")
    with pytest.raises(DuplicateId):
        table.update({"id": "z"})
    assert sorted(each["id"] for each in table) == ["a", "b", "c"]
    table.update({"id": "B", "flowId": "g"}, flow.id == "b")
    assert ids(store.records(PROD, "runs")) == ["c", "B", "a"]
    assert (ids(store.by_index(PROD, "runs", "f")), ids(store.by_index(PROD, "runs", "g"))) == (["c", "a"], ["B"])
    assert store.get(PROD, "runs", "B") == table.get(doc_id=2) == {**entity("b"), "id": "B", "flowId": "g"}
    table.insert(Document(entity("late"), doc_id=10))
    table.insert(Document(entity("early"), doc_id=7))
    assert ids(store.records(PROD, "runs")) == ["late", "early", "c", "B", "a"]
    store.insert(PROD, "runs", entity("next"))
    assert store.records(PROD, "runs").older_than(11).__next__().id == "late"
    assert next(iter(store.records(PROD, "runs"))).seq == 11


def test_a_snapshot_brings_everything_back(store: Store) -> None:
    for id in "abc":
        store.insert(PROD, "runs", entity(id, flowId="f"))
    store.delete(PROD, "runs", "b")
    store.set_meta("anchor", 12.5)
    snapshot = orjson.loads(orjson.dumps(store.snapshot()))
    store.insert(PROD, "runs", entity("d", flowId="f"))
    store.replace(PROD, "runs", entity("a", flowId="g"))
    store.set_meta("anchor", 13)
    store.set_meta("other", 1)
    store.restore(snapshot)
    assert ids(store.records(PROD, "runs")) == ["c", "a"]
    assert ids(store.by_index(PROD, "runs", "f")) == ["c", "a"]
    assert (store.get_meta("anchor"), store.meta_keys()) == (12.5, ["anchor"])
    assert {**store.snapshot(), "nextSeq": 0} == {**snapshot, "nextSeq": 0}
    fresh = Store(indexes=INDEXES)
    fresh.restore(snapshot)
    assert fresh.snapshot() == snapshot
    fresh.insert(PROD, "runs", entity("new"))
    assert next(iter(fresh.records(PROD, "runs"))).seq == snapshot["nextSeq"]


GOOD = {"version": 1, "nextSeq": 3, "tables": {"flows/o/p": {"1": {"id": "a"}, "2": {"id": "b"}}}}


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (None, "are needed"),
        ([], "are needed"),
        ({**GOOD, "version": 2}, "it has version 2"),
        ({**GOOD, "version": "1"}, "are needed"),
        ({**GOOD, "nextSeq": 2}, '"nextSeq" must be above'),
        ({**GOOD, "nextSeq": 2**60}, '"nextSeq" must be above'),
        ({**GOOD, "tables": []}, "are needed"),
        ({**GOOD, "tables": {"flows/o/p": []}}, "an object of documents"),
        ({**GOOD, "tables": {"flows/o/p": {"1": 1}}}, "record 1: an object is needed"),
        ({**GOOD, "tables": {"flows/o/p": {"one": {"id": "a"}}}}, "'one' is no number"),
        ({**GOOD, "tables": {"flows/o/p": {"01": {"id": "a"}}}}, "'01' is no number"),
        ({**GOOD, "tables": {"flows/o/p": {"-1": {"id": "a"}}}}, "'-1' is no number"),
        ({**GOOD, "tables": {"flows/o/p": {"9" * 5000: {"id": "a"}}}}, "is no number"),
        ({**GOOD, "tables": {"flows/o/p": {"1": {"name": "a"}}}}, 'an entity needs an "id"'),
        ({**GOOD, "tables": {"flows/o/p": {"1": {"id": 5}}}}, 'an entity needs an "id"'),
        ({**GOOD, "tables": {"flows/o/p": {"1": {"id": "a"}, "2": {"id": "a"}}}}, "has the id 'a' twice"),
        ({**GOOD, "tables": {"meta": {"1": {"id": "a"}}}}, 'a "value" are needed'),
        ({**GOOD, "tables": {"flows/o/p": {"1": {"id": "a", "x": {1}}}}}, "cannot be stored as JSON"),
    ],
)
def test_what_is_no_snapshot_is_refused_and_changes_nothing(store: Store, snapshot: Any, reason: str) -> None:
    store.insert(PROD, "flows", entity("kept"))
    before = store.snapshot()
    with pytest.raises(SnapshotError, match=reason):
        store.check(snapshot)
    with pytest.raises(ValueError, match=reason):
        store.restore(snapshot)
    assert store.snapshot() == before


def test_clearing_forgets_everything_and_goes_on_counting(store: Store) -> None:
    store.insert(PROD, "flows", entity("a"))
    store.set_meta("k", 1)
    store.clear()
    assert (store.get(PROD, "flows", "a"), store.meta_keys(), list(store.everywhere("flows"))) == (None, [], [])
    store.insert(PROD, "flows", entity("a"))
    assert next(iter(store.records(PROD, "flows"))).seq == 3


def test_dropping_tables_through_tinydb(store: Store) -> None:
    store.insert(PROD, "flows", entity("a"))
    store.insert(DEV, "flows", entity("b"))
    storage = store.table(PROD, "flows").storage
    data = storage.read()
    del data["flows/ORG@AdobeOrg/prod"]
    storage.write(data)
    assert [(scope, record.id) for scope, record in store.everywhere("flows")] == [(DEV, "b")]
    store.insert(PROD, "flows", entity("a"))
    assert next(iter(store.records(PROD, "flows"))).seq == 3


class StoreAgainstModel(RuleBasedStateMachine):
    """Any changes in any order, on a store and on a plain dict, with the store opened anew now and then."""

    scopes = st.sampled_from([PROD, DEV])
    collections = st.sampled_from(["connections", "runs"])
    names = st.sampled_from("abcdefgh")
    values = st.text(max_size=3) | st.none() | st.integers(-3, 3)
    flows = st.sampled_from(["f", "g", None])

    @initialize(on_file=st.booleans())
    def open(self, on_file: bool) -> None:
        self.folder = tempfile.TemporaryDirectory() if on_file else None
        self.store = Store(self._path(), indexes=INDEXES)
        # Place -> (number, entity), in the order of creation.
        self.model: dict[tuple[Scope, str, str], tuple[int, dict[str, Any]]] = {}
        self.meta: dict[str, Any] = {}
        self.saved: Any = None
        self.last_seq = 0

    def _path(self) -> Path | None:
        return None if self.folder is None else Path(self.folder.name)

    def _put(self, scope: Scope, collection: str, name: str, value: dict[str, Any]) -> None:
        place = (scope, collection, name)
        if place in self.model:
            self.model[place] = (self.model[place][0], value)
        else:
            seq = next(record.seq for record in self.store.records(scope, collection) if record.id == name)
            assert seq > self.last_seq
            self.last_seq = seq
            self.model[place] = (seq, value)

    @rule(scope=scopes, collection=collections, name=names, value=values, flow=flows)
    def insert(self, scope: Scope, collection: str, name: str, value: Any, flow: Any) -> None:
        new = entity(name, value=value, flowId=flow)
        if (scope, collection, name) in self.model:
            with pytest.raises(DuplicateId):
                self.store.insert(scope, collection, new)
        else:
            self.store.insert(scope, collection, new)
            self._put(scope, collection, name, new)

    @rule(scope=scopes, collection=collections, name=names, value=values, flow=flows)
    def replace(self, scope: Scope, collection: str, name: str, value: Any, flow: Any) -> None:
        new = entity(name, value=value, flowId=flow)
        if (scope, collection, name) in self.model:
            self.store.replace(scope, collection, new)
            self._put(scope, collection, name, new)
        else:
            with pytest.raises(NotFound):
                self.store.replace(scope, collection, new)

    @rule(scope=scopes, collection=collections, name=names)
    def delete(self, scope: Scope, collection: str, name: str) -> None:
        there = self.model.pop((scope, collection, name), None) is not None
        assert self.store.delete(scope, collection, name) is there

    @rule(scope=scopes, gone=st.sets(names), name=names, flow=flows, value=values)
    def write(self, scope: Scope, gone: set[str], name: str, flow: Any, value: Any) -> None:
        new = entity(name, flowId=flow)
        deletions = [Delete(scope, "runs", each) for each in sorted(gone)]
        self.store.write([*deletions, Put(scope, "runs", new), SetMeta(name, value)])
        for each in gone:
            self.model.pop((scope, "runs", each), None)
        self._put(scope, "runs", name, new)
        self.meta.pop(name, None) if value is None else self.meta.update({name: value})

    @rule(scope=scopes, flow=st.sampled_from(["f", "g"]))
    def remove_through_tinydb(self, scope: Scope, flow: str) -> None:
        self.store.table(scope, "runs").remove(Query().flowId == flow)
        for place, (_, each) in list(self.model.items()):
            if place[:2] == (scope, "runs") and each["flowId"] == flow:
                del self.model[place]

    @rule()
    def save(self) -> None:
        self.saved = (self.store.snapshot(), dict(self.model), dict(self.meta))

    @precondition(lambda self: self.saved is not None)
    @rule()
    def restore(self) -> None:
        snapshot, self.model, self.meta = self.saved[0], dict(self.saved[1]), dict(self.saved[2])
        self.store.restore(snapshot)

    @rule(cleared=st.booleans(), indexed=st.booleans())
    def reopen(self, cleared: bool, indexed: bool) -> None:
        if cleared:
            self.store.clear()
            self.model, self.meta = {}, {}
        if self.folder is not None:
            self.store.close()
            if not indexed:  # An emulator of another version, which wrote without keys, is in between.
                Store(self._path()).close()
            self.store = Store(self._path(), indexes=INDEXES)

    @invariant()
    def same(self) -> None:
        for scope in (PROD, DEV):
            for collection in ("connections", "runs"):
                mine = [
                    (seq, each)
                    for place, (seq, each) in sorted(self.model.items(), key=lambda item: -item[1][0])
                    if place[:2] == (scope, collection)
                ]
                records = self.store.records(scope, collection)
                assert [(record.seq, record.entity()) for record in records] == mine
                assert len(records) == len(mine) == len(self.store.table(scope, collection))
                for flow in ("f", "g") if collection == "runs" else ():
                    wanted = [each["id"] for _, each in mine if each["flowId"] == flow]
                    assert ids(self.store.by_index(scope, "runs", flow)) == wanted
        assert {key: self.store.get_meta(key) for key in self.store.meta_keys()} == self.meta

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            if self.folder is not None:
                self.folder.cleanup()


TestStoreAgainstModel = StoreAgainstModel.TestCase
TestStoreAgainstModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


# The data folder


def reopened(folder: Path) -> Store:
    return Store(folder, indexes=INDEXES)


def log_of(folder: Path) -> Path:
    return folder / logfile.LOG_NAME


def contents(store: Store) -> dict[str, Any]:
    """Everything that a store holds, without the number that comes next."""
    tables: dict[str, Any] = store.snapshot()["tables"]
    return tables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "data"


def test_a_folder_keeps_everything_over_a_restart(folder: Path) -> None:
    store = reopened(folder)
    for id in "abc":
        store.insert(PROD, "runs", entity(id, flowId="f"))
    store.replace(PROD, "runs", entity("a", flowId="g"))
    store.delete(PROD, "runs", "c")
    store.set_meta("k", {"v": 1})
    before = store.snapshot()
    store.close()
    again = reopened(folder)
    assert again.snapshot() == before
    assert ids(again.by_index(PROD, "runs", "g")) == ["a"]
    again.insert(PROD, "runs", entity("d"))
    assert next(iter(again.records(PROD, "runs"))).seq == 5  # Three runs and a value had one; c's is not given again.
    again.close()


def test_a_closed_store_takes_no_changes(folder: Path) -> None:
    store = reopened(folder)
    store.insert(PROD, "flows", entity("a"))
    store.close()
    store.close()
    changes: list[Callable[[], None]] = [lambda: store.insert(PROD, "flows", entity("b")), store.clear]
    for change in changes:
        with pytest.raises(StoreError, match="closed"):
            change()
    assert store.get(PROD, "flows", "b") is None
    again = reopened(folder)
    assert contents(again) == contents(store)
    again.close()


def test_a_log_cut_off_anywhere_opens_with_all_that_was_whole(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = reopened(folder)
    states = {log_of(folder).stat().st_size: contents(store)}
    for number in range(12):
        store.write([Put(PROD, "runs", entity(str(number % 8), flowId="é" * number)), SetMeta("last", number)])
        states[log_of(folder).stat().st_size] = contents(store)
        if number % 3 == 2:
            store.delete(PROD, "runs", str(number - 1))
            states[log_of(folder).stat().st_size] = contents(store)
    whole = log_of(folder).read_bytes()
    store.close()
    assert len(whole) > 1024
    for size in range(len(whole) - 1024, len(whole) + 1):
        log_of(folder).write_bytes(whole[:size])
        store = reopened(folder)
        assert contents(store) == states[max(each for each in states if each <= size)]
        store.insert(PROD, "runs", entity("after"))
        expected = contents(store)
        store.close()
        if size % 50 == 0:
            store = reopened(folder)
            assert contents(store) == expected
            store.close()


def test_a_log_cut_off_within_its_beginning_is_a_new_one(tmp_path: Path) -> None:
    reopened(tmp_path).close()
    whole = log_of(tmp_path).read_bytes()
    for size in range(len(whole)):
        log_of(tmp_path).write_bytes(whole[:size])
        store = reopened(tmp_path)
        assert contents(store) == {}
        store.insert(PROD, "flows", entity("a"))
        store.close()
        store = reopened(tmp_path)
        assert store.get(PROD, "flows", "a") == entity("a")
        store.close()


def test_damage_in_the_middle_is_reported_with_its_place_and_left_as_it_is(folder: Path) -> None:
    store = reopened(folder)
    places = []
    for id in "abc":
        places.append(log_of(folder).stat().st_size)
        store.insert(PROD, "flows", entity(id))
    store.close()
    whole = log_of(folder).read_bytes()
    for place in range(places[1], places[2]):
        if place == places[1] + 8:
            continue  # The tab behind the checksum: what it separates is found by place.
        damaged = bytearray(whole)
        damaged[place] ^= 1
        log_of(folder).write_bytes(damaged)
        with pytest.raises(StoreError, match=f"line at byte {places[1]} ") as damage:
            reopened(folder)
        assert str(log_of(folder)) in str(damage.value)
        assert log_of(folder).read_bytes() == damaged


def test_a_line_that_is_whole_and_says_nothing_sensible_is_reported(folder: Path) -> None:
    reopened(folder).close()
    size = log_of(folder).stat().st_size
    for head in ([5], [["flows/a/b", "id", 1, 2]], [["t", "id", "x", 2]], {"a": 1}, 7):
        kept = log_of(folder).read_bytes()
        log_of(folder).write_bytes(kept + logfile.encode_line(head, ()))
        with pytest.raises(StoreError, match=f"line at byte {size} "):
            reopened(folder)
        log_of(folder).write_bytes(kept)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"my diary", "is not a log of this emulator"),
        (b'{"a": 1}\n', "is not a log of this emulator"),
        (b"flow-service-emulator entities, format 2\n", "another format"),
    ],
)
def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path, content: bytes, reason: str) -> None:
    log_of(tmp_path).write_bytes(content)
    with pytest.raises(StoreError, match=reason):
        reopened(tmp_path)
    assert log_of(tmp_path).read_bytes() == content


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot use the data folder"):
        reopened(tmp_path / "file" / "data")


def test_a_folder_belongs_to_one_store_at_a_time(folder: Path) -> None:
    first = reopened(folder)
    first.insert(PROD, "flows", entity("a"))
    with pytest.raises(StoreError, match=f"{folder} is in use by process {os.getpid()}$"):
        reopened(folder)
    code = "import sys, pathlib; from emulator.store import Store; Store(pathlib.Path(sys.argv[1]))"
    other = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, cwd=ROOT)
    assert other.returncode == 1
    assert f"in use by process {os.getpid()}" in other.stderr
    first.insert(PROD, "flows", entity("b"))
    first.close()
    second = reopened(folder)
    assert ids(second.records(PROD, "flows")) == ["b", "a"]
    second.close()


WRITER = """
import os, sys
from pathlib import Path
from emulator.log_storage import LogStorage
from emulator.store import Delete, Put, SetMeta, Store

os.fsync = lambda fd: None  # The machine goes on, only this process dies; so the log can be rewritten all the time.
LogStorage.least_bytes, LogStorage.step_bytes = 20_000, 2_000
store = Store(Path(sys.argv[1]), indexes={"runs": "flowId"})
scope = ("ORG@AdobeOrg", "prod")
number = store.get_meta("last") or 0
while True:
    number += 1
    run = {"id": f"run-{number % 40}", "flowId": f"flow-{number % 3}", "number": number, "text": "x" * (number % 700)}
    store.write([Put(scope, "runs", run), Put(scope, "flows", {"id": str(number)}),
                 Delete(scope, "flows", str(number - 20)), SetMeta("last", number)])
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(folder: Path) -> None:
    acknowledged = 0
    for kill_after in (3, 150, 400, 401, 1000):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert writer.stdout is not None
        for _ in range(kill_after):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        # What the writer said while it was being killed.
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split("\n")[:-1])])
        writer.stdout.close()
        writer.wait()
        store = Store(folder, indexes={"runs": "flowId"})
        last = store.get_meta("last")
        assert last in (acknowledged, acknowledged + 1)  # One may have been written and not acknowledged.
        expected = {f"run-{number % 40}": number for number in range(max(1, last - 39), last + 1)}
        assert {record.id: record.entity()["number"] for record in store.records(PROD, "runs")} == expected
        assert ids(store.records(PROD, "flows")) == [str(number) for number in range(last, max(0, last - 20), -1)]
        by_flow = sum(len(store.by_index(PROD, "runs", f"flow-{flow}")) for flow in range(3))
        assert by_flow == len(expected)
        assert sorted(each.name for each in folder.iterdir()) == ["entities.log", "lock"]
        assert log_of(folder).stat().st_size < 300_000
        store.close()
    assert acknowledged > 1900  # Each wrote about 700 bytes: the log was rewritten again and again.


def test_the_log_is_shortened_and_nothing_is_lost_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogStorage, "least_bytes", 10_000)
    monkeypatch.setattr(LogStorage, "step_bytes", 500)
    new = folder / "entities.log.new"
    store = reopened(folder)
    for number in range(50):
        store.insert(PROD, "runs", entity(str(number), flowId="f", text="x" * 100))
    halfway = 0
    longest = 0
    for number in range(50, 1500):
        store.delete(PROD, "runs", str(number - 50))
        store.insert(PROD, "runs", entity(str(number), flowId="fg"[number % 2], text="x" * 100))
        store.replace(PROD, "runs", entity(str(number - 30), flowId="g", text="y" * 100))
        store.insert((f"org-{number}", "prod"), "flows", entity("a"))
        store.delete((f"org-{number - 9}", "prod"), "flows", "a")
        longest = max(longest, log_of(folder).stat().st_size)
        if new.exists() and halfway < 40:
            halfway += 1
            # As a kill would leave it: the old log, and a new one that is not finished.
            copy = folder.parent / f"copy-{number}"
            copy.mkdir()
            for name in (log_of(folder), new):
                (copy / name.name).write_bytes(name.read_bytes())
            killed = reopened(copy)
            assert contents(killed) == contents(store)
            assert not (copy / new.name).exists()
            killed.close()
    before = store.snapshot()
    assert halfway == 40
    assert longest < 150_000  # 1,450 rounds wrote more than 700,000 bytes.
    store.close()
    assert not new.exists()
    again = reopened(folder)
    assert again.snapshot() == before
    again.close()


def test_a_store_that_is_closed_leaves_a_short_log(folder: Path) -> None:
    store = reopened(folder)
    for number in range(1000):
        store.set_meta("counter", {"number": number, "text": "x" * 200})
    assert log_of(folder).stat().st_size > 200_000
    store.close()
    assert log_of(folder).stat().st_size < 1000
    again = reopened(folder)
    assert again.get_meta("counter")["number"] == 999
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


def test_a_full_disk_refuses_the_write_and_only_that(folder: Path) -> None:
    store = reopened(folder)
    store.insert(PROD, "runs", entity("a", flowId="f"))
    size = log_of(folder).stat().st_size
    before = store.snapshot()["tables"]
    for room in (0, 1, 8, 9, 50, 200):
        with no_file_beyond(size + room):
            for change in (
                lambda: store.insert(PROD, "runs", entity("b", text="x" * 300)),
                lambda: store.replace(PROD, "runs", entity("a", text="x" * 300)),
                lambda: store.write([Delete(PROD, "runs", "a"), SetMeta("k", "x" * 300)]),
                lambda: store.table(PROD, "runs").insert(entity("b", text="x" * 300)),
            ):
                with pytest.raises(StoreError, match="cannot write to"):
                    change()
                assert contents(store) == before
        assert log_of(folder).stat().st_size == size
        assert ids(store.by_index(PROD, "runs", "f")) == ["a"]
    store.insert(PROD, "runs", entity("b", text="x" * 300))
    expected = contents(store)
    store.close()
    again = reopened(folder)
    assert contents(again) == expected
    again.close()


def test_a_full_disk_refuses_to_clear_and_to_restore(folder: Path) -> None:
    store = reopened(folder)
    store.insert(PROD, "runs", entity("a"))
    before = store.snapshot()
    with no_file_beyond(20):
        for change in (store.clear, lambda: store.restore(before)):
            with pytest.raises(StoreError, match="cannot write to"):
                change()
    assert store.snapshot() == before
    assert not (folder / "entities.log.new").exists()
    store.insert(PROD, "runs", entity("b"))
    store.clear()
    store.close()
    again = reopened(folder)
    assert contents(again) == {}
    again.close()


def test_without_room_for_a_second_log_the_first_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogStorage, "least_bytes", 2_000)
    monkeypatch.setattr(LogStorage, "step_bytes", 300)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = reopened(folder)
    for stage in ("__init__", "append", "settled", "finish"):
        with monkeypatch.context() as disk:
            disk.setattr(logfile.NewLog, stage, refuse)
            for number in range(200):
                store.set_meta(f"{stage}-{number % 9}", "x" * 100)
        assert log_of(folder).stat().st_size > 20_000
        for number in range(100_000):  # The disk is flushed by a thread, which takes its time.
            store.set_meta(f"{stage}-{number % 9}", f"{number}")
            if log_of(folder).stat().st_size < 20_000:
                break
        assert log_of(folder).stat().st_size < 20_000
    before = contents(store)
    store.close()
    again = reopened(folder)
    assert contents(again) == before
    again.close()


def test_what_a_failed_write_left_is_removed_before_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = reopened(folder)
    store.insert(PROD, "flows", entity("a"))
    size = log_of(folder).stat().st_size

    def refuse(fd: int, length: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(os, "ftruncate", refuse)
        with no_file_beyond(size + 30), pytest.raises(StoreError):
            store.insert(PROD, "flows", entity("b"))
        with pytest.raises(StoreError):
            store.insert(PROD, "flows", entity("b"))
        assert log_of(folder).stat().st_size == size + 30
    store.insert(PROD, "flows", entity("c"))
    store.close()
    again = reopened(folder)
    assert ids(again.records(PROD, "flows")) == ["c", "a"]
    again.close()
