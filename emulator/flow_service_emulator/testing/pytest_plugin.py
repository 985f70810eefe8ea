"""The pytest plugin: `flow_service` gives each test a clean emulator, in a process of its own, without any configuration.

Loaded in every pytest run of an environment that has the package: so what takes long to import is imported when it is needed.
"""

from __future__ import annotations

import math
import secrets
import shlex
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from flow_service_emulator.testing import FlowService, FlowServiceError, FlowServiceServer, epoch_seconds
from flow_service_emulator.testing.local_server import ServerPool, log_end

if TYPE_CHECKING:
    from flow_service_emulator.testing.session_report import SessionReport

MARK = "flow_service"
ISOLATIONS = ("org", "sandbox")
_USED = pytest.StashKey[FlowService]()
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
_HELP = {name: text for name, _, _, text in _INI}


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
    faults: tuple[str | Mapping[str, Any], ...] = ()
    report: bool = True

    def server_flags(self, root: Path) -> tuple[str, ...]:
        """The flags of `serve` that these options need."""
        given = {
            "--seed": "" if self.seed is None else str(self.seed),
            "--fixtures": str(root / self.fixtures) if self.fixtures else "",
            "--orgs": ",".join(self.orgs),
            "--sandboxes": ",".join(self.sandboxes),
        }
        flags = [word for flag, value in given.items() if value for word in (flag, value)]
        return (*self.flags, *flags, *(["--check-auth"] if self.check_auth else []))

    def start(self) -> dict[str, Any]:
        """The clock at a test's beginning, as `FlowService.reset` takes it. Raises ValueError."""
        start: dict[str, Any] = {"mode": self.clock}
        if self.clock not in ("frozen", "real"):
            try:
                start = {"mode": "accelerated", "speed": float(self.clock)}
            except (ValueError, TypeError):
                start = {"speed": math.nan}
            if isinstance(self.clock, bool) or not 0 < start["speed"] < math.inf:
                raise ValueError(f"clock must be 'frozen', 'real' or a speed such as 3600, got {self.clock!r}")
        if self.now not in (None, ""):
            try:
                start["now"] = epoch_seconds(self.now)
            except (ValueError, TypeError, OverflowError):
                raise ValueError(
                    f"now must be epoch seconds or such as 2026-01-01T00:00:00Z, got {self.now!r}"
                ) from None
        return start


_NAMES = tuple(field.name for field in fields(Options))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("flow-service", "Flow Service emulator")
    group.addoption("--flow-service-url", metavar="URL", help=_HELP["url"])
    group.addoption(
        "--flow-service-report", metavar="FILE", action="append", default=[], help=f"{_HELP['report']}; may be repeated"
    )
    group.addoption("--flow-service-fail-on", metavar="SEVERITY", help=_HELP["fail_on"])
    for name, kind, default, text in _INI:
        parser.addini(f"flow_service_{name}", text, type=kind, default=default)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{MARK}({', '.join(_NAMES)}): what this test's flow_service is to be like; all are optional."
    )
    isolation = config.getini("flow_service_isolation")
    if isolation not in ISOLATIONS:
        raise pytest.UsageError(f"flow_service_isolation must be one of {', '.join(ISOLATIONS)}, got {isolation!r}")
    try:
        config.getini("flow_service_check_auth")
    except (ValueError, pytest.UsageError) as reason:  # as the version of pytest has it
        raise pytest.UsageError(f"flow_service_check_auth must be true or false: {reason}") from None
    files = [config.rootpath / name for name in config.getini("flow_service_report")]
    files += [config.invocation_params.dir / name for name in config.getoption("--flow-service-report")]
    fail_on = config.getoption("--flow-service-fail-on") or config.getini("flow_service_fail_on")
    name = config.getini("flow_service_baseline")
    baseline = config.rootpath / name if name else None
    if files or fail_on:
        from flow_service_emulator.testing.session_report import SessionReport

        config.stash[_REPORT] = SessionReport(config, files, fail_on, baseline)
        config.pluginmanager.register(config.stash[_REPORT], "flow-service-report")
    elif baseline is not None and not baseline.is_file():
        raise pytest.UsageError(f"flow_service_baseline: there is no file {baseline}")


def pytest_report_header(config: pytest.Config) -> str | None:
    url = _url(config)
    return f"flow service: {url} (shared)" if url else None


