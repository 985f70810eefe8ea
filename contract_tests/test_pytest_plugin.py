"""The pytest plugin as other people's suites use it: most tests here run a suite of its own, as few as there can be."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from contract_tests.support import ServerProcess
from flow_service_emulator.testing import FlowService, FlowServiceError, FlowServiceServer, local_server, start_server
from flow_service_emulator.testing.exported import file_rows

pytest_plugins = ("pytester",)

CLIENT = """
import httpx

def send(service, method, path, body=None, **headers):
    answer = httpx.request(method, service.base_url + path, json=body, headers={**service.headers, **headers}, trust_env=False)
    return answer.status_code, answer.content and answer.json()

def make_flow(service, dataset="5ef3e3259ad2a1191ab7dd7d", **wanted):
    return service.create_flow(dataset, "amazon-s3", **wanted)["id"]
"""
ROOT = Path(__file__).parent.parent
PLUGIN = next(iter(entry_points(group="pytest11", name="flow_service_emulator"))).value
ALONE = ("-p", "no:cacheprovider", "-p", PLUGIN)
"""Without the other plugins of this environment, whose import takes seconds. (That it needs no `-p`: `test_recipes.test_pytest`.)"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty folder for a suite, beside a small client."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(pytester.path)]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.syspath_prepend(str(pytester.path))
    pytester.makepyfile(client=CLIENT)
    return pytester


