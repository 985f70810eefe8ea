"""What is taken for a credential by its looks or its name, and what is not: paths, numbers, and words that speak of secrets."""

from __future__ import annotations

import base64
import random
from urllib.parse import quote, unquote

import pytest

from contract_tests.support import Api
from contract_tests.tutorial import S3
from flow_service_emulator.catalog import load_catalog
from flow_service_emulator.masking.names import SecretNames
from flow_service_emulator.masking.texts import scrubbed, without_credentials
from flow_service_emulator.validation.validation import MASK

WORDS = (
    *(
        "Exports",
        "B2B",
        "Q3",
        "2026",
        "Orders",
        "EMEA",
        "DACH",
        "Daily",
        "Customers",
        "raw",
        "Year2024",
        "Month05",
        "DE",
    ),
    *(
        "US",
        "v2",
        "finance",
        "HR",
        "team-a",
        "daily_full",
        "CRM",
        "07",
        "B2C",
        "APAC",
        "KPI",
        "S3",
        "Prod",
        "iOS",
        "P2",
    ),
)


def test_paths_of_business_words_are_no_keys() -> None:
    rng = random.Random(5)
    for start in ("s3://acme/", "", "to "):
        for _ in range(3_000):
            path = start + "/".join(rng.choice(WORDS) for _ in range(rng.randint(4, 12)))
            for text in (path, f"{path}/part-000.json", f"{path} holds the files"):
                assert without_credentials(text, random=True) == text
                assert scrubbed(text, []) == text


def test_random_keys_are_found() -> None:
    """Nearly all: of 40 random characters a few in a thousand look like a path."""
    rng = random.Random(5)
    keys = [base64.b64encode(rng.randbytes(30)).decode() for _ in range(5_000)]
    for form in ("{}", "the key {} of the bucket", '"{}"', "key={}, region=eu"):
        texts = [form.format(key) for key in keys]
        found = [text for text in texts if without_credentials(text, random=True) != text]
        assert len(found) > 0.99 * len(texts), form
    for form in ("/{}", "/data/foundation/flowservice/flows/{}", "/auth/params/{}/x"):  # they may be a step of a path
        texts = [form.format(key) for key in keys]
        assert sum(scrubbed(text, []) != text for text in texts) > 0.99 * len(texts), form


@pytest.fixture(scope="module")
def names() -> SecretNames:
    return SecretNames(load_catalog())


SECRET_NAMES = (
    *(
        "secretKey",
        "clientSecret",
        "client_secret",
        "accessToken",
        "access-token",
        "sasUri",
        "sas",
        "SASToken",
        "sas_key",
    ),
    *("password", "Password", "myPassword", "passwordupdate", "passwd", "passphrase", "pwd", "sharedAccessSignature"),
    *("privateKey", "private_key", "sshKey", "credentials", "connectionString", "API-Key", "x-api-key", "accountKey"),
    *("Authorization", "cookie", "jwt", "jwtAssertion", "signingJwt", "bearer", "bearerToken", "s3SecretKey", "token2"),
    *("secret", "secrets", "oldSecret", "PASSWORD", "hmacSignature", "refreshToken", "tokenId", "clientId"),
)
HARMLESS_NAMES = (
    *(
        "tokenCount",
        "token_count",
        "TOKEN_COUNT",
        "signatureDate",
        "cookiePolicy",
        "secretName",
        "secretary",
        "tokenType",
    ),
    *("saskatchewan", "Saskatoon", "bearerCount", "compassWidth", "bypassWarnings", "passwordPolicy", "token-expiry"),
    *("passwordLength", "signatureRequired", "jwtIssuer", "credentialTypes", "tokenVersion2", "continuationToken"),
)


def test_names_that_tell_something_about_a_secret_are_harmless(names: SecretNames) -> None:
    assert [name for name in SECRET_NAMES if not names.is_secret(name)] == []
    assert [name for name in HARMLESS_NAMES if names.is_secret(name)] == []


def test_a_name_that_is_very_long_takes_little_time(names: SecretNames) -> None:
    """With work that grows with the square, this would take hours."""
    for part in ("secret", "Count", "TOKEN", "secret_1", "passw"):
        for end in ("!", "Count", "count"):
            names.is_secret("token" + part * 200_000 + end)


def test_what_is_about_secrets_is_stored_as_it_came(api: Api) -> None:
    """Numbers stay numbers, whatever they are called, but for the fields that a spec calls passwords."""
    harmless = {
        "attributes": {"tokenCount": 5, "signatureDate": "2026-01-01", "cookiePolicy": "strict", "secretName": "x"},
        "maxTokens": 4096,
        "tokens": [1, 2.5, [3], None, True],
        "secret": False,
        "saskatchewan": "a province",
        "bearerCount": 3,
        "secretary": "Mary",
        "compassWidth": "5 cm",
    }
    secret = {"tokensUsed": ["one", 2], "password": 12345678, "auth_token": "x", "my": [{"credentials": {"a": 1}}]}
    stored = api.item(f"/connections/{api.created('connections', {**S3.base_connection(), **harmless, **secret})}")
    assert {name: stored[name] for name in harmless} == harmless
    assert {name: stored[name] for name in secret} == {
        **dict.fromkeys(secret, MASK),
        "my": [{"credentials": MASK}],
    }


