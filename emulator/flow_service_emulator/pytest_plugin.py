"""The pytest plugin: `flow_service` gives each test a clean emulator, in a process of its own, without any configuration.

Loaded in every pytest run of an environment that has the package: so it imports nothing but the standard library and
pytest, and the rest when a test first asks for a fixture.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from datetime import datetime

    from flow_service_emulator.testing import FlowService, FlowServiceServer
    from flow_service_emulator.testing.local_server import ServerPool
    from flow_service_emulator.testing.session_report import SessionReport

SECTION = "Flow Service requests"
MARK = "flow_service"
ISOLATIONS = ("org", "sandbox")
_USED = pytest.StashKey["FlowService"]()
_REPORT: pytest.StashKey[SessionReport] = pytest.StashKey()
_INI: tuple[tuple[str, Literal["string", "bool", "args"], str | bool, str], ...] = (
    ("url", "string", "", "address of a running emulator to use, instead of starting one"),
    ("clock", "string", "frozen", "how time goes on in each test: frozen, real, or a speed such as 3600"),
    ("now", "string", "", "time that each test starts at: epoch seconds or 2026-01-01T00:00:00Z; empty is the present"),
    ("seed", "string", "", "makes data, ids and file names the same in every run"),
    ("fixtures", "string", "", "folder with specs and datasets of your own, relative to the root folder"),
    ("check_auth", "bool", False, "accept only tokens of the token endpoint; flow_service.headers then has one"),
    ("flags", "args", "", "further flags of `flow-service-emulator serve`"),
    ("org", "string", "TEST@AdobeOrg", "organization of flow_service.headers"),
    ("sandbox", "string", "prod", "sandbox of flow_service.headers"),
    ("isolation", "string", "org", "with a url: give each test its own `org` or its own `sandbox`"),
    ("report", "args", "", "files for the contract report of the whole run: .html, .json, .xml (JUnit) or .txt"),
    ("baseline", "string", "", "an earlier contract report (.json): what it has is left out, and fails nothing"),
    ("fail_on", "string", "", "`violation` or `warning`: what in the contract report makes the run fail"),
)  # fmt: skip
"""(name without the prefix, type, default, what it does): the options of pytest.ini."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a test asks for: by its mark, else by pytest.ini, else by default. The mark's arguments are the fields' names."""

    clock: str | float = "frozen"
    now: float | str | datetime | None = None
    seed: int | str | None = None
    fixtures: str | Path | None = None
    check_auth: bool = False
    orgs: tuple[str, ...] = ()
    sandboxes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    org: str = ""
    sandbox: str = ""
    faults: str | Mapping[str, Any] | tuple[str | Mapping[str, Any], ...] = ()
    report: bool = True

    def check(self) -> None:
        """Raises ValueError for a value of another type than its argument takes."""
        for name in ("check_auth", "report"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        for name in ("org", "sandbox"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a text, got {getattr(self, name)!r}")
        for name in ("orgs", "sandboxes", "flags"):
            if not all(isinstance(text, str) for text in getattr(self, name)):
                raise ValueError(f"{name} must be texts, got {getattr(self, name)!r}")
        faults = self.faults if isinstance(self.faults, (list, tuple)) else (self.faults,)
        if not all(isinstance(fault, (str, Mapping)) for fault in faults):
            raise ValueError(f"faults must be a scenario's name, a rule or several of these, got {self.faults!r}")

    def server_flags(self, root: Path) -> tuple[str, ...]:
        """The flags of `serve` that these options need."""
        flags = list(self.flags)
        if self.seed not in (None, ""):
            flags += ["--seed", str(self.seed)]
        if self.fixtures:
            flags += ["--fixtures", str(root / self.fixtures)]
        if self.check_auth:
            flags.append("--check-auth")
        if self.orgs:
            flags += ["--orgs", ",".join(self.orgs)]
        if self.sandboxes:
            flags += ["--sandboxes", ",".join(self.sandboxes)]
        return tuple(flags)

    def start(self) -> dict[str, Any]:
        """The clock at a test's beginning, as `FlowService.reset` takes it. Raises ValueError."""
        from flow_service_emulator.testing import epoch_seconds

        if self.clock in ("frozen", "real"):
            start: dict[str, Any] = {"mode": self.clock}
        else:
            try:
                speed = float(self.clock)
            except (ValueError, TypeError):
                speed = math.nan
            if isinstance(self.clock, bool) or not 0 < speed < math.inf:
                raise ValueError(f"clock must be 'frozen', 'real' or a speed such as 3600, got {self.clock!r}")
            start = {"mode": "accelerated", "speed": speed}
        if self.now not in (None, ""):
            try:
                start["now"] = epoch_seconds(self.now)
            except (ValueError, TypeError, OverflowError):
                raise ValueError(
                    f"now must be epoch seconds or such as 2026-01-01T00:00:00Z, got {self.now!r}"
                ) from None
        return start


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("flow-service", "Flow Service emulator")
    group.addoption(
        "--flow-service-url", metavar="URL", help="address of a running emulator to use, instead of starting one"
    )
    group.addoption(
        "--flow-service-report",
        metavar="FILE",
        action="append",
        default=[],
        help="write the contract report of the whole run there: .html, .json, .xml (JUnit) or .txt; may be repeated",
    )
    group.addoption(
        "--flow-service-fail-on",
        metavar="SEVERITY",
        help="violation or warning: what in the contract report fails the run",
    )
    for name, kind, default, text in _INI:
        parser.addini(f"flow_service_{name}", text, type=kind, default=default)


def pytest_configure(config: pytest.Config) -> None:
    names = ", ".join(field.name for field in fields(Options))
    isolation = config.getini("flow_service_isolation")
    if isolation not in ISOLATIONS:
        raise pytest.UsageError(f"flow_service_isolation must be one of {', '.join(ISOLATIONS)}, got {isolation!r}")
    config.addinivalue_line(
        "markers", f"{MARK}({names}): what this test's flow_service is to be like; all are optional."
    )
    try:
        config.getini("flow_service_check_auth")
    except (ValueError, pytest.UsageError) as reason:  # as the version of pytest has it
        raise pytest.UsageError(f"flow_service_check_auth must be true or false: {reason}") from None
    files = [config.rootpath / name for name in config.getini("flow_service_report")]
    files += [config.invocation_params.dir / name for name in config.getoption("--flow-service-report")]
    fail_on = config.getoption("--flow-service-fail-on") or config.getini("flow_service_fail_on")
    baseline = (
        config.rootpath / config.getini("flow_service_baseline") if config.getini("flow_service_baseline") else None
    )
    if not (files or fail_on) and baseline is not None and not baseline.is_file():
        raise pytest.UsageError(f"flow_service_baseline: there is no file {baseline}")  # also in a run without a report
    if files or fail_on:
        from flow_service_emulator.testing.session_report import SessionReport

        config.stash[_REPORT] = SessionReport(config, files, fail_on, baseline)
        config.pluginmanager.register(config.stash[_REPORT], "flow-service-report")


def pytest_report_header(config: pytest.Config) -> str | None:
    url = _url(config)
    return f"flow service: {url} (shared)" if url else None


@pytest.fixture(scope="session")
def _flow_service_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPool]:
    from flow_service_emulator.testing.local_server import ServerPool

    pool = ServerPool(tmp_path_factory.mktemp("flow-service"))
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture(scope="session")
def flow_service_server(request: pytest.FixtureRequest) -> FlowServiceServer:
    """The emulator that tests use: one process for the whole run (with pytest-xdist for each worker), or the one at
    `--flow-service-url`. Override it in conftest.py to use a server that you start yourself.
    """
    from flow_service_emulator.testing import FlowService, FlowServiceServer

    url = _url(request.config)
    if not url:
        return _started(request, _ini_options(request.config))
    server = FlowServiceServer(url.rstrip("/"), shared=True)
    with _told():
        service = FlowService(server)
        try:
            service.control("GET", "/health")
        finally:
            service.disconnect()
    return server


@pytest.fixture
def flow_service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowService]:
    """A clean emulator for this test: `url`, `headers`, `clock`, `exports`, `requests`, `faults`, `contract`, `datasets`."""
    from flow_service_emulator.testing import FlowService

    options = _options(request.node, request.config)
    server = _server(request, options)
    org, sandbox = _scope(server, options, request.config)
    service = FlowService(
        server, org=org, sandbox=sandbox, downloads=lambda: tmp_path_factory.mktemp("flow-service-files")
    )
    try:
        with _told():
            _prepare(service, options)
        request.node.stash[_USED] = service
        if options.report and _REPORT in request.config.stash:
            service.before_reset = partial(request.config.stash[_REPORT].take, service, request.node.nodeid)
        yield service
        if service.before_reset is not None:
            service.before_reset()
        with _told():
            service.close()
    finally:
        service.disconnect()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the test's requests to the report of a failure, with the reason why each bad one was refused."""
    report = yield
    service = item.stash.get(_USED, None)
    if service is not None and report.failed:
        report.sections.append((SECTION, _told_requests(service)))
    return report


