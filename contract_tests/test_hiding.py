"""Known secrets are hidden where they are repeated: all of each that could be read, and nothing near it; at a bounded cost.

No test here measures time: the sizes are such that work which grows with the square would take hours.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from contract_tests.support import Api
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.masking.hiding import CUT, HEAD, MAX_PLACES, MIN_TELLING, hide
from flow_service_emulator.validation.validation import MASK

few_letters = st.text("aB1.", min_size=5, max_size=60)
periodic = st.builds(
    lambda part, times: (part * times)[:60], st.text("aB1.", min_size=1, max_size=4), st.integers(5, 60)
)
repetitive = few_letters | periodic


def masked_by_hand(text: str, secrets: list[str]) -> str:
    """Character by character: whatever belongs to a secret, or to its beginning where that is cut short."""
    gone = [False] * len(text)
    spans: set[tuple[int, int]] = set()
    for secret in secrets:
        for start in range(len(text)):
            size = 0
            while size < len(secret) and text[start + size : start + size + 1] == secret[size]:
                size += 1
            end = start + size
            whole = size == len(secret)
            within_word = text[max(0, start - 1) : start].isalnum() or text[end : end + 1].isalnum()
            cut = size >= HEAD and (end == len(text) or CUT.match(text[end]) is not None)
            if (whole and not (size < MIN_TELLING and within_word)) or (cut and not whole):
                gone[start:end] = [True] * size
                spans.add((start, end))
    shown = ""
    for index, char in enumerate(text):
        begins = any(start == index for start, _ in spans)
        within = any(start < index < end for start, end in spans)
        shown += (MASK if begins and not within else "") + ("" if gone[index] else char)
    return shown


@given(
    secrets=st.lists(repetitive, min_size=1, max_size=3), parts=st.lists(repetitive, max_size=3), cut=st.integers(5, 60)
)
@example(secrets=["ab1" * 20], parts=["ab1" * 40], cut=5)
def test_nothing_of_a_secret_that_repeats_itself_is_left(secrets: list[str], parts: list[str], cut: int) -> None:
    assume(not any(re.fullmatch("[A-Za-z]?[a-z]*", secret) for secret in secrets))
    text = "".join([*parts, secrets[0][:cut], *parts, secrets[-1]])
    assert hide(text, secrets) == masked_by_hand(text, secrets)
    assert hide({"a": [text, 1, None], "b": parts}, secrets) == {
        "a": [masked_by_hand(text, secrets), 1, None],
        "b": [masked_by_hand(part, secrets) for part in parts],
    }


def test_texts_in_which_a_secret_may_begin_at_very_many_places_are_masked_whole() -> None:
    secret = "A" * 300_000 + "B"
    hidden = hide({"long": "A" * 900_000, "number": 5, "other": "another text", "no": ""}, [secret])
    assert hidden == {"long": MASK, "number": 5, "other": MASK, "no": ""}
    alike = [f"{'A' * HEAD}{number}" for number in range(MAX_PLACES // 10)]
    assert hide(["A" * 3_000_000, secret], alike) == [MASK, MASK]
    assert hide(" ".join(alike[:30]), alike[:30]) == " ".join([MASK] * 30)


class Watched(str):
    """A text that counts how often something is looked for in it, and in all others."""

    __slots__ = ()
    looks: ClassVar[list[str]] = []

    def __contains__(self, key: Any) -> bool:
        self.looks.append(key)
        return super().__contains__(key)

    def startswith(self, *args: Any) -> bool:
        self.looks.append(args[0])
        return super().startswith(*args)


def test_many_secrets_and_many_texts_are_not_compared_one_by_one() -> None:
    """A million pairs."""
    secrets = [f"{number:05d}-secret-{number}" for number in range(1_000)]
    texts = [Watched(f"t{number}") for number in range(1_000)]
    Watched.looks.clear()
    assert hide([*texts, Watched(secrets[0])], secrets) == [*texts, MASK]
    assert Watched.looks == [secrets[0]]


def test_a_request_that_repeats_what_a_secret_begins_with_is_answered(api: Api) -> None:
    """The answer and the journal; compared character by character from each place on, it would take minutes."""
    sent = {"z": "A" * 40_000, "password": "A" * 20_000 + "B"}
    for body, status in ((sent, 400), ({**S3.base_connection(), **sent}, 201)):
        assert api.http.post(f"{BASE}/connections", json=body, timeout=60).status_code == status
    entries = api.control("GET", "/requests")["items"]
    assert [entry["status"] for entry in entries] == [400, 201]
    assert "A" * HEAD not in str([entry["request"] for entry in entries])


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("export", "Nightly exports", "Nightly exports"),
        ("export", "the export of orders", "the export of orders"),
        ("hunter2", "hunter22, xhunter2", "hunter22, xhunter2"),
        ("hunter2", "it is hunter2, or 'hunter2'", f"it is {MASK}, or '{MASK}'"),
        ("s3cr3t-x", "itiss3cr3t-xindeed", f"itis{MASK}indeed"),
        ("twelveletter", "my twelveletter word", "my twelveletter word"),
        ("exactlysixteenab", "myexactlysixteenabword", f"my{MASK}word"),
    ],
)
def test_what_looks_like_any_word_is_data(secret: str, text: str, shown: str) -> None:
    """README: a password that looks like any word is data. One that is short, but no word, is found as a word of its own."""
    assert hide(text, [secret]) == shown


def test_the_journal_shows_texts_that_have_a_password_within_a_word(api: Api) -> None:
    params = {"domain": "host.example", "username": "user", "password": "export"}
    body = {**S3.base_connection(), "auth": {"specName": "SFTP with Password", "params": params}}
    api.post("/connections", {**body, "description": "Nightly exports"})
    journalled = api.control("GET", "/requests")["items"][-1]["request"]["body"]
    assert journalled["description"] == "Nightly exports"
    assert journalled["auth"]["params"]["password"] == MASK
