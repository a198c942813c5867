from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from ledger.auth.roles import Permission
from ledger.rpc.admin_service import ADMIN_SERVICE
from ledger.rpc.ledger_service import LEDGER_SERVICE
from ledger.rpc.query_service import QUERY_SERVICE
from ledger.rpc.rules import RULES, check_rules, method_names
from ledger.server.health import HEALTH_SERVICE
from ledger.server.reflection import REFLECTION_SERVICE
from ledger.v1 import ledger_pb2


def test_every_method_of_every_service_has_a_rule() -> None:
    check_rules([LEDGER_SERVICE, QUERY_SERVICE, ADMIN_SERVICE, HEALTH_SERVICE])


def test_a_method_without_a_rule_is_refused_at_start() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="more.proto", package="more", syntax="proto3")
    file.message_type.add(name="Nothing")
    service = file.service.add(name="More")
    service.method.add(name="Forgotten", input_type=".more.Nothing", output_type=".more.Nothing")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    with pytest.raises(ValueError, match=r"more\.More/Forgotten"):
        check_rules([LEDGER_SERVICE, pool.FindServiceByName("more.More")])


def test_only_health_and_reflection_are_open() -> None:
    is_open = {name for name, rule in RULES.items() if rule.is_open}
    # Older versions of the health service have fewer methods.
    assert is_open >= {*method_names(HEALTH_SERVICE)}
    assert {name.partition("/")[0] for name in is_open} == {HEALTH_SERVICE.full_name, REFLECTION_SERVICE.full_name}


def test_only_an_append_which_the_engine_checks_again_is_light() -> None:
    assert [name for name, rule in RULES.items() if rule.is_light] == ["ledger.v1.LedgerService/Append"]


def test_a_view_needs_more_than_a_leaf_where_it_shows_more() -> None:
    rule = RULES["ledger.v1.LedgerService/GetEntry"]

    needed = [rule.permission_of(ledger_pb2.GetEntryRequest(view=view)) for view in ledger_pb2.EntryView.values()]

    assert needed == [
        Permission.READ_LEAVES,
        Permission.READ_LEAVES,
        Permission.READ_EVENTS,
        Permission.READ_PERSONAL,
    ]


def test_an_unknown_view_needs_the_most() -> None:
    request = ledger_pb2.GetEntryRequest()
    request.MergeFromString(b"\x28\x63")

    assert RULES["ledger.v1.LedgerService/GetEntry"].permission_of(request) is Permission.READ_PERSONAL