def _told_requests(service: FlowService) -> str:
    """The requests of a test, as far as its server can still tell them."""
    from flow_service_emulator.testing import FlowServiceError

    try:
        return service.requests.text()
    except FlowServiceError as failure:
        return f"They cannot be told: {failure}\n{_log_end(service.server.log)}"
    finally:
        service.disconnect()


def _url(config: pytest.Config) -> str:
    """The address of the server to use; empty to start one."""
    return str(config.getoption("--flow-service-url") or config.getini("flow_service_url"))


def _ini_options(config: pytest.Config) -> Options:
    names = {field.name for field in fields(Options)} & {name for name, *_ in _INI} - {"report"}
    given = {name: config.getini(f"flow_service_{name}") for name in names}
    return Options(**{**given, "flags": tuple(given["flags"])})


def _options(item: pytest.Item, config: pytest.Config) -> Options:
    """The options of a test; of several marks the closest decides on each argument."""
    given: dict[str, Any] = {}
    for mark in item.iter_markers(MARK):
        given = {**mark.kwargs, **given}
        if mark.args:
            pytest.fail(f"the mark {MARK} takes arguments by name only, got {mark.args[0]!r}", pytrace=False)
    known = [field.name for field in fields(Options)]
    for name in given:
        if name not in known:
            pytest.fail(f"the mark {MARK} has no argument {name!r}; it has {', '.join(known)}", pytrace=False)
    for name in ("orgs", "sandboxes", "flags"):
        if isinstance(given.get(name), str):
            with _told():
                given[name] = shlex.split(given[name]) if name == "flags" else given[name].split(",")
        if name in given:
            given[name] = tuple(given[name]) if isinstance(given[name], (list, tuple, set)) else (given[name],)
    options = replace(_ini_options(config), **given)
    with _told():
        options.check()
    # who names neither wants one that exists; who names one that does not, wants to see it refused
    if "org" not in given and options.orgs and options.org not in options.orgs:
        options = replace(options, org=options.orgs[0])
    if "sandbox" not in given and options.sandboxes and options.sandbox not in options.sandboxes:
        options = replace(options, sandbox=options.sandboxes[0])
    return options