def inner(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Runs the suite in this process, where warnings are errors as well, but the plugin's own."""
    return suite.runpytest_inprocess(*ALONE, "-W", "error", "-W", "default:flow_service", *arguments)


def test_its_import_brings_nothing_heavy() -> None:
    """Every run of pytest in an environment with the package imports it."""
    script = (
        f"import sys, pytest; before = set(sys.modules); import {PLUGIN}; print(*sorted(set(sys.modules) - before))"
    )
    brought = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {"starlette", "uvicorn", "jsonschema", "jsonschema_rs", "tinydb", "arro3", "orjson", "isal", "subprocess"}
    assert heavy.isdisjoint(name.partition(".")[0] for name in brought.stdout.split())


def test_the_fixture_and_its_parts(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite of good tests. Variables meant for another server do not reach this one."""
    monkeypatch.setenv("FLOW_EMULATOR_DATA_DIR", str(suite.path / "production"))
    suite.makepyfile(
        test_suite='''
        import datetime
        import time
        import pytest
        from client import make_flow, send

        @pytest.mark.parametrize("time_of_run", [1, 2])
        def test_clean(flow_service, time_of_run):
            """Whatever a test leaves behind, the next begins without it."""
            assert send(flow_service, "GET", "/flows?count=true") == (200, {"count": 0})
            assert flow_service.clock.mode == "frozen" and abs(flow_service.clock.now - time.time()) < 60
            assert len(flow_service.exports) == len(flow_service.faults.rules) == 0
            assert len(flow_service.requests) == 1
            make_flow(flow_service)
            flow_service.clock.advance(days=1)
            flow_service.faults.add("error", error="service-unavailable")
            assert list(flow_service.export_dir.rglob("part-*"))

        @pytest.mark.parametrize(("form", "ending"), [
            ({"compression": "NONE"}, ".json"),
            ({"compression": "GZIP"}, ".json.gz"),
            ({"file_type": "PARQUET", "compression": "GZIP"}, ".gz.parquet"),
        ])
        def test_exports(flow_service, form, ending):
            flow = make_flow(flow_service, **form)
            runs = flow_service.clock.advance(minutes=1, hours=3)
            assert [run["status"] for run in runs] == ["success", "success"]
            first, second = flow_service.exports
            assert first == flow_service.exports[0] and flow_service.exports[1:] == [second]
            assert first.path.name == first.name and first.name.endswith(ending)
            assert first.path.is_relative_to(flow_service.export_dir) and first.path.stat().st_size == first.size
            rows = flow_service.exports.rows(run=second.run)
            assert len(rows) == second.row_count and rows[0]["_id"]
            assert len(flow_service.exports.rows(flow=flow)) == first.row_count + second.row_count
            assert flow_service.exports.files(dataset="other") == []

        def test_a_flow_of_ones_own(flow_service):
            flow_service.datasets.put("orders", [{"n": 1}])
            schedule, params = {"startTime": int(flow_service.clock.now) + 7200}, {"bucketName": "bucket"}
            flow = flow_service.create_flow(
                ["orders", "5ef3e3259ad2a1191ab7dd7d"], "amazon-s3", path="p", params=params, schedule=schedule, name="mine", every_hours=24
            )
            assert send(flow_service, "GET", f"/flows/{flow['id']}")[1]["items"][0]["name"] == "mine"
            assert flow_service.clock.advance(hours=1) == []
            assert [run["flowId"] for run in flow_service.clock.advance(hours=1)] == [flow["id"]]
            assert {file.relative_path.partition("/p/")[0] for file in flow_service.exports} == {"amazon-s3/bucket"}
            assert len(flow_service.exports.files(dataset="orders")) == 1
            with pytest.raises(Exception, match='destination: "s3" is unknown; allowed: adls-gen2, amazon-s3, '):
                flow_service.create_flow("orders", "s3")

        @pytest.mark.flow_service(now="2026-01-01")
        def test_what_they_look_like(flow_service):
            make_flow(flow_service)
            flow_service.clock.advance(0)
            assert repr(flow_service) == f"<FlowService at {flow_service.url} for TEST@AdobeOrg, prod>"
            assert repr(flow_service.clock) == "<clock, frozen, at 2026-01-01T00:00:00+00:00>"
            assert repr(flow_service.exports).startswith("amazon-s3/") and "rows)" in repr(flow_service.exports)
            assert repr(flow_service.requests) == "No requests came in."
            assert (repr(flow_service.faults), repr(flow_service.contract)) == ("<faults: none>", "<contract: 0 rules violated, 0 warnings>")
            assert "5ef3e3259ad2a1191ab7dd7d" in repr(flow_service.datasets)

        @pytest.mark.flow_service(check_auth=True)
        def test_headers_stay_good(flow_service):
            before = flow_service.headers
            flow_service.clock.advance(days=2)
            assert send(flow_service, "GET", "/flows", **before)[0] == 401
            assert send(flow_service, "GET", "/flows")[0] == 200
            assert flow_service.headers == flow_service.headers != before

        def test_clock(flow_service):
            clock = flow_service.clock
            assert clock.freeze(at="2100-01-01") == 4102444800
            assert clock.advance(1.5) == [] and clock.now == 4102444801.5
            assert clock.advance(to="2100-01-01T01:00:00Z") == [] and clock.now == 4102448400
            assert clock.set(mode="accelerated", speed=1000) and clock.mode == "accelerated"
            assert clock.freeze() == clock.now
            assert clock.set(now=datetime.datetime(2101, 1, 1)) == clock.now == 4133980800

        def test_requests_and_contract(flow_service):
            send(flow_service, "GET", "/flows?limit=5")
            flow_service.contract.assert_clean(warnings=True)
            assert send(flow_service, "GET", "/flows/none")[0] == 404
            last = flow_service.requests[-1]
            assert (last["path"], last["status"]) == ("/data/foundation/flowservice/flows/none", 404)
            assert flow_service.requests.find(status="2xx") == flow_service.requests[:1]
            assert [rule["id"] for rule in flow_service.contract.violations] == ["resource-not-found"]
            flow_service.contract.assert_clean(ignore=["resource-not-found"])
            with pytest.raises(AssertionError, match="resource-not-found"):
                flow_service.contract.assert_clean()
            assert "list:flows" in str(flow_service.contract.coverage["operations"]["met"])

        def test_report_is_saved(flow_service, tmp_path):
            for name, begin in (("a.html", "<!doctype html"), ("a.json", "{"), ("a.xml", "<?xml"), ("a.txt", "")):
                flow_service.contract.save(tmp_path / name)
                assert (tmp_path / name).read_text("utf-8").lower().startswith(begin)
            with pytest.raises(ValueError, match="html"):
                flow_service.contract.save(tmp_path / "a.pdf")

        def test_faults(flow_service):
            faults = flow_service.faults
            faults.set({"kind": "error", "error": "service-unavailable", "times": 1}, "lost-update")
            assert [rule["kind"] for rule in faults.rules] == ["error", "etag-changed"]
            assert send(flow_service, "GET", "/flows")[0] == 503
            assert send(flow_service, "GET", "/flows")[0] == 200
            assert len(faults.scenario("flaky-gateway")) == len(faults.rules) > 2
            with pytest.raises(Exception, match="rate-limited") as refused:
                faults.scenario("nonsense")
            assert refused.value.status == 400 and faults.rules == []
            with pytest.raises(Exception) as refused:
                faults.add("explosion")
            assert "delay" in refused.value.allowed

        def test_datasets(flow_service):
            records = [{"at": datetime.datetime(2026, 1, 1)}, {"at": datetime.date(2026, 1, 1)}]
            assert flow_service.datasets.put("orders", records, name="Orders")["name"] == "Orders"
            assert flow_service.datasets.append("orders", records)["rows"] == 4
            assert flow_service.datasets.get("orders")["name"] == "Orders"
            flow_service.datasets.delete("orders")
            with pytest.raises(Exception) as gone:
                flow_service.datasets.delete("orders")
            assert gone.value.status == 404

        def test_snapshot(flow_service):
            state = flow_service.state()
            flow_service.clock.advance(hours=1)
            flow_service.restore(state)
            assert flow_service.clock.now == state["clock"]["now"]

        @pytest.mark.flow_service(now="2023-02-09T00:00:00Z", clock="real", faults="token-expiry", sandbox="dev")
        class TestMarks:
            def test_of_the_class(self, flow_service):
                assert flow_service.clock.mode == "real" and 0 <= flow_service.clock.now - 1675900800 < 60
                assert flow_service.headers["x-sandbox-name"] == "dev"
                assert flow_service.faults.rules[0]["kind"] == "token-expired"

            @pytest.mark.flow_service(clock=1000, faults=[{"kind": "delay", "seconds": 0.001}])
            def test_closest_wins(self, flow_service):
                assert flow_service.clock.mode == "accelerated" and flow_service.clock.now >= 1675900800
                assert flow_service.faults.rules[0]["kind"] == "delay"

        @pytest.mark.flow_service(
            check_auth=True, orgs=["A@AdobeOrg"], sandboxes=["one"], seed=5, flags="--rows-per-file 5 --journal-entries '9'"
        )
        class TestAServerOfItsOwn:
            """Organization and sandbox are the first that exists, unless the mark says which."""

            @pytest.mark.parametrize("time_of_run", [1, 2])
            def test_flags(self, flow_service, flow_service_server, time_of_run):
                assert flow_service.url != flow_service_server.url
                assert (flow_service.headers["x-gw-ims-org-id"], flow_service.sandbox) == ("A@AdobeOrg", "one")
                assert send(flow_service, "GET", "/flows")[0] == 200
                assert send(flow_service, "GET", "/flows", Authorization="Bearer other")[0] == 401
                assert [entry["status"] for entry in flow_service.requests] == [200, 401]
                make_flow(flow_service)
                flow_service.clock.advance(minutes=1)
                assert max(file.row_count for file in flow_service.exports) == 5
                assert len(flow_service.requests) == 2

            @pytest.mark.flow_service(org="TWO@AdobeOrg")
            def test_another_organization(self, flow_service):
                assert (flow_service.org, flow_service.sandbox) == ("TWO@AdobeOrg", "one")
                assert send(flow_service, "GET", "/flows")[0] == 401

            @pytest.mark.flow_service(sandbox="two")
            def test_another_sandbox(self, flow_service):
                assert send(flow_service, "GET", "/flows", **{"x-sandbox-name": "one"})[0] == 200
                assert send(flow_service, "GET", "/flows")[0] >= 400
        '''
    )
    inner(suite).assert_outcomes(passed=20)
    assert not (suite.path / "production").exists()


REFUSED_CALLS = {
    'clock.freeze("2001-01-01")': "time cannot go backwards",
    'clock.advance(hours="3h")': 'hours must be a number, got the string "3h"',
    "clock.advance(hours=-3)": "hours must be at least 0, got -3",
    'clock.advance(5, to="2100-01-01")': "either a length (seconds, minutes, hours, days) or",
    "exports[0]": "there are 0 exported files",
    "requests[0]": "0 requests of this test have come in",
    'datasets.put("orders", [{"at": object()}])': "object cannot be sent as JSON",
    'restore({key: part for key, part in flow_service.state().items() if key != "store"})': "was it cut short?",
}
REFUSED_MARKS = {
    "nwo=5": "flow_service: the mark has no argument 'nwo'; it has clock, now, seed,",
    '"frozen"': "flow_service: the mark takes arguments by name only, got 'frozen'",
    'now="soon"': "flow_service: --now: a time is needed: epoch seconds from 0 to",
    "clock=-1": "flow_service: --clock: 'real', 'frozen' or a speed above 0 is needed, such as 3600 for an hour a second, got '-1'",
    'faults="nonsense"': 'scenario: "nonsense" is unknown; allowed: rate-limited,',
    'flags=["--port", "many"]': "the Flow Service emulator did not start (exit status 2); its log,",
    'flags="--rows-per-file \'5"': "flow_service: No closing quotation",
    "clock=None": "flow_service: clock must be of type str, int, float; got None",
    "now=[]": "flow_service: now must be of type str, int, float, datetime, NoneType; got []",
    "faults=5": "flow_service: faults must be of type str, Mapping, list, tuple; got 5",
    "orgs=5": "flow_service: orgs must be of type str, list, tuple, set; got 5",
    'check_auth="no"': "flow_service: check_auth must be of type bool; got 'no'",
}


def test_what_goes_wrong_is_told(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing test's report has its requests and why they were refused, or the line of the test whose call was refused.

    Wrong marks and a server that does not start are told plainly.
    """
    tests = """
import pytest
from client import send
from contract_tests.tutorial import S3

def test_passing(flow_service):
    flow_service.faults.set({"kind": "delay", "seconds": 0.001}, {"kind": "reset", "path": "/none", "id": "missed"})
    assert send(flow_service, "GET", "/connectionSpecs")[0] == 200
def test_failing(flow_service):
    auth = {"specName": "Access Key", "params": {"s3AccessKey": "AKIAIOSFODNN7EXAMPLE", "s3SecretKey": "mine"}}
    assert send(flow_service, "POST", "/connections", {**S3.base_connection(), "auth": auth})[0] == 201
def test_injected(flow_service):
    flow_service.faults.add("error", error="service-unavailable", id="outage")
    assert send(flow_service, "GET", "/flows")[0] == 200
"""
    for number, call in enumerate(REFUSED_CALLS):
        tests += f"def test_call_{number}(flow_service):\n    flow_service.{call}\n"
    for number, mark in enumerate(REFUSED_MARKS):
        tests += f"@pytest.mark.flow_service({mark})\ndef test_mark_{number}(flow_service): ...\n"
    suite.makepyfile(tests)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    result = inner(suite)
    result.assert_outcomes(passed=1, failed=2 + len(REFUSED_CALLS), errors=len(REFUSED_MARKS))
    text = result.stdout.str()
    (told,) = [line for line in text.splitlines() if "never matched" in line]
    assert told.endswith("flow_service: the fault missed never matched a request or a run")
    result.stdout.fnmatch_lines(
        ["HTTP_PROXY sends them to http://127.0.0.1:9, * NO_PROXY=127.0.0.1,localhost prevents it."]
    )
    result.stdout.fnmatch_lines(
        [
            "*- Flow Service requests -*",
            "#1 POST /data/foundation/flowservice/connections -> 400 (* ms)  [[]violation[]]",
            "     provider-rejected: auth.params.s3SecretKey must have 40 letters, digits, slashes and plus signs*",
            "     to fix it: *",
            "*- Flow Service requests -*",
            "#1 GET /data/foundation/flowservice/flows -> 503 (* ms)  [[]injected[]]",
            "     by the fault rule outage",
        ]
    )
    assert text.count("- Flow Service requests -") == 10
    assert "flowservice/connectionSpecs" not in text  # only the failing tests' requests are shown
    for reason in REFUSED_CALLS.values():
        result.stdout.fnmatch_lines([f"E *{reason.replace('?', '[?]')}*"])
    result.stdout.no_fnmatch_line("*emulator/testing/*.py:*")
    for reason in (*REFUSED_MARKS.values(), "--port: a whole number is needed, got 'many'"):
        assert reason in text
    assert "local_server.py" not in text and "testing/client.py" not in text


REPORTED = """
import pytest
from pathlib import Path
from client import make_flow, send

@pytest.mark.parametrize("number", range(4))
def test_not_there(flow_service, number):
    Path(f"{number}.url").write_text(flow_service.url)
    assert flow_service.clock.mode == "accelerated"
    assert 1767225600 <= flow_service.clock.freeze() < 1767225600 + 3600 * 24
    assert flow_service.headers["x-gw-ims-org-id"] == "OWN@AdobeOrg"
    assert send(flow_service, "GET", "/flows/none")[0] == 404
    assert [rule["count"] for rule in flow_service.contract.violations] == [1]

@pytest.mark.flow_service(seed=5, check_auth=False)
def test_another_server(flow_service):
    assert send(flow_service, "GET", "/runs?limit=many")[0] == 400
    flow_service.reset()
    assert send(flow_service, "GET", "/connectionSpecs?limit=5")[0] == 200

@pytest.mark.flow_service(report=False, clock="frozen", seed="7")
def test_means_to_be_refused(flow_service, flow_service_server):
    assert flow_service.clock.now == 1767225600
    assert flow_service.url == flow_service_server.url
    assert send(flow_service, "POST", "/flows", {}, Authorization="Bearer other")[0] == 401
    make_flow(flow_service)
    flow_service.clock.advance(60)
    assert max(file.row_count for file in flow_service.exports) == 100
"""
INI = """[pytest]
flow_service_clock = 1000
flow_service_now = 2026-01-01T00:00:00Z
flow_service_seed = 7
flow_service_check_auth = true
flow_service_flags = --rows-per-file 100
flow_service_org = OWN@AdobeOrg
"""


def test_options_of_the_ini_file_and_the_report_of_a_whole_run(suite: pytest.Pytester) -> None:
    """One report of all tests, servers, resets and workers, which says in which test what was found.

    What a baseline has fails nothing. Each worker of xdist has a server of its own.
    """
    suite.makepyfile(REPORTED)
    suite.makeini(f"{INI}flow_service_report = reports/contract.html")
    result = inner(
        suite, "--strict-config", "--flow-service-report", "known.json", "--flow-service-fail-on", "violation"
    )
    result.assert_outcomes(passed=6)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*= Flow Service contract =*",
            "Contract report: 6 requests, 2 rules violated, no warnings",
            "  * (resource-not-found * 4 requests)",
            "    fix: *",
            "      GET /data/foundation/flowservice/flows/none (request 1, status 404, in*",
            "  operations: 3 of *",
            "report: *contract.html",
            "report: *known.json",
            "FAILED: 2 rules violated, no warnings (--flow-service-fail-on violation)",
        ]
    )
    assert "test_another_server" in (suite.path / "reports" / "contract.html").read_text("utf-8")
    assert len({path.read_text() for path in suite.path.glob("*.url")}) == 1

    suite.makeini(f"{INI}flow_service_baseline = none.json\nflow_service_fail_on = violation")
    workers = ("-p", "xdist", "-n", "2", "--dist", "load", "--flow-service-report", "contract.json")
    result = suite.runpytest_subprocess(*ALONE, *workers, "--flow-service-baseline", "known.json")
    result.assert_outcomes(passed=6)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*: 6 requests, no new violations, *", "2 findings known from the baseline, left out here"]
    )
    assert len({path.read_text() for path in suite.path.glob("*.url")}) == 2
    report = json.loads((suite.path / "contract.json").read_bytes())  # the whole: it is the next baseline
    assert report["summary"]["requests"] == 6
    assert {rule["id"]: rule["count"] for rule in report["violations"]} == {"resource-not-found": 4, "value-invalid": 1}
    met = {entry["name"]: entry["count"] for entry in report["coverage"]["operations"]["met"]}
    assert met == {"get:flows": 4, "list:runs": 1, "list:connectionSpecs": 1}

    report["violations"] = [rule for rule in report["violations"] if rule["id"] != "resource-not-found"]
    (suite.path / "known.json").write_text(json.dumps(report))
    suite.makeini(f"{INI}flow_service_baseline = known.json\nflow_service_fail_on = violation")
    result = inner(suite, "--flow-service-report", "contract.txt", "-k", "not_there and 1 or another")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    text = (suite.path / "contract.txt").read_text("utf-8")
    assert "resource-not-found" in text and "value-invalid [" not in text


