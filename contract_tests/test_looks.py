"""What is taken for a credential by its looks or its name, and what is not: paths, numbers, and words that speak of secrets."""

from __future__ import annotations

import base64
import random

import pytest

from contract_tests.support import Api
from contract_tests.tutorial import S3
from emulator.catalog import load_catalog
from emulator.masking.names import SecretNames
from emulator.masking.texts import scrubbed, without_credentials
from emulator.validation.validation import MASK

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
