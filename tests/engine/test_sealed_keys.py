"""Signing keys in a backup: what was sealed is what opens, and nothing else does."""

from __future__ import annotations

import base64
import json
from functools import cache

import pytest

from ledger.engine.sealed_keys import open_keys, seal_keys
from ledger.errors import CorruptionError, InvalidRequestError, StorageFormatError

PASSPHRASE = "correct horse battery staple"
PREFIX = "logs.example/test"
KEYS = {"_system": "PRIVATE+KEY+a", "default": "PRIVATE+KEY+b"}
# Made with another implementation of both standards, the crypto module of Node 20.
VECTOR = """{
 "format": 1,
 "salt": "000102030405060708090a0b0c0d0e0f",
 "nonce": "000102030405060708090a0b",
 "sealed": "JOKx0hIu07PtEZ0aBjiv95kwc3tNps0bI3l4+CVXRjm36sRLql1bZ8ATdCMwteun2EmId590KUUkJwFAKzM+FcVxBio02Vas"
}"""


@cache
def _sealed() -> bytes:
    return seal_keys(KEYS, PASSPHRASE, PREFIX, lambda size: bytes(range(size)))


def test_what_was_sealed_opens_with_its_passphrase() -> None:
    assert open_keys(_sealed(), PASSPHRASE, PREFIX) == KEYS


def test_format_1_is_that_of_its_vector() -> None:
    assert json.loads(_sealed()) == json.loads(VECTOR)


@pytest.mark.parametrize(
    ("passphrase", "prefix"),
    [("correct horse battery stapl", PREFIX), (PASSPHRASE, "logs.example/other"), ("", PREFIX)],
)
def test_another_passphrase_or_server_opens_nothing(passphrase: str, prefix: str) -> None:
    with pytest.raises(InvalidRequestError, match="does not open"):
        open_keys(_sealed(), passphrase, prefix)


@pytest.mark.parametrize("name", ["salt", "nonce", "sealed"])
def test_a_changed_file_opens_nothing(name: str) -> None:
    fields = json.loads(_sealed())
    if name == "sealed":
        changed = bytearray(base64.b64decode(fields[name]))
        changed[3] ^= 1
        fields[name] = base64.b64encode(changed).decode()
    else:
        fields[name] = "ff" + fields[name][2:]
    with pytest.raises(InvalidRequestError, match="that file was changed"):
        open_keys(json.dumps(fields).encode(), PASSPHRASE, PREFIX)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format": 1}',
        b'{"format": 1, "salt": "00", "nonce": "00", "sealed": ""}',
        b'{"format": 1, "salt": "x", "nonce": "00", "sealed": ""}',
        b"\xff",
    ],
)
def test_a_file_without_the_form_is_told(data: bytes) -> None:
    with pytest.raises(CorruptionError, match="does not have its form"):
        open_keys(data, PASSPHRASE, PREFIX)


def test_a_newer_format_is_told() -> None:
    with pytest.raises(StorageFormatError, match="has format 2"):
        open_keys(b'{"format": 2}', PASSPHRASE, PREFIX)