def _server(request: pytest.FixtureRequest, options: Options) -> FlowServiceServer:
    """The session's server, or one of its own for a test whose mark needs other flags."""
    root = request.config.rootpath
    special = options.server_flags(root) != _ini_options(request.config).server_flags(root)
    if _url(request.config) and (special or options.now not in (None, "") or options.clock != "frozen"):
        pytest.skip(f"needs a server of its own, and all tests share the one at {_url(request.config)}")
    if special:
        return _started(request, options)
    server: FlowServiceServer = request.getfixturevalue("flow_service_server")
    return server


def _started(request: pytest.FixtureRequest, options: Options) -> FlowServiceServer:
    pool: ServerPool = request.getfixturevalue("_flow_service_pool")
    with _told():
        return pool.server(("--clock", "frozen", *options.server_flags(request.config.rootpath)))


def _scope(server: FlowServiceServer, options: Options, config: pytest.Config) -> tuple[str, str]:
    """Organization and sandbox of a test: on a shared server, one of the two is the test's own."""
    org, sandbox = options.org, options.sandbox
    if not server.shared:
        return org, sandbox
    from flow_service_emulator.clock import random_source

    own = f"{random_source(None).getrandbits(96):024X}"
    isolated = config.getini("flow_service_isolation")
    return (f"{own}@AdobeOrg", sandbox) if isolated == "org" else (org, f"test-{own.lower()}")


def _prepare(service: FlowService, options: Options) -> None:
    """Makes the server as the test wants it. Raises FlowServiceError and ValueError."""
    start = options.start()
    service.reset(start)
    if options.check_auth:
        service.fetch_token()
        service.reset(start)  # the journal is the test's alone
    faults = options.faults
    if faults:
        service.faults.set(*((faults,) if isinstance(faults, (str, Mapping)) else faults))


@contextmanager
def _told() -> Iterator[None]:
    """Fails the test with the reason alone: a traceback through this plugin tells its user nothing."""
    from flow_service_emulator.testing import FlowServiceError

    try:
        yield
    except (FlowServiceError, ValueError) as failure:
        raise pytest.fail.Exception(f"flow_service: {failure}", pytrace=False) from None


def _log_end(log: Path | None) -> str:
    """The last lines of the server's log."""
    if log is None or not log.is_file():
        return ""
    return "Its log ends:\n" + "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:])
