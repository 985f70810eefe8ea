"""The black-box tests with `--base-url`: against the emulator as another implementation would be."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from contract_tests.elsewhere import MARK, Address
from contract_tests.pages import ROOT, snippet
from contract_tests.support import Api, serving

TESTS = [
    "test_lists.py::test_filter",
    "test_lists.py::test_limit",
    "test_lists.py::test_empty_list",
    "test_entities.py::test_entities_are_invisible_to_every_other_scope",
    "test_patch_delete.py::test_delete",
    "test_actions_runs.py::test_run_now",
    "test_bad_input.py::test_largest_body_that_is_read",
]


def counts(api: Api) -> dict[str, int]:
    """How many entities there are of every kind."""
    return {
        collection: api.get(f"/{collection}?count=true").json()["count"]
        for collection in ("connections", "sourceConnections", "targetConnections", "flows", "runs")
    }


def test_a_run_against_another_implementation(tmp_path: Path) -> None:
    """Nothing that is there is touched, nothing is left, and the facts are told with source, time and place.

    One fact is made not to hold: the Google bucket in the values is none.
    """
    values = json.loads(snippet("test: elsewhere-values"))
    values["datasets"] = ["5ef3e324052581191aa6a466", "5ef3e3259ad2a1191ab7dd7d"]
    values["amazon-s3"]["auth"]["Access Key"] = {"s3AccessKey": "AKIAIOSFODNN7ANOTHER", "s3SecretKey": "k" * 40}
    values["amazon-s3"]["params"] = {"bucketName": "another-bucket", "path": "another/path"}
    values["google-cloud-storage"] = {"params": {"bucketName": "No Bucket!"}}
    (tmp_path / "values.json").write_text(json.dumps(values), "utf-8")
    flags = ("--clock", "real", "--check-auth")
    with serving(
        tmp_path / "server", *flags, program=[sys.executable, "-m", "contract_tests.without_control"]
    ) as server:
        url = server.url
        assert httpx.get(f"{url}/__emulator/health", trust_env=False).status_code == 404
        form = {"grant_type": "client_credentials", "client_id": "key", "client_secret": "secret", "scope": "openid"}
        token = httpx.post(f"{url}/ims/token/v3", data=form, trust_env=False).json()["access_token"]
        words = shlex.split(snippet("test: elsewhere"))
        words = words[words.index("-m") :]
        words[words.index("contract_tests/api")] = "contract_tests/api/test_tutorial.py"  # the others follow
        words[words.index("https://platform.adobe.io")] = url
        words[words.index("facts.json")] = str(tmp_path / "facts.json")
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("FLOW_", "PYTEST_"))}
        variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # other plugins take seconds to import
        variables |= {
            "FLOW_TEST_TOKEN": token,
            "FLOW_TEST_API_KEY": "key",
            "FLOW_TEST_ORG": "HELD@AdobeOrg",
            "FLOW_TEST_OTHER_SANDBOX": "dev",
            "FLOW_TEST_VALUES": str(tmp_path / "values.json"),
        }
        there = Address.read(url, variables).client()
        api = Api(url, org="HELD@AdobeOrg", token=token, api_key="key")
        theirs = api.created("connections", {"name": "of somebody else"})
        api.created("connections", {"name": f"{MARK}of a run that was broken off"})
        run = subprocess.run(
            [sys.executable, *words, *(f"contract_tests/api/{name}" for name in TESTS), "-p", "xdist"],
            cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert run.returncode == 1, run.stdout + run.stderr
        assert [item["id"] for item in api.items("/connections")] == [theirs]
        assert counts(api) == {**dict.fromkeys(counts(api), 0), "connections": 1}
        assert set(counts(there.other(sandbox="dev")).values()) == {0}
        there.close()
        api.close()
    told = json.loads((tmp_path / "facts.json").read_text("utf-8"))
    facts: dict[str, Any] = {fact["test"].rpartition("::")[2]: fact for fact in told["facts"]}
    assert (told["address"], told["org"], told["sandbox"]) == (url, "HELD@AdobeOrg", "prod")
    assert (len(told["deletedAtTheEnd"]), told["leftBehind"]) == (1, [])
    assert [name for name, fact in facts.items() if fact["outcome"] == "not confirmed"] == [
        "test_six_steps[google-cloud-storage]"
    ]
    assert {name.partition("[")[0] for name, fact in facts.items() if fact["outcome"] == "not tried"} == {
        "test_empty_list",
        "test_entities_are_invisible_to_every_other_scope",
        "test_eligible_datasets_in_full",
        "test_run_now",
        "test_largest_body_that_is_read",
    }
    confirmed = [fact for fact in facts.values() if fact["outcome"] == "confirmed"]
    assert told["counts"] == {"confirmed": len(confirmed), "not confirmed": 1, "not tried": 15}
    assert all(fact["source"] and fact["when"].endswith("+00:00") for fact in confirmed)
    assert facts["test_limit[1]"]["source"].startswith('reference, section "Sorting, filtering, paging"')
    assert facts["test_six_steps[amazon-s3]"]["source"].startswith("Steps 2 to 6")
    assert "six steps (5) | Steps 2 to 6" in run.stdout
    assert "NOT CONFIRMED  six steps[google-cloud-storage] | Steps 2 to 6" in run.stdout
    assert not any(secret in json.dumps(told) for secret in (token, "k" * 40))
