"""The store behaves the same on both backends: in memory, and in a data folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tinydb import Query
from tinydb.table import Document

from contract_tests.store_support import DEV, INDEXES, PROD, entity, ids
from flow_service_emulator.store.store import (
    Delete,
    DuplicateId,
    EtagMismatch,
    NotFound,
    Put,
    Scope,
    SetMeta,
    SnapshotError,
    Store,
    Unstorable,
)


@pytest.fixture(autouse=True)
def disk_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the disk: they end processes, not the machine."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store, on each backend in turn."""
    opened = Store(tmp_path / "data" if request.param == "file" else None, indexes=INDEXES)
    yield opened
    opened.close()


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
    store.replace(PROD, "flows", entity("b", createdAt=5, name="changed"))
    store.delete(PROD, "flows", "c")
    records = store.records(PROD, "flows")
    assert ids(records) == ["d", "b", "a"]
    assert [record.id for record in reversed(records)] == ["a", "b", "d"]
    assert len(records) == 3
    assert [record.created_at for record in records] == [ord("d"), 5, ord("a")]
    assert [record.entity().get("name") for record in records] == [None, "changed", None]
    assert [record.name for record in records] == [None, "changed", None]
    second = next(record.seq for record in records if record.id == "b")
    assert [record.id for record in records.older_than(second)] == ["a"]
    assert [record.id for record in records.newer_than(second)] == ["d"]
    assert [record.id for record in records.older_than(second + 1)] == ["b", "a"]
    assert [record.id for record in records.newer_than(0)] == ["a", "b", "d"]


def test_records_have_at_hand_what_lists_are_sorted_by(store: Store) -> None:
    names: list[Any] = ["short", "x" * 256, "x" * 257, 7, None, True]
    for place, name in enumerate(names):
        store.insert(PROD, "flows", entity(str(place), name=name, updatedAt=name))
    records = list(reversed(store.records(PROD, "flows")))
    assert [record.name for record in records] == ["short", "x" * 256, None, None, None, None]
    assert [record.updated_at for record in records] == [None, None, None, 7, None, None]
    assert [record.entity()["name"] for record in records] == names


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
    store.replace(PROD, "flows", entity("f", sourceConnectionIds=["s"], targetConnectionIds=["u"]))
    found = {key: ids(store.by_index(PROD, "flows", key)) for key in ("s", "t", "u")}
    assert found == {"s": ["g", "f"], "t": [], "u": ["f"]}
    store.trim(PROD, "runs", ["r2", "r4", "nobody"])
    assert ids(store.by_index(PROD, "runs", "f0")) == ["r3"]
    store.trim(PROD, "runs", ids(store.records(PROD, "runs")))
    assert store.table(PROD, "runs").storage.shelves["runs/ORG@AdobeOrg/prod"].by_key == {}
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


def test_a_table_being_changed_is_a_mapping(store: Store) -> None:
    table = store.table(PROD, "flows")
    table.insert_multiple([entity("a"), entity("b")])

    def change(documents: dict[int, Any]) -> None:
        documents[9] = entity("new")
        del documents[1]
        assert (list(documents), len(documents), 1 in documents, 9 in documents) == ([2, 9], 2, False, True)
        with pytest.raises(KeyError):
            del documents[1]
        with pytest.raises(KeyError):
            documents[1]
        documents.clear()
        assert len(documents) == 0
        documents[2] = entity("b", name="kept after all")

    table._update_table(change)
    assert table.all() == [entity("b", name="kept after all")]


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
        store.read(snapshot)
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
    del data["flows/ORG@AdobeOrg/dev"]
    storage.write(data)
    assert [(scope, record.id) for scope, record in store.everywhere("flows")] == [(PROD, "a")]
    store.insert(PROD, "flows", entity("c"))
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
