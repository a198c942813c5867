"""The publisher process: recomputes each log's committed head from its leaves, and tells the serving process.

Reads names of logs that grew from standard input, one to a line, and ends when that pipe closes. Writes one JSON object
a line to standard output: `{"log", "tree_size", "root_hash"}` for a published head, `{"log", "mismatch"}` where the
leaves do not lead to the committed root, `{"log", "problem"}` where the log could not be read.
"""

from __future__ import annotations

import json
import os
import select
import sys
from pathlib import Path

from ledger.engine.directory import DataDirectory, open_directory
from ledger.engine.publication import Publisher
from ledger.engine.registry import MAX_OPEN_LOGS
from ledger.errors import CorruptionError, LedgerError

_READ_BYTES = 65_536


def main() -> None:
    """Run until standard input ends; the arguments are the data directory and the map size in bytes."""
    directory = open_directory(Path(sys.argv[1]), map_size=int(sys.argv[2]))
    publishers: dict[str, Publisher] = {}
    rest = b""
    while True:
        select.select([0], [], [])
        data = os.read(0, _READ_BYTES)
        if not data:
            for publisher in publishers.values():
                publisher.close()
            return
        *lines, rest = (rest + data).split(b"\n")
        for name in dict.fromkeys(line.decode() for line in lines):
            _tell({"log": name, **_publish(directory, publishers, name)})


def _publish(directory: DataDirectory, publishers: dict[str, Publisher], name: str) -> dict[str, str | int]:
    try:
        publisher = publishers.pop(name, None)
        if publisher is None:
            while len(publishers) >= MAX_OPEN_LOGS:
                publishers.pop(next(iter(publishers))).close()
            publisher = Publisher(directory.open_store(name, read_only=True), directory.published_path(name))
        # At the end of the order in which they were used.
        publishers[name] = publisher
        head = publisher.advance()
    except CorruptionError as error:
        return {"mismatch": error.message}
    except (LedgerError, OSError) as error:
        failed = publishers.pop(name, None)
        if failed is not None:
            failed.close()
        return {"problem": str(error)}
    return {"tree_size": head.tree_size, "root_hash": head.root_hash.hex()}


def _tell(message: dict[str, str | int]) -> None:
    try:
        os.write(1, f"{json.dumps(message)}\n".encode())
    except BrokenPipeError:
        # The serving process is gone, and with it whoever would listen.
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
