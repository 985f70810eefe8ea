"""One table of settings: the flags, the `FLOW_EMULATOR_*` variables and the documentation's table are made of it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from flow_service_emulator.instants import epoch_seconds, hint

ENV_PREFIX = "FLOW_EMULATOR_"
_BY_KUBERNETES = re.compile(
    ENV_PREFIX + r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)=.*"
    rf"|{ENV_PREFIX}(?:\w+_)?PORT=(?:tcp|udp|sctp)://\S+"
)
"""What Kubernetes tells every container beside a Service called `flow-emulator` or `flow-emulator-…`, as `name=value`
(Kubernetes documentation, "Service", section "Environment variables")."""
MAX_BODY_BYTES = 1_000_000
"""The largest request body that is read, in bytes; more is answered 413."""
MAX_CONTROL_BYTES = 256_000_000
"""The same for the control call that puts a snapshot back, which carries everything there is."""
MAX_DATASET_BYTES = 64_000_000
"""The same for those that bring a dataset, and what its records may have as JSON, however small they came. As objects they take
several times as much memory. Files in the `datasets` folder of `--fixtures` may be larger: they are read piece by piece."""
DEFAULT_URL = "http://127.0.0.1:8080"
"""Where a server listens that was started without flags."""
LATEST_TIME = 253_370_764_799
"""9998-12-31T23:59:59Z, epoch seconds: the last instant that the clock can show; a date up to a year later is still one."""


def _whole(least: float = -math.inf, most: float = math.inf, needed: str = "a whole number") -> Callable[[str], int]:
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError("a whole number is needed") from None
        if not least <= number <= most:
            raise ValueError(f"{needed} is needed")
        return number

    return parse


def _time(value: str) -> float:
    with suppress(ValueError):
        if 0 <= (number := epoch_seconds(value)) <= LATEST_TIME:
            return number
    raise ValueError(
        f"a time is needed: epoch seconds from 0 to {LATEST_TIME:.0f}, or such as 2026-01-01T00:00:00Z{hint(value)}"
    )


def _clock(value: str) -> str:
    with suppress(ValueError):
        if value in ("real", "frozen") or 0 < float(value) <= 1e9:
            return value
    raise ValueError("'real', 'frozen' or a speed above 0 is needed, such as 3600 for an hour a second")


def _names(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if not names:
        raise ValueError("one name or several separated by commas are needed")
    return names


def _hosts(value: str) -> tuple[str, ...]:
    names = _names(value)
    if any("/" in name or re.fullmatch(r"[^:]*:\d*", name) for name in names):
        raise ValueError("host names are needed, without a scheme, a port or a path, such as emulator.example.org")
    return names


def _folder(value: str) -> Path:
    folder = Path(value)
    if not folder.is_dir():
        raise ValueError("a folder is needed" + (", and that is a file" if folder.exists() else ", and there is none"))
    return folder


def http_address(value: str) -> str:
    """An address that something can be sent to. Raises ValueError for what is none."""
    parts = urlsplit(value)
    if parts.scheme != "http" or not parts.hostname or parts.port == 0:
        raise ValueError("an address such as http://127.0.0.1:9000/exported is needed")
    return value


def _call(value: str) -> tuple[str, ...]:
    import shlex
    import shutil

    if re.match(r"\w+://", value):
        return (http_address(value),)
    words = tuple(shlex.split(value))
    if not words or shutil.which(words[0]) is None:
        missing = f", and there is no command {words[0]!r}" if words else ""
        raise ValueError(f"a command or an http:// address is needed{missing}")
    return words


def _sas_url(value: str) -> str:
    if not re.match(r"https?://[^/?]+/[^?]+\?(?:.*&)?sig=", value):
        example = "http://127.0.0.1:10000/devstoreaccount1/dlz?sv=…&sig=…"
        raise ValueError(f"the address of a container with a SAS is needed, such as {example}")
    return value


def _either(one: str, other: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in (one, other):
            raise ValueError(f"'{one}' or '{other}' is needed")
        return value

    return parse


def _switch(value: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if value.lower() not in known:
        raise ValueError("'true' or 'false' is needed")
    return known[value.lower()]


def setting(default: Any, parse: Callable[[str], Any], placeholder: str, help: str) -> Any:
    """Declare one setting: its default, how its text is read, what stands for its value in help, and what it does."""
    return field(default=default, metadata={"parse": parse, "placeholder": placeholder, "help": help})


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is started with. Each field is a flag (`--export-dir`) and a variable (`FLOW_EMULATOR_EXPORT_DIR`)."""

    # fmt: off
    host: str = setting("127.0.0.1", str, "HOST", "address to listen on; 0.0.0.0 is every network of this machine")
    port: int = setting(8080, _whole(0, 65535, "a port from 0 (any free one) to 65535"), "PORT", "port to listen on; 0 takes a free one")
    export_dir: Path = setting(Path("exports"), Path, "DIR", "folder that exported files are written to")
    data_dir: Path | None = setting(None, Path, "DIR", "folder that keeps entities, runs and time over restarts; without it they live in memory")
    clock: str = setting("real", _clock, "MODE", "`real`, `frozen`, or a speed: 3600 makes an hour pass in a second")
    now: float | None = setting(None, _time, "TIME", "time that the clock starts at: epoch seconds or 2026-01-01T00:00:00Z; without it, the present; a data folder that is further on goes on from where it is")
    seed: int | None = setting(None, _whole(), "N", "makes data, ids and file names the same in every run that is asked the same, and after every reset")
    fixtures: Path | None = setting(None, _folder, "DIR", "folder with specs and datasets of your own, on top of the built-in ones")
    check_auth: bool = setting(False, _switch, "", "accept only tokens from the token endpoint, while they are valid")
    orgs: tuple[str, ...] = setting((), _names, "A,B", "organizations that exist; without it, any")
    sandboxes: tuple[str, ...] = setting((), _names, "A,B", "sandboxes that exist; without it, any")
    allowed_hosts: tuple[str, ...] = setting((), _hosts, "A,B", "further host names that control calls may be made under; `.example.org` is all below it, `*` any")
    after_export: tuple[str, ...] = setting((), _call, "CALL", "command, or `http://` address, that is told of each run before it counts as ended; when it fails, the run has failed")
    after_export_timeout: int = setting(30, _whole(1, needed="a whole number from 1"), "SECONDS", "how long such a call may take, in the machine's time")
    landing_zone: str | None = setting(None, _sas_url, "SAS_URL", "address with a SAS of the container that the Data Landing Zone's credentials are for; without it they open nothing")
    log_format: str = setting("text", _either("text", "json"), "FORMAT", "`text` or `json` lines on standard error")
    rows_per_file: int = setting(500_000, _whole(1, needed="a whole number from 1"), "N", "rows in one part file at most")
    journal_entries: int = setting(10_000, _whole(0, needed="a whole number from 0"), "N", "requests that the journal keeps; 0 keeps none")
    keep_runs: int = setting(1_000, _whole(1, needed="a whole number from 1"), "N", "run records kept for each flow; older ones are forgotten, their files stay")
    limits: str = setting("published", _either("published", "off"), "WHICH", "`published` or `off`: the published limits of dataset exports; events older than 365 days stay out, the Data Landing Zone's files go after seven days, a first export as uncompressed Parquet has at most a million rows")
    max_exports: int = setting(100_000, _whole(1, needed="a whole number from 1"), "N", "exports that one advance of the clock may cause; more is refused")
    # fmt: on


