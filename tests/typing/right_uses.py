"""The public interface as others use it; every line must type-check under mypy's strict mode, and none is ever run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ledger import (
    Event,
    Ledger,
    LedgerError,
    PersonalData,
    TrustedLog,
    VerificationError,
    verify_receipt,
)
from ledger.client import Options, Receipt
from ledger.client.values import Entry, EntryView, Role
from ledger.errors import BatchError, EventIdReusedError, ForkError, InvalidEventError, OverloadedError
from ledger.events.event import Actor, Target
from ledger.notes import Ed25519Verifier, parse_verifier_key


def append(api_key: str, key: str) -> Path:
    with Ledger("127.0.0.1:7650", log="default", api_key=api_key, verifier_key=key, timeout_seconds=5.0) as ledger:
        receipt: Receipt = ledger.append(
            "user.role.updated", actor="user:user_123", target="user:user_456", changes={"role": ("member", "admin")}
        )
        ledger.append(event=Event("e-1", "user.created", 1), personal=PersonalData(actor_email="a@b.example"))
        ledger.append(event={"action": "user.created", "metadata": {"pages": 3}})
        ledger.append("user.created", actor=Actor(id="user_1"), targets=[Target("user", "user_2"), "user:user_3"])
        receipts: list[Receipt] = ledger.append_batch([Event("e-2", "user.created", 1), {"action": "user.created"}])
        index: int = receipts[0].leaf_index
        entry: Entry = ledger.get(index, view=EntryView.FULL)
        entries: Iterator[Entry] = ledger.read_entries(0, follow=True)
        secret: str = ledger.create_key("service", [Role.WRITER]).secret
        del entry, entries, secret
    path = Path("role-change.tlog-proof")
    receipt.save(path, include_personal=True)
    return path


def check(receipt: bytes, key: str, note: bytes, proof: list[bytes]) -> Event | None:
    verifier = parse_verifier_key(key)
    assert isinstance(verifier, Ed25519Verifier)
    TrustedLog(verifier).accept(note, proof)
    return verify_receipt(receipt, verifier).event


def handle(ledger: Ledger) -> dict[str, str]:
    try:
        ledger.append("user.created")
    except InvalidEventError as error:
        return {violation.field: violation.description for violation in error.violations}
    except BatchError as error:
        return {str(problem.position): problem.error.message for problem in error.problems}
    except ForkError as error:
        return {"fork": error.message}
    except (EventIdReusedError, OverloadedError, VerificationError) as error:
        return {error.reason: error.hint, **error.metadata}
    except LedgerError as error:
        return {error.reason: error.message}
    return {}


def settings(environment: dict[str, str]) -> Ledger:
    options = Options("127.0.0.1:7650", tls_ca=Path("ca.pem"), service="billing")
    return Ledger.from_options(options) if environment else Ledger.from_env(environment)
