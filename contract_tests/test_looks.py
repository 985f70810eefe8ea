"""What is taken for a credential by its looks or its name, and what is not: paths, numbers, and words that speak of secrets."""

from __future__ import annotations

import base64
import random

from emulator.masking.texts import scrubbed, without_credentials

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
