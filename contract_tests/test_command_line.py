"""The command line and the settings: what is wrong is refused, by the name under which it was given, and before anything starts."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract_tests.support import FROZEN_NOW, serving
from flow_service_emulator.app import create_app
from flow_service_emulator.cli import main
from flow_service_emulator.clock import Clock
from flow_service_emulator.exports.exported_files import ExportFolderError
from flow_service_emulator.settings import Settings, read_settings, variables_of_kubernetes

OF_KUBERNETES = {
    "FLOW_EMULATOR_PORT": "tcp://10.0.0.1:8080",
    "FLOW_EMULATOR_SERVICE_HOST": "10.0.0.1",
    "FLOW_EMULATOR_SERVICE_PORT": "8080",
    "FLOW_EMULATOR_SERVICE_PORT_HTTP": "8080",
    "FLOW_EMULATOR_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    "FLOW_EMULATOR_PORT_8080_TCP_PROTO": "tcp",
    "FLOW_EMULATOR_PORT_8080_TCP_PORT": "8080",
    "FLOW_EMULATOR_PORT_8080_TCP_ADDR": "10.0.0.1",
    "FLOW_EMULATOR_NEXT_SERVICE_HOST": "10.0.0.2",
    "FLOW_EMULATOR_NEXT_PORT": "udp://10.0.0.2:53",
}


def start(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A server that is expected not to start."""
    command = [sys.executable, "-m", "flow_service_emulator", "serve", "--port", "0", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30)


def test_a_file_is_no_export_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = start("--export-dir", "file", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "flow-service-emulator: nothing can be written to the export folder file: it is a file; "
        "--export-dir or FLOW_EMULATOR_EXPORT_DIR names another\n"
    )


def test_an_export_folder_that_another_user_has_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To root, as whom tests may run, every folder is open; so the system's answer is put in its place."""
    (tmp_path / ".flow-service-emulator").touch()
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(ExportFolderError, match=r"nothing can be written to .*: Permission denied; --export-dir or"):
        create_app(Settings(export_dir=tmp_path), Clock("frozen"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("serve", "--exprot-dir", "x"), "flow-service-emulator serve: error: unrecognized arguments: --exprot-dir x; did you mean --export-dir?"),
        (("serve", "--export", "x"), "did you mean --export-dir?"),
        (("report", "--form=html"), "flow-service-emulator report: error: unrecognized arguments: --form=html; did you mean --format?"),
        (("demo", "--zzz"), "flow-service-emulator demo: error: unrecognized arguments: --zzz\n"),
        (("serve", "exports"), "flow-service-emulator serve: error: unrecognized arguments: exports\n"),
    ],
)  # fmt: skip
def test_an_unknown_flag_is_told_by_its_command(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("fixtures", "nothere", "a folder is needed, and there is none, got 'nothere'"),
        ("fixtures", __file__, "a folder is needed, and that is a file"),
        ("allowed_hosts", "http://x/y", "host names are needed, without a scheme, a port or a path"),
        ("allowed_hosts", "a.example.org,x/y", "host names are needed"),
        ("allowed_hosts", "a.example.org:8080", "host names are needed"),
    ],
)
def test_a_wrong_value_is_told_with_the_name_it_was_given_under(name: str, value: str, reason: str) -> None:
    flag, variable = "--" + name.replace("_", "-"), f"FLOW_EMULATOR_{name.upper()}"
    with pytest.raises(ValueError) as by_flag:
        read_settings({name: value}, {})
    assert str(by_flag.value).startswith(f"{flag}: {reason}")
    with pytest.raises(ValueError) as by_variable:
        read_settings({}, {variable: value})
    assert str(by_variable.value).startswith(f"{variable}: {reason}")


def test_host_names_and_addresses_are_taken() -> None:
    names = "a.example.org,.example.org,*,::1"
    assert read_settings({"allowed_hosts": names}, {}).allowed_hosts == tuple(names.split(","))


def test_what_kubernetes_sets_for_a_service_of_this_name_is_no_setting() -> None:
    environment = {**OF_KUBERNETES, "FLOW_EMULATOR_SEED": "1", "HOME": "/root"}
    assert read_settings({}, environment) == Settings(seed=1)
    assert variables_of_kubernetes(environment) == sorted(OF_KUBERNETES)


@pytest.mark.parametrize("name", ["FLOW_EMULATOR_SERVICE", "FLOW_EMULATOR_PORTS", "FLOW_EMULATOR_EXPORT_PORT"])
def test_other_unknown_variables_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: no such setting"):
        read_settings({}, {name: "8080"})
    with pytest.raises(ValueError, match="FLOW_EMULATOR_PORT: a whole number is needed"):
        read_settings({}, {"FLOW_EMULATOR_PORT": "10.0.0.1:8080"})


def test_a_data_folder_that_is_further_on_is_told_beside_the_time_asked_for(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "data"), "--clock", "frozen", "--now")
    with serving(tmp_path, *data, str(FROZEN_NOW)) as server:
        server.stop()
    with serving(tmp_path, *data, "2020-01-01") as server:
        server.stop()
    (warning,) = [line for line in server.log.read_text().splitlines() if " WARNING " in line]
    assert "--now is ignored: time goes on from 2026-01-01 00:00:00 UTC, where the data folder left it" in warning


def test_a_start_says_where_the_page_is_and_which_dataset_files_cannot_be_used(tmp_path: Path) -> None:
    datasets = tmp_path / "fixtures" / "datasets"
    datasets.mkdir(parents=True)
    (datasets / "broken.csv").write_text("a,a\n1,2\n")
    with serving(tmp_path, "--fixtures", str(datasets.parent)) as server:
        for _ in range(100):  # nobody asks for datasets
            if "broken.csv" in (log := server.log.read_text()):
                break
            time.sleep(0.05)
    assert f"the dashboard is at {server.url}/__emulator/\n" in log
    assert "the dataset file broken.csv cannot be used: two columns are named 'a'" in log


def test_a_large_dataset_file_does_not_hold_up_the_end(tmp_path: Path) -> None:
    datasets = tmp_path / "fixtures" / "datasets"
    datasets.mkdir(parents=True)
    (datasets / "large.ndjson").write_bytes(b'{"id": 1, "name": "a name"}\n' * 2_000_000)
    with serving(tmp_path, "--fixtures", str(datasets.parent)) as server:
        assert server.stop(timeout=3) == 0
    assert "large.ndjson" not in server.log.read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--output", "contract.docx"),
            "--output: a name that ends in .html, .json, .xml, .txt is needed, or --format",
        ),
        (("--output", "contract"), "--output: a name that ends in"),
        (("--url", "http://127.0.0.1:1", "a.json"), "--url does not go with saved reports"),
        (("a.json", "./a.json"), "a.json is named twice"),
    ],
)
def test_a_report_that_would_not_be_the_one_meant_is_refused(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *arguments]) == 2
    assert told in capsys.readouterr().err
