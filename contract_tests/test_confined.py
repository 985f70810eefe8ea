"""Nothing but the export folder and the data folder is written to, whatever a path says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from contract_tests.support import Api
from contract_tests.tutorial import DESTINATIONS, S3, SOURCE_CONNECTION

WATCHED = """
import json, os, sys

report = open(sys.argv.pop(1), "a", buffering=1)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PATHS = {"os.mkdir": 1, "os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.symlink": 2, "os.link": 2, "os.truncate": 1}

def note(event, path):
    if not isinstance(path, int):  # an open file
        report.write(json.dumps(os.path.abspath(os.fsdecode(path))) + "\\n")

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and (arguments[2] or 0) & WRITING:
        note(event, arguments[0])
    elif event == "shutil.rmtree":
        note(event, arguments[0])
    elif event in PATHS and not (event in ("os.remove", "os.rmdir") and arguments[-1] >= 0):  # within what rmtree removes
        for path in arguments[:PATHS[event]]:
            note(event, path)

sys.addaudithook(watch)
sys.argv[0] = "flow-service-emulator"
from flow_service_emulator.cli import main
sys.exit(main())
"""
"""A server that notes every path which it opens for writing, makes, renames or removes."""


def test_a_read_only_root_is_enough(tmp_path: Path) -> None:
    """In a container, `--read-only` needs a writable export folder and data folder, and no `/tmp`."""
    exports, data, report = tmp_path / "exports", tmp_path / "data", tmp_path / "report"
    flags = ["serve", "--port", "0", "--export-dir", str(exports), "--clock", "frozen"]
    flags += ["--data-dir", str(data)]
    command = [sys.executable, "-B", "-c", WATCHED, str(report), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            api = Api(process.stdout.readline().split()[-1])
            now = int(api.control("GET", "/clock")["now"])
            for number, destination in enumerate(DESTINATIONS):
                form: dict[str, Any] = {"datasetFileType": "PARQUET"} if number % 2 else {"compression": "GZIP"}
                api.flow(destination, {"interval": 3, "timeUnit": "hour", "startTime": now + 10}, **form)
            source = api.created("sourceConnections", SOURCE_CONNECTION)
            body = S3.target_connection(api.created("connections", S3.base_connection()))
            body["params"] |= {"path": "../../../outside"}
            target = api.created("targetConnections", {**body, "name": "../../../../outside"})
            schedule = {"interval": 3, "timeUnit": "hour", "startTime": now + 10}
            template = {"foldernameTemplate": "%DESTINATION_INSTANCE_NAME%_%DATASET_ID%"}
            api.created("flows", S3.flow(source, target, **schedule, **template))
            runs = api.advance(10)
            assert (len(runs), {run["status"] for run in runs}) == (7, {"success"})
            for path in ("/state", "/requests", "/exports", "/contract?format=html"):
                assert api.http.get(f"/__emulator{path}").status_code == 200
            api.control("POST", "/reset", params={"exports": "true"})
            api.close()
        finally:
            process.terminate()
    touched = [Path(json.loads(line)) for line in report.read_text().splitlines()]
    assert sum(path.is_relative_to(exports) for path in touched) > 20
    assert [path for path in touched if not path.is_relative_to(exports) and not path.is_relative_to(data)] == []