@pytest.fixture(scope="session")
def _flow_service_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPool]:
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
    config = request.config
    with _told():
        options = _options(request.node, config)
    server = _server(request, options)
    org, sandbox = options.org, options.sandbox
    if server.shared:  # one of the two is the test's own
        own = secrets.token_hex(12)
        by_org = config.getini("flow_service_isolation") == "org"
        org, sandbox = (f"{own.upper()}@AdobeOrg", sandbox) if by_org else (org, f"test-{own}")
    service = FlowService(
        server, org=org, sandbox=sandbox, downloads=lambda: tmp_path_factory.mktemp("flow-service-files")
    )
    try:
        with _told():
            start = options.start()
            service.reset(start)
            if options.check_auth:
                service.fetch_token()
                service.reset(start)  # the journal is the test's alone
            if options.faults:
                service.faults.set(*options.faults)
        request.node.stash[_USED] = service
        if options.report and _REPORT in config.stash:
            service.before_reset = partial(config.stash[_REPORT].take, service, request.node.nodeid)
        yield service
        with _told():
            unmatched = service.faults.unmatched
        if service.before_reset is not None:
            service.before_reset()
        with _told():
            service.close()
        for name in unmatched:
            request.node.warn(pytest.PytestWarning(f"flow_service: the fault {name} never matched a request or a run"))
    finally:
        service.disconnect()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the test's requests to the report of a failure, with the reason why each bad one was refused."""
    report = yield
    service = item.stash.get(_USED, None)
    if service is not None and report.failed:
        try:
            told = service.requests.text()
        except FlowServiceError as failure:
            told = f"They cannot be told: {failure}"
            if service.server.log is not None:
                told += f"\nIts log ends:\n{log_end(service.server.log)}"
        finally:
            service.disconnect()
        report.sections.append(("Flow Service requests", told))
    return report


def _url(config: pytest.Config) -> str:
    """The address of the server to use; empty to start one."""
    return str(config.getoption("--flow-service-url") or config.getini("flow_service_url"))


def _ini_options(config: pytest.Config) -> Options:
    names = {name for name, *_ in _INI if name in _NAMES and name != "report"}
    given = {name: config.getini(f"flow_service_{name}") for name in names}
    return Options(**{**given, "flags": tuple(given["flags"])})


def _options(item: pytest.Item, config: pytest.Config) -> Options:
    """The options of a test; of several marks the closest decides on each argument. Raises ValueError."""
    given: dict[str, Any] = {}
    for mark in item.iter_markers(MARK):
        if mark.args:
            pytest.fail(f"the mark {MARK} takes arguments by name only, got {mark.args[0]!r}", pytrace=False)
        given = {**mark.kwargs, **given}
    for name in given.keys() - set(_NAMES):
        pytest.fail(f"the mark {MARK} has no argument {name!r}; it has {', '.join(_NAMES)}", pytrace=False)
    for name in ("orgs", "sandboxes", "flags"):
        value = given.get(name, ())
        if isinstance(value, str):
            value = shlex.split(value) if name == "flags" else value.split(",")
        if not isinstance(value, (list, tuple, set)) or not all(isinstance(text, str) for text in value):
            raise ValueError(f"{name} must be texts, got {value!r}")
        if name in given:
            given[name] = tuple(value)
    for name, kind, words in (("check_auth", bool, "True or False"), ("report", bool, "True or False"),
                              ("org", str, "a text"), ("sandbox", str, "a text")):  # fmt: skip
        if name in given and not isinstance(given[name], kind):
            raise ValueError(f"{name} must be {words}, got {given[name]!r}")
    faults = given.get("faults", ())
    given["faults"] = tuple(faults) if isinstance(faults, (list, tuple)) else (faults,)
    if not all(isinstance(fault, (str, Mapping)) for fault in given["faults"]):
        raise ValueError(f"faults must be a scenario's name, a rule or several of these, got {faults!r}")
    options = replace(_ini_options(config), **given)
    # who names neither wants one that exists; who names one that does not, wants to see it refused
    for name, existing in (("org", options.orgs), ("sandbox", options.sandboxes)):
        if name not in given and existing and getattr(options, name) not in existing:
            given[name] = existing[0]
    return replace(options, **given)


def _server(request: pytest.FixtureRequest, options: Options) -> FlowServiceServer:
    """The session's server, or one of its own for a test whose mark needs other flags."""
    root, url = request.config.rootpath, _url(request.config)
    special = options.server_flags(root) != _ini_options(request.config).server_flags(root)
    if url and (special or options.now not in (None, "") or options.clock != "frozen"):
        pytest.skip(f"needs a server of its own, and all tests share the one at {url}")
    if special:
        return _started(request, options)
    server: FlowServiceServer = request.getfixturevalue("flow_service_server")
    return server


def _started(request: pytest.FixtureRequest, options: Options) -> FlowServiceServer:
    pool: ServerPool = request.getfixturevalue("_flow_service_pool")
    with _told():
        return pool.server(("--clock", "frozen", *options.server_flags(request.config.rootpath)))


@contextmanager
def _told() -> Iterator[None]:
    """Fails the test with the reason alone: a traceback through this plugin tells its user nothing."""
    try:
        yield
    except (FlowServiceError, ValueError) as failure:
        raise pytest.fail.Exception(f"flow_service: {failure}", pytrace=False) from None