def test_a_secret_deep_in_a_long_body_is_not_quoted(api: Api) -> None:
    """Beyond the texts of a long body that are searched for secrets; what a refusal quotes is searched in any case."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.c2lnbmF0dXJl"
    key = "wZ3rXUtnFEMI/K7MDENG+bPxRfiCYq9LmP2sT8vB"
    account_key = base64.b64encode(random.Random(1).randbytes(64)).decode()
    for secret in (token, key, account_key):
        for long in (["x" * 60] * 1_200, []):
            body = {"name": "x", "pad": long, "connectionSpec": {"id": secret, "version": "1.0"}}
            answer = api.post("/connections", body)
            assert answer.status_code == 400
            assert MASK in answer.text
            assert secret[21:37] not in answer.text
            assert secret[21:37] not in str(api.control("GET", "/requests")["items"][-1])


def test_a_secret_among_very_many_names_of_a_long_body_is_in_no_warning(api: Api) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.c2lnbmF0dXJl"
    body = {f"x{number:05d}": "y" * 50 for number in range(1_200)} | {token: 1}
    api.created("connections", {**S3.base_connection(), **body})
    (entry,) = api.control("GET", "/requests")["items"]
    assert f"{MASK} is not documented for connections" in str(entry["findings"])
    assert token[21:37] not in str([entry, api.control("GET", "/contract")])


def test_a_refusal_shows_the_examples_of_the_specs(api: Api) -> None:
    auth = {"specName": "Access Key", "params": {"s3SecretKey": 5}}
    answer = api.post("/connections", {**S3.base_connection(), "auth": auth})
    assert answer.status_code == 400
    assert "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" in answer.text


@pytest.mark.parametrize("operand", ["Access Key", '"SFTP with Password"'])
def test_the_kind_of_credentials_in_a_filter_is_shown(api: Api, operand: str) -> None:
    assert api.get(f"/connections?property=auth.specName=={quote(operand)}").status_code == 200
    assert operand in unquote(api.control("GET", "/requests")["items"][-1]["query"])


@pytest.mark.parametrize(
    "query", ["auth.specName==Zq7hunter2-x", "auth.params.password==Access Key", "auth==Access Key"]
)
def test_whatever_else_stands_in_auth_is_no_part_of_a_shown_filter(api: Api, query: str) -> None:
    api.get(f"/connections?property={quote(query)}")
    shown = api.control("GET", "/requests")["items"][-1]["query"]
    assert shown == f"property={query.partition('==')[0]}=={MASK}"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        *((name, name) for name in ("Basic Authentication", "OAuth", "SAS Token", "access key")),
        *(
            (name, MASK)
            for name in ("hunter2", "Zq7k monkey", "correct horse battery staple and very many more", "qWeRtYuIoP")
        ),
    ],
)
def test_a_kind_of_credentials_that_does_not_exist_is_named(api: Api, name: str, shown: str) -> None:
    connection = S3.base_connection()
    auth = {**connection["auth"], "specName": name}
    answer = api.post("/connections", {**connection, "auth": auth})
    assert answer.status_code == 400
    assert answer.json()["errorMessage"].startswith(f"The auth spec '{shown}' could not be found")
    assert answer.json()["report"]["value"] == shown
    assert api.control("GET", "/requests")["items"][-1]["request"]["body"]["auth"]["specName"] == shown


@pytest.mark.parametrize(
    "etag", ["my-old-version-etag", "v2", "stale", "Version_3.1", "W/abc", '"a b"', "4f00ba58-0200"]
)
def test_an_etag_is_no_secret(api: Api, etag: str) -> None:
    path = f"/connections/{api.created('connections', S3.base_connection())}"
    answer = api.patch(path, etag, [{"op": "replace", "path": "/name", "value": "n"}])
    assert answer.status_code == 412
    assert answer.json()["errorMessage"].startswith(f"The supplied version '{etag}'")
    assert api.control("GET", "/requests")["items"][-1]["request"]["headers"]["if-match"] == etag


@pytest.mark.parametrize(
    "value", ["Zq7a8Kk2LmQ9xYz", "hunter2 and more words", "Bearer abcdef123", "aB3-xY9kQ2-Zr5Tt", "ghost-" * 5_000]
)
def test_what_is_sent_for_an_etag_and_is_none_may_be_a_secret(api: Api, value: str) -> None:
    path = f"/connections/{api.created('connections', S3.base_connection())}"
    answer = api.patch(path, value, [{"op": "replace", "path": "/name", "value": "n"}])
    assert value not in answer.text
    assert value not in str(api.control("GET", "/requests")["items"][-1])
