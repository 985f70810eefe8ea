"""What a finding says, so that nobody has to look elsewhere: what was sent, what is allowed, and all that is wrong with a request."""

from __future__ import annotations

from copy import deepcopy

import pytest

from contract_tests.support import Api, assert_error
from contract_tests.test_contract import CONFIGS, GOOD_CONFIGS, met, report
from contract_tests.tutorial import S3

# --- a spec's version -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (1.0, 'connectionSpec.version was the number 1.0; the text "1.0" is needed'),
        (1, 'connectionSpec.version was the number 1; the text "1.0" is needed'),
        (True, 'connectionSpec.version was true; the text "1.0" is needed'),
        ("2.0", 'connectionSpec.version was "2.0"'),
    ],
)
def test_a_version_is_told_as_it_was_sent(api: Api, version: object, told: str) -> None:
    """1.0 and "1.0" look different in the answer and in the finding."""
    body = {**S3.base_connection(), "connectionSpec": {"id": S3.spec, "version": version}}
    answer = assert_error(api.post("/connections", body), "spec-id-invalid")
    assert answer["value"] == version and type(answer["value"]) is type(version)
    (finding,) = met(api)["spec-id-invalid"]["findings"]
    assert finding["message"].endswith(told)
    assert '"1.0"' in met(api)["spec-id-invalid"]["mend"]


def test_a_long_number_as_version_stays_a_text(api: Api) -> None:
    """Only texts are searched for secrets, and one may have been sent as a number in the wrong place."""
    body = deepcopy(S3.base_connection())
    body["auth"]["params"]["s3SecretKey"] = 1234567890123
    body["connectionSpec"] = {"id": S3.spec, "version": 1234567890123}
    answer = api.post("/connections", body)
    assert "1234567890123" not in answer.text and "1234567890123" not in str(report(api))


# --- what is allowed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (CONFIGS, "activationDatasets"),
        (f"{CONFIGS}?outputType=activationDatasets", "datasets"),
        (f"{GOOD_CONFIGS}&limit=1000", "a whole number from 1 to 100"),
        (f"{GOOD_CONFIGS}&start=-1", "a whole number from 0 on"),
        ("/flows?limit=0", "a whole number from 1 to 100"),
        ("/flows?limit=5&limit=6", "one value"),
        ("/flows?count=perhaps", "true, false"),
        ("/flows?property=createdAt==soon", "a number"),
        ("/flows?continuationToken=x", "the token of a next page, as it was answered"),
    ],
)
def test_a_refused_value_is_told_with_what_is_allowed(api: Api, path: str, allowed: str) -> None:
    response = api.get(path)
    assert_error(response, "value-invalid")
    (finding,) = met(api)["value-invalid"]["findings"]
    assert finding["message"] == f"{response.json()['errorMessage']} Allowed: {allowed}"
