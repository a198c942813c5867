"""Edits of an LMDB store behind the engine's back, for tests of what is detected.

Written against the stored bytes, not against `ledger.storage`: the docstring of `ledger/storage/layout.py` lists the
tables. Each edit is a transaction of a process of its own, so the store may be open meanwhile, here or elsewhere, as
long as no write transaction is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb


def index_key(index: int) -> bytes:
    """Return the key of a leaf index in `leaves`, `event_sections` and `personal_sections`."""
    return index.to_bytes(8, "big")


def hash_location(position: int) -> tuple[bytes, int]:
    """Return the key in `hashes` of a stored hash, and the offset of its 32 bytes in that row's value."""
    return (position // 63).to_bytes(8, "big"), position % 63 * 32


def get_row(store: Path, table: str, key: bytes) -> bytes | None:
    """Return a row's value, or None."""
    answer = _run(store, table, "get", key)
    return None if answer is None else bytes.fromhex(answer)


def row_keys(store: Path, table: str) -> list[bytes]:
    """Return the keys of a table in order."""
    answer = _run(store, table, "keys", b"")
    assert answer is not None
    return [bytes.fromhex(key) for key in answer.split()]


def set_row(store: Path, table: str, key: bytes, value: bytes) -> None:
    """Set a row, new or not."""
    _run(store, table, "set", key, value)


def delete_row(store: Path, table: str, key: bytes) -> None:
    """Delete a row, which must exist."""
    assert _run(store, table, "delete", key) == "deleted", f"{table} has no row {key!r}"


def flip_byte(store: Path, table: str, key: bytes, offset: int, mask: int = 0x01) -> None:
    """Change the bits of `mask` in one byte of a row's value; a negative offset counts from the end."""
    value = get_row(store, table, key)
    assert value is not None, f"{table} has no row {key!r}"
    changed = bytearray(value)
    changed[offset] ^= mask
    set_row(store, table, key, bytes(changed))


def flip_hash(store: Path, position: int) -> None:
    """Change one bit of the stored hash at this position."""
    key, offset = hash_location(position)
    flip_byte(store, "hashes", key, offset)


def _run(store: Path, table: str, action: str, key: bytes, value: bytes = b"") -> str | None:
    order = json.dumps({"store": str(store), "table": table, "action": action, "key": key.hex(), "value": value.hex()})
    done = subprocess.run([sys.executable, __file__], input=order, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer is None or isinstance(answer, str)
    return answer


def _edit(order: dict[str, str]) -> str | None:
    environment = lmdb.open(order["store"], max_dbs=16, map_size=0, create=False)  # 0 keeps the size
    table = environment.open_db(order["table"].encode(), create=False)
    key, value = bytes.fromhex(order["key"]), bytes.fromhex(order["value"])

    def get(transaction: lmdb.Transaction[bytes]) -> str | None:
        found = transaction.get(key)
        return None if found is None else found.hex()

    def keys(transaction: lmdb.Transaction[bytes]) -> str:
        return " ".join(found.hex() for found in transaction.cursor().iternext(values=False))

    def set_(transaction: lmdb.Transaction[bytes]) -> str:
        transaction.put(key, value)
        return "set"

    def delete(transaction: lmdb.Transaction[bytes]) -> str | None:
        return "deleted" if transaction.delete(key) else None

    actions: dict[str, Callable[[lmdb.Transaction[bytes]], str | None]] = {
        "get": get,
        "keys": keys,
        "set": set_,
        "delete": delete,
    }
    with environment.begin(db=table, write=order["action"] in {"set", "delete"}) as transaction:
        return actions[order["action"]](transaction)


if __name__ == "__main__":
    json.dump(_edit(json.load(sys.stdin)), sys.stdout)
