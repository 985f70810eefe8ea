"""As in a container that is run with `--read-only --cap-drop ALL --security-opt no-new-privileges --user 10001`.

What a container engine does is done here by hand: a mount namespace with a root of its own, everything in it read-only but the
export folder (and the data folder where there is one), and a process without any capability.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract_tests.support import FROZEN_NOW, Api
from contract_tests.tutorial import DESTINATIONS, SOURCE_CONNECTION

PROJECT = Path(__file__).parent.parent
USER = 10_001
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc")
DEVICES = ("/dev/null", "/dev/urandom")
STRIPPED = f"setpriv --reuid={USER} --regid={USER} --clear-groups --inh-caps=-all --ambient-caps=-all --bounding-set=-all --no-new-privs"


def unable() -> str:
    """Why this machine cannot do what a container engine does; empty when it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux"
    if not all(shutil.which(tool) for tool in ("unshare", "setpriv", "chroot", "mount")):
        return "needs unshare and setpriv (util-linux)"
    script = 'mount -t tmpfs none "$0" && mount -o remount,bind,ro "$0"'
    tried = subprocess.run([*UNSHARED, script, "/tmp"], capture_output=True, text=True)
    return f"cannot mount in a namespace of its own: {tried.stderr.strip()}" if tried.returncode else ""


UNSHARED = ("unshare", "--mount", "--propagation", "private", "sh", "-ec")
UNABLE = unable()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(UNABLE), reason=UNABLE)]


def image_environment() -> dict[str, str]:
    """The variables that the image sets."""
    lines = PROJECT.joinpath("Dockerfile").read_text().replace("\\\n", " ").splitlines()
    pairs = [pair for line in lines if line.startswith("ENV ") for pair in shlex.split(line[4:])]
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs) if name != "PATH"}


def mounts(root: Path, writable: dict[str, Path]) -> str:
    """A script that makes a root of what Python, the emulator and the system need, all of it read-only but `writable`."""
    lines = [f"mount -t tmpfs -o mode=755 none {root}"]
    paths = {Path(path) for path in (sys.base_prefix, sys.prefix, PROJECT, sysconfig.get_path("purelib"))}
    folders = [path for path in (*map(Path, SYSTEM), *sorted(paths)) if path.exists()]
    for path in folders:
        if path.is_symlink():
            lines.append(f"ln -s {path.readlink()} {root}{path}")
        elif not any(path != other and path.is_relative_to(other) for other in folders):
            lines += [f"mkdir -p {root}{path}", f"mount --rbind {path} {root}{path}"]
            lines.append(f"mount -o remount,bind,ro {root}{path}")
    lines.append(f"mkdir -p {root}/dev {root}/proc {root}/tmp")
    lines += [f"touch {root}{device} && mount --bind {device} {root}{device}" for device in DEVICES]
    for place, folder in writable.items():
        lines += [f"mkdir -p {root}{place}", f"mount --bind {folder} {root}{place}"]
    return "\n".join([*lines, f"mount -o remount,ro {root}", f"cd {root}"])


@contextlib.contextmanager
def hardened(
    folder: Path, command: str, writable: dict[str, Path], **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """A command of the image, with its environment, shut in."""
    root = folder / "root"
    root.mkdir()
    environment = {
        **image_environment(),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(PROJECT / "emulator"),
        **variables,
    }
    script = f"{mounts(root, writable)}\nexec chroot {root} {STRIPPED} {command}"
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*UNSHARED, script], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def folder_for_all(path: Path) -> Path:
    """A folder as a volume is, which any user may write to."""
    path.mkdir()
    path.chmod(0o1777)
    return path


def status_of(process: subprocess.Popen[str]) -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_walls_stand(tmp_path: Path) -> None:
    """Without which the rest here would show nothing."""
    exports = folder_for_all(tmp_path / "exports")
    tries = " ".join(f"{place}/x" for place in ("", "/tmp", "/etc", PROJECT, sys.prefix, "/exports"))
    command = f"sh -c 'for file in {tries}; do touch $file 2>/dev/null && echo $file; done; id -u'"
    with hardened(tmp_path, command, {"/exports": exports}) as process:
        assert process.stdout is not None
        assert process.stdout.read().split() == ["/exports/x", str(USER)]


def test_it_exports_without_rights_on_a_read_only_system(tmp_path: Path) -> None:
    writable = {"/exports": folder_for_all(tmp_path / "exports"), "/data": folder_for_all(tmp_path / "data")}
    variables = {
        "FLOW_EMULATOR_PORT": "0",
        "FLOW_EMULATOR_CLOCK": "frozen",
        "FLOW_EMULATOR_NOW": str(FROZEN_NOW),
        "FLOW_EMULATOR_DATA_DIR": "/data",
    }
    with hardened(tmp_path, f"{sys.executable} -m flow_service_emulator serve", writable, **variables) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on http://0.0.0.0:"), (tmp_path / "log").read_text()
        status = status_of(process)
        assert status["Uid"].split() == [str(USER)] * 4
        assert status["Groups"] == ""
        assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"

        api = Api(re.sub(r"//.*:", "//127.0.0.1:", line.split()[-1]))
        schedule = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 10}
        for destination in DESTINATIONS:
            api.flow(destination, schedule)
        runs = api.advance(3600 * 3 + 10)
        assert [run["status"] for run in runs] == ["success"] * 2 * len(DESTINATIONS)
        listed = api.control("GET", "/exports")["items"]
        assert len(listed) >= len(DESTINATIONS) * len(SOURCE_CONNECTION["params"]["datasets"])
        for file in listed:
            found = writable["/exports"] / file["path"]
            assert (found.stat().st_size, found.stat().st_uid) == (file["size"], USER)
            assert len(api.http.get(f"/__emulator/exports/{file['path']}").content) == file["size"]
        api.close()
        process.terminate()
        assert process.wait(10) == 0
    assert not re.search(r"Traceback|ERROR|WARNING|Read-only", (tmp_path / "log").read_text())
    assert list(writable["/data"].iterdir())
