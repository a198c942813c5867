"""What becomes of a store whose file was damaged: in a process of its own, which the damage may kill.

Reads one JSON object a line from standard input: `{"number", "kind", "seed"}`. For each it makes a fresh copy of a good
store, damages the copy, scrubs it, and then opens it as a server does and appends an event. Writes one JSON object a
line: what the scrubber found, whether every row is still what it was, and the head that was signed, if any.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb

from ledger.clock import ManualClock, SystemClock
from ledger.engine.log import Log, LogParts
from ledger.engine.records import Credential
from ledger.engine.requests import AppendRequest
from ledger.engine.scrub import Scrubber
from ledger.errors import LedgerError
from ledger.notes.checkpoint import open_checkpoint
from ledger.notes.keys import format_verifier_key, parse_signer_key
from ledger.storage import layout
from ledger.storage.guard import HighWaterGuard
from ledger.storage.lmdb import LmdbStore
from tests.support.engine_lab import RepeatableRandom, make_entry

PAGE = 4096
MAP_SIZE = 64 * 1024**2


def _flip(data: bytearray, _old: bytes, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _zero_page(data: bytearray, _old: bytes, chance: random.Random) -> None:
    page = chance.randrange(len(data) // PAGE) * PAGE
    data[page : page + PAGE] = bytes(PAGE)


def _swap_pages(data: bytearray, _old: bytes, chance: random.Random) -> None:
    one, two = (page * PAGE for page in chance.sample(range(len(data) // PAGE), 2))
    data[one : one + PAGE], data[two : two + PAGE] = data[two : two + PAGE], data[one : one + PAGE]


def _old_page(data: bytearray, old: bytes, chance: random.Random) -> None:
    page = chance.randrange(min(len(data), len(old)) // PAGE) * PAGE
    data[page : page + PAGE] = old[page : page + PAGE]


KINDS: dict[str, Callable[[bytearray, bytes, random.Random], None]] = {
    "flipped bit": _flip,
    "zeroed page": _zero_page,
    "swapped pages": _swap_pages,
    "old page": _old_page,
}


def rows(store: Path) -> dict[str, list[tuple[str, str]]]:
    """Return every row of every table, read without our own code."""
    with (
        lmdb.open(str(store), max_dbs=16, map_size=MAP_SIZE, readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        found = {}
        for name in layout.TABLES:
            table = environment.open_db(name.encode(), txn=transaction, create=False)
            found[name] = [(key.hex(), value.hex()) for key, value in transaction.cursor(table)]
    return found


def _scrub(store: Path) -> str:
    try:
        opened = LmdbStore.open(store, map_size=MAP_SIZE, read_only=True)
    except LedgerError as error:
        return str(error)
    try:
        scrubber = Scrubber(opened, ManualClock(), None)
        while not (scrubber.state.passed_at or scrubber.state.finding):
            scrubber.step()
    except LedgerError as error:
        return str(error)
    finally:
        opened.close()
    return scrubber.state.finding


def _append(folder: Path) -> dict[str, str | int]:
    """Open the log as a server does and append; return what was signed."""
    signer = parse_signer_key((folder / "log.key").read_text().strip())
    credential = Credential.decode(bytes.fromhex((folder / "credential").read_text()))
    log = Log(
        LogParts(
            name="default",
            verifier_key=format_verifier_key(signer.verifier),
            open_store=lambda: LmdbStore.open(folder / "store", map_size=MAP_SIZE),
            open_guard=lambda: HighWaterGuard.open(folder / "guard", signer.name),
            clock=SystemClock(),
            random=RepeatableRandom(),
            signer=signer,
        )
    )
    try:
        request = AppendRequest(credential.key_id, credential.principal, [make_entry(1_000_000)])
        result = log.submit(request).result(30)
    finally:
        log.close()
    checkpoint = open_checkpoint(result.head.note, signer.verifier).checkpoint
    leaf = result.entries[0].leaf
    return {"tree_size": checkpoint.tree_size, "root_hash": checkpoint.root_hash.hex(), "leaf": leaf.hex()}


def _try(folder: Path, order: dict[str, str | int]) -> dict[str, object]:
    store = folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    data = bytearray((folder / "good.mdb").read_bytes())
    KINDS[str(order["kind"])](data, (folder / "old.mdb").read_bytes(), random.Random(order["seed"]))
    (store / "data.mdb").write_bytes(data)
    shutil.copy(folder / "good.guard", folder / "guard")
    answer: dict[str, object] = {"number": order["number"], "finding": _scrub(store), "signed": None}
    if not answer["finding"]:
        answer["is_same"] = rows(store) == json.loads((folder / "rows.json").read_text(), object_hook=_as_rows)
    try:
        answer["signed"] = _append(folder)
    except LedgerError as error:
        answer["refused"] = str(error)
    return answer


def _as_rows(fields: dict[str, list[list[str]]]) -> dict[str, list[tuple[str, str]]]:
    return {name: [(key, value) for key, value in table] for name, table in fields.items()}


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_try(Path(sys.argv[1]), json.loads(line))) + "\n")
        sys.stdout.flush()
