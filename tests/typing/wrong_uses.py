"""Wrong uses of the public interface; mypy must refuse each marked line with the error beside it, and nothing else."""

from __future__ import annotations

import ledger
from ledger import Event, Ledger, PersonalData, verify_receipt
from ledger.client import Receipt
from ledger.client.values import Role
from ledger.notes import parse_verifier_key


def wrong(client: Ledger, receipt: Receipt, data: bytes, key: str) -> None:
    Ledger("127.0.0.1:7650", verify=False)  # E: call-arg
    Ledger("127.0.0.1:7650", "default")  # E: call-arg
    Ledger("127.0.0.1:7650", timeout_seconds="5")  # E: arg-type
    client.append(5)  # E: arg-type
    client.append("user.created", actor=5)  # E: arg-type
    client.append("user.created", colour="red")  # E: call-arg
    client.append(event="user.created")  # E: arg-type
    client.append_batch(["user.created"])  # E: list-item
    client.append_batch([(Event("e-1", "user.created", 1), "personal")])  # E: list-item
    client.create_key("service", ["writer"])  # E: list-item
    client.create_key("service", Role.WRITER)  # E: arg-type
    receipt.leaf_index = 5  # E: misc
    index: str = receipt.leaf_index  # E: assignment
    verify_receipt(data, key)  # E: arg-type
    verify_receipt("text", parse_verifier_key(key))  # E: arg-type
    event = verify_receipt(data, parse_verifier_key(key)).event
    str(event.action)  # E: union-attr
    Event("e-1", 5)  # E: arg-type
    PersonalData(actor_mail="a@b.example")  # E: call-arg
    str(ledger.Leger)  # E: attr-defined
    del index
