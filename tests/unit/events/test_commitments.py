from __future__ import annotations

import hashlib

import pytest

from ledger.events.commitments import (
    EVENT_COMMIT_PREFIX,
    PERSONAL_COMMIT_PREFIX,
    SALT_SIZE,
    commit_event,
    commit_personal,
)

_SALT = bytes(range(SALT_SIZE))


def test_commitment_is_the_hash_of_tag_salt_and_section() -> None:
    assert commit_event(_SALT, b"section") == hashlib.sha256(b"logproof/commit/v1\0\x01" + _SALT + b"section").digest()
    assert (
        commit_personal(_SALT, b"section") == hashlib.sha256(b"logproof/commit/v1\0\x02" + _SALT + b"section").digest()
    )


def test_prefixes_are_what_is_hashed_before_the_salt() -> None:
    assert commit_event(_SALT, b"x") == hashlib.sha256(EVENT_COMMIT_PREFIX + _SALT + b"x").digest()
    assert commit_personal(_SALT, b"x") == hashlib.sha256(PERSONAL_COMMIT_PREFIX + _SALT + b"x").digest()


def test_same_bytes_as_event_and_as_personal_data_have_other_commitments() -> None:
    assert commit_event(_SALT, b"x") != commit_personal(_SALT, b"x")


@pytest.mark.parametrize("salt", [b"", bytes(15), bytes(17), bytes(32)])
def test_salt_of_another_length_is_refused(salt: bytes) -> None:
    with pytest.raises(ValueError):
        commit_event(salt, b"x")
    with pytest.raises(ValueError):
        commit_personal(salt, b"x")


def test_empty_personal_section_has_no_commitment() -> None:
    with pytest.raises(ValueError):
        commit_personal(_SALT, b"")