def test_options_that_cannot_be(suite: pytest.Pytester) -> None:
    """Each is refused with the reason, also where it would not be needed."""
    suite.makepyfile("def test_nothing(): ...")
    (suite.path / "other.json").write_text("{}")
    (suite.path / "text.json").write_text("no")
    fail = ("-o", "flow_service_fail_on=violation", "-o")
    for options, reason in (
        ((*fail, "flow_service_baseline=nope.json"), "cannot read "),
        ((*fail, "flow_service_baseline=other.json"), "other.json is no contract report"),
        ((*fail, "flow_service_baseline=text.json"), "text.json is no contract report"),
        (("-o", "flow_service_isolation=x"), "flow_service_isolation must be one of org, sandbox, got 'x'"),
        (
            ("--flow-service-report", "a.pdf"),
            "a name that ends in .html, .json, .xml, .txt, .md is needed, got 'a.pdf'",
        ),
        (("--flow-service-fail-on", "remark"), "flow_service_fail_on must be one of violation, warning, got 'remark'"),
    ):
        result = inner(suite, *options)
        assert result.ret == pytest.ExitCode.USAGE_ERROR, options
        assert reason in result.stderr.str()


def test_a_run_without_the_emulator_has_no_report(suite: pytest.Pytester) -> None:
    """Not even that of an earlier run, which would be taken for this one's."""
    (suite.path / "contract.html").write_text("old")
    suite.makepyfile("def test_nothing(): ...")
    options = ("--flow-service-report", "contract.html", "--flow-service-fail-on", "warning")
    inner(suite, "--collect-only", *options)
    assert (suite.path / "contract.html").exists()
    result = inner(suite, *options)
    assert result.ret == 0 and not (suite.path / "contract.html").exists()
    result.stdout.fnmatch_lines(["no test has used the emulator: there is no report"])


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("isolation", ["org", "sandbox"])
def test_one_server_is_shared(suite: pytest.Pytester, server: ServerProcess, isolation: str) -> None:
    """Each test sees its own entities, requests, faults and files only; the report has all, or fails the run."""
    suite.makepyfile(
        """
        import pytest
        from client import make_flow, send

        @pytest.mark.parametrize("time_of_run", [1, 2])
        def test_isolated(flow_service, time_of_run):
            assert send(flow_service, "GET", "/flows?count=true") == (200, {"count": 0})
            assert len(flow_service.requests) == 1 and len(flow_service.exports) == 0
            assert flow_service.faults.rules == flow_service.contract.violations == []
            make_flow(flow_service, compression="GZIP")
            runs = flow_service.clock.advance(hours=1)
            (file,) = flow_service.exports
            assert {run["flowId"] for run in runs} == {file.flow}
            assert file.path.is_relative_to(flow_service.export_dir) and len(file.rows()) == file.row_count
            flow_service.faults.add("error", error="service-unavailable")
            assert send(flow_service, "GET", "/flows")[0] == 503
            flow_service.faults.clear()
            assert send(flow_service, "GET", "/flows/none")[0] == 404
            assert [rule["id"] for rule in flow_service.contract.violations] == ["resource-not-found"]
            flow_service.faults.scenario("rate-limited")

        @pytest.mark.flow_service(seed=1)
        def test_seed(flow_service): ...
        @pytest.mark.flow_service(now=1)
        def test_now(flow_service): ...
        """
    )
    name = "contract.json" if isolation == "org" else "client.py/contract.json"
    options = ("-o", f"flow_service_isolation={isolation}", "-rs", "--flow-service-report", name)
    result = inner(suite, "--flow-service-url", server.url + "/", *options)
    result.assert_outcomes(passed=2, skipped=2)
    result.stdout.fnmatch_lines(
        [
            f"flow service: {server.url}/ (shared)",
            f"*needs a server of its own, and all tests share the one at {server.url}*",
        ]
    )
    if isolation == "org":
        report = json.loads((suite.path / name).read_bytes())
        met = {entry["name"]: entry["count"] for entry in report["coverage"]["operations"]["met"]}
        assert met["get:flows"] >= 2 and result.ret == 0
    else:
        result.stdout.fnmatch_lines([f"cannot write */{name}: *"])
        result.stdout.no_fnmatch_line("report: *")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert FlowService(FlowServiceServer(server.url)).faults.rules == []