def flag_name(name: str) -> str:
    """`export_dir` -> `--export-dir`."""
    return "--" + name.replace("_", "-")


def variable_name(name: str) -> str:
    """`export_dir` -> `FLOW_EMULATOR_EXPORT_DIR`."""
    return ENV_PREFIX + name.upper()


def read_settings(flags: Mapping[str, str | bool | None], environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from flags, else from the environment's variables, else the defaults.

    `flags` maps field names to the flag's text (True for a switch, None when not given). Raises ValueError that names the
    flag or variable, its value and what is needed.
    """
    given = os.environ if environment is None else environment
    of_kubernetes = variables_of_kubernetes(given)
    named = {name: given[name] for name in given if name.startswith(ENV_PREFIX) and name not in of_kubernetes}
    values: dict[str, Any] = {}
    for declared in fields(Settings):
        name, variable = declared.name, variable_name(declared.name)
        text, origin, of_variable = flags.get(name), flag_name(name), named.pop(variable, None)
        if text is None:
            text, origin = of_variable, variable
        if isinstance(text, bool):
            values[name] = text
        elif text:
            try:
                values[name] = declared.metadata["parse"](text)
            except ValueError as reason:
                shown = text.partition("?")[0]  # not the SAS of an address
                raise ValueError(f"{origin}: {reason}, got {shown!r}") from None
    if named:
        unknown, known = next(iter(named)), sorted(variable_name(declared.name) for declared in fields(Settings))
        advice = did_you_mean(unknown, known, ENV_PREFIX) or f"; the settings are {', '.join(known)}"
        raise ValueError(f"{unknown}: no such setting{advice}")
    return Settings(**values)


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A question for the end of an error about an unknown name; empty where no known one is like it beyond their `prefix`."""
    from difflib import get_close_matches  # on first use: hardly any start needs it

    name, names = name.removeprefix(prefix), [each.removeprefix(prefix) for each in known]
    near = [each for each in names if each.startswith(name)] or get_close_matches(name, names, 1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def variables_of_kubernetes(environment: Mapping[str, str] | None = None) -> list[str]:
    """The variables that look like settings, but are what Kubernetes tells every container of a Service's address."""
    given = os.environ if environment is None else environment
    return sorted(name for name, value in given.items() if _BY_KUBERNETES.fullmatch(f"{name}={value}"))


def variables(values: Mapping[str, Any]) -> dict[str, str]:
    """Settings given in Python, by their names, as variables: `{"orgs": ("A", "B")}` -> `{"FLOW_EMULATOR_ORGS": "A,B"}`.

    None, "" and () are left out. Raises TypeError for a name that no setting has.
    """
    known = {declared.name for declared in fields(Settings)}
    for name in values:
        if name not in known:
            raise TypeError(f"there is no setting {name!r}; the settings are {', '.join(sorted(known))}")
    return {
        variable_name(name): ",".join(map(str, value)) if isinstance(value, tuple | list | set) else str(value)
        for name, value in values.items()
        if value is not None and value != "" and value != ()
    }


def environment_without_settings() -> dict[str, str]:
    """The environment for another program, such as a test run's own server: a variable that is meant for one server must not
    give another that one's data folder."""
    return {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}


def proxy_of(url: str) -> str | None:
    """The proxy that the environment has clients ask for `url`; None where they ask there themselves."""
    from urllib.request import getproxies, proxy_bypass

    return None if proxy_bypass(urlsplit(url).netloc) else getproxies().get("http")


def wants_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
