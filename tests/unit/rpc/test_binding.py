from __future__ import annotations

from typing import cast

import pytest

from ledger.errors import InvalidRequestError, MalformedError
from ledger.rpc.authentication import Authenticator
from ledger.rpc.binding import Binder, parse_request
from ledger.rpc.ledger_service import LEDGER_SERVICE
from ledger.rpc.parts import Parts
from ledger.v1 import ledger_pb2


def test_a_request_is_read() -> None:
    request = ledger_pb2.GetEntryRequest(log="default", leaf_index=7)

    assert parse_request(ledger_pb2.GetEntryRequest, request.SerializeToString()) == request


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe"], ids=["tag", "cut", "not UTF-8"])
def test_bytes_that_are_no_request_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"ledger\.v1\.GetEntryRequest"):
        parse_request(ledger_pb2.GetEntryRequest, data)


@pytest.mark.parametrize("data", [b"\xa0\x06\x01", b"\x12\x04\xa2\x06\x01x"], ids=["outer", "inner"])
def test_a_field_that_the_server_does_not_know_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="does not know"):
        parse_request(ledger_pb2.AppendRequest, data)


def test_a_request_in_another_encoding_of_the_same_fields_is_read() -> None:
    unpacked = b"\x10\x05\x10\x06"

    assert list(parse_request(ledger_pb2.BatchGetEntriesRequest, unpacked).leaf_indexes) == [5, 6]


def _binder() -> Binder:
    # Its parts are used by calls alone.
    return Binder(cast("Parts", None), cast("Authenticator", None))


def test_a_service_is_not_served_without_a_behaviour_for_each_method() -> None:
    behaviours = {method.name: list for method in LEDGER_SERVICE.methods}
    del behaviours["VerifyEntry"]

    with pytest.raises(ValueError, match="VerifyEntry"):
        _binder().service(LEDGER_SERVICE, behaviours)


def test_a_behaviour_without_a_method_is_refused() -> None:
    behaviours = {method.name: list for method in LEDGER_SERVICE.methods}

    with pytest.raises(ValueError, match="Forgotten"):
        _binder().service(LEDGER_SERVICE, behaviours | {"Forgotten": list})