def test_a_server_that_is_not_there(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_it(flow_service): ...")
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    for given, reason in (
        (url, f"the Flow Service emulator at {url} does not answer: *refused*"),
        ("nonsense", "an address such as http*"),
    ):
        result = inner(suite, "--flow-service-url", given)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines([f"*flow_service: {reason}"])


def test_a_server_without_pytest(tmp_path: Path) -> None:
    """It is usable in fixtures of wider scope, too, as it has the `server` that `flow_service_server` is."""
    with start_server(seed=7, orgs="A@AdobeOrg,B@AdobeOrg", check_auth=True, export_dir=tmp_path) as service:
        assert service.headers["x-gw-ims-org-id"] == "A@AdobeOrg" and len(service.headers["Authorization"]) > 60
        assert service.clock.mode == "frozen" and len(service.requests) == 0
        service.create_flow("5ef3e3259ad2a1191ab7dd7d", "sftp")
        assert service.clock.advance(hours=1)[0]["status"] == "success"
        assert service.server.export_dir == tmp_path and service.exports[0].path.is_relative_to(tmp_path)
    with pytest.raises(FlowServiceError, match="does not answer"):
        service.control("GET", "/health")
    with pytest.raises(FlowServiceError, match="FLOW_EMULATOR_PORT: a whole number is needed"), start_server(port="x"):
        pass
    with pytest.raises(TypeError, match="there is no setting 'sede'; the settings are "), start_server(sede=7):
        pass


def test_the_server_ends_with_the_run(suite: pytest.Pytester) -> None:
    """Also when the run is killed."""
    suite.makepyfile(
        """
        import sys, time
        def test_waiting(flow_service):
            print(flow_service.url, file=sys.__stdout__, flush=True)
            time.sleep(60)
        """
    )
    command = [sys.executable, "-m", "pytest", "-s", "-q", *ALONE]
    with subprocess.Popen(command, cwd=suite.path, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        url = next(line for line in run.stdout if line.startswith("http://")).strip()
        address = (urlsplit(url).hostname, urlsplit(url).port)
        socket.create_connection(address).close()
        run.kill()
        run.stdout.read()
    for _ in range(200):
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.05)
    pytest.fail("the server goes on without its test run")


def test_a_pool_keeps_few_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one used longest ago ends first; all end with the pool."""
    running: list[str] = []

    @contextmanager
    def pretended(folder: Path, flags: list[str], settings: dict[str, str]) -> Iterator[FlowServiceServer]:
        running.append(flags[0])
        yield FlowServiceServer(f"http://{flags[0]}")
        running.remove(flags[0])

    monkeypatch.setattr(local_server, "running_server", pretended)
    pool = local_server.ServerPool(tmp_path)
    for flag in ("a", "b", "c", "d", "a", "e"):
        assert pool.server([flag], {}).url == f"http://{flag}"
    assert running == ["a", "c", "d", "e"]
    pool.close()
    assert running == []


@pytest.mark.parametrize("content", [b"x", b"PAR1" + bytes(100) + b"\x10\0\0\0PAR1"])
def test_a_broken_file_fails_one_test_and_not_the_run(tmp_path: Path, content: bytes) -> None:
    """The Parquet reader panics, which is no Exception: it would take pytest with it."""
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(ValueError, match="is not Parquet"):
        file_rows(tmp_path / "a.parquet")
