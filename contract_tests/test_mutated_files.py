"""A user's data file with wrong bytes is that file's problem: the server and the other datasets go on."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

from contract_tests.bench.mutated_files import TYPES, check_folder, in_folder, put_all
from contract_tests.support import Api, serving

COUNT = 10


CRASHING = zlib.decompress(
    base64.b64decode(
        "eNqdUEEKwkAMTNd27QdSdmEPi2BRULFCxYMXL4LSQ/EHRRYUqta26tG7bxD8gW/yKabWmzdDwoSZMJCJZ6sAAV8WdQ81rRy5AoAGjdNqORVcqSyoi32xsazx"
        "h4f/eLRlFILgxXpjdgkyCJmwUmTIoynJoS3sdFuUJKDdZqJpUrMz+xI8IZVUPigyaHOQEyv9HNYH9xLB096NeQ/muwtF/wFZTLu+cOUcXBDkXcnCdwmgo7Mk"
        "P55M2V9nWT/J88NFn01ebA97PRoPhoNAqiqdJ01M0b0BhewqeA=="
    )
)
"""Parquet with three wrong bytes that ends the process which reads it: arro3 panics there where no panic can be caught."""


def test_files_with_wrong_bytes_are_listed_with_their_problem_and_the_others_are_exported(tmp_path: Path) -> None:
    in_folder(tmp_path / "fixtures" / "datasets", COUNT)
    (tmp_path / "fixtures" / "datasets" / "crashing.parquet").write_bytes(CRASHING)
    with serving(tmp_path, "--fixtures", str(tmp_path / "fixtures")) as server:
        api = Api(server.url)
        told = api.control("GET", "/datasets", timeout=300)["items"]
        assert "ends the process that reads it (SIGABRT)" in next(
            item["problem"] for item in told if item["id"] == "crashing"
        )
        check_folder(api, COUNT)
        for format_ in TYPES:
            put_all(api, format_, 4 if format_ == "parquet" else COUNT)
        api.close()
