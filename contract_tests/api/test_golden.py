"""The rows of every built-in dataset for one seed, byte by byte as NDJSON: whatever is rewritten makes the same ones.

Source: documentation, "Datasets".

`python -m contract_tests.api.test_golden` writes golden.json again, for a change of the rows that is meant.
"""

from __future__ import annotations

import json
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest

from contract_tests.support import FROZEN_NOW, Api, serving
from contract_tests.tutorial import DATA_LAKE, FIRST_DATASET, S3

GOLDEN = Path(__file__).with_name("golden.json")
SCHEMA = {
    "type": "object",
    "properties": {
        "orderId": {"type": "integer", "minimum": 1, "maximum": 9},
        "state": {"type": "string", "enum": ["open", "paid"]},
        "at": {"type": "string", "format": "date-time"},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number"}}}},
        "email": {"type": "string", "format": "email"},
        "gift": {"type": "boolean"},
    },
}


def digests(folder: Path) -> dict[str, dict[str, str]]:
    """Rows and digests of what a day of a flow exports, by dataset: of the first export, and of the seven later ones together."""
    with serving(folder, "--seed", "7", "--rows-per-file", "1000") as server:
        api = Api(server.url)
        api.control("PUT", "/datasets/alike", {"like": FIRST_DATASET, "rows": 300, "rowsPerHour": 10})
        api.control("PUT", "/datasets/schema", {"schema": SCHEMA, "rows": 200, "rowsPerHour": 5})
        configs = f"/connectionSpecs/{DATA_LAKE}/configs?outputType=activationDatasets&outputField=datasets&limit=100"
        datasets = [dataset["id"] for dataset in api.items(configs)]
        api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}, datasets=datasets)
        assert {run["status"] for run in api.advance(86_400)} == {"success"}
        api.close()
        found = {}
        for dataset in sorted(datasets):
            folders = sorted(server.export_dir.glob(f"*/*/*/*/{dataset}/exportTime=*"))
            first, *later = (b"".join(part.read_bytes() for part in sorted(each.glob("part-*"))) for each in folders)
            texts = {"first": first, "later": b"".join(later)}
            found[dataset] = {
                name: f"{len(text.splitlines())} {sha256(text).hexdigest()}" for name, text in texts.items()
            }
        return found


@pytest.mark.emulator_only
def test_the_rows_are_the_same(tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text("utf-8"))
    assert len(golden) == 36 + 2
    found = digests(tmp_path)
    assert [dataset for dataset in golden if found.get(dataset) != golden[dataset]] == []
    assert found.keys() == golden.keys()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        GOLDEN.write_text(json.dumps(digests(Path(temporary)), indent=1) + "\n", "utf-8")
