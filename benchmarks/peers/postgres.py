"""PostgreSQL as a start-up would build an audit log on it: one table, each row hashed with the hash of the row before.

A temporary cluster on a unix socket, fsync on. The table has the columns and indexes that an audit log is asked for:
event id, actor, target and action with time, the event as `jsonb`. The lean one has the event as `json` (which keeps
the text that was hashed, and costs less) and, beside its primary key, the unique event id alone: what the ledger's own
log has. The chain is made in a trigger that locks one head row, which is safe with many writers, or by the one program
that writes, which is faster.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from benchmarks.workload import StoredEvent

_SETTINGS: Final = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "wal_compression": "off",
    "max_connections": "300",
    "listen_addresses": "''",
}
SETTINGS_IN_WORDS: Final = ", ".join(
    f"{name}={value}" for name, value in _SETTINGS.items() if name != "listen_addresses"
)
_HEAD: Final = """
DROP TABLE IF EXISTS audit_log, audit_head;
CREATE TABLE audit_head (one boolean PRIMARY KEY DEFAULT true, seq bigint NOT NULL, hash bytea NOT NULL);
INSERT INTO audit_head VALUES (true, 0, decode(repeat('00', 32), 'hex'));
"""
_LEAN_TABLE: Final = """
CREATE TABLE audit_log (
    seq bigint PRIMARY KEY, event_id uuid NOT NULL UNIQUE, recorded_at timestamptz NOT NULL DEFAULT now(),
    event json NOT NULL, prev_hash bytea NOT NULL, hash bytea NOT NULL);
"""
_TABLE: Final = """
CREATE TABLE audit_log (
    seq bigint PRIMARY KEY, event_id uuid NOT NULL UNIQUE, recorded_at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL, action text NOT NULL, target text NOT NULL,
    event jsonb NOT NULL, prev_hash bytea NOT NULL, hash bytea NOT NULL);
CREATE INDEX ON audit_log (actor, recorded_at);
CREATE INDEX ON audit_log (target, recorded_at);
CREATE INDEX ON audit_log (action, recorded_at);
"""
_APPEND_ONLY: Final = """
CREATE OR REPLACE FUNCTION audit_forbid() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'audit_log is append-only'; END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_forbid();
"""
_CHAIN_TRIGGER: Final = """
CREATE OR REPLACE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE head audit_head;
BEGIN
    SELECT * INTO head FROM audit_head FOR UPDATE;
    NEW.seq := head.seq + 1;
    NEW.prev_hash := head.hash;
    NEW.hash := sha256(head.hash || convert_to(NEW.event::text, 'UTF8'));
    UPDATE audit_head SET seq = NEW.seq, hash = NEW.hash;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_chain BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_chain();
"""
_LEAN_COLUMNS: Final = ("event_id", "event")
_COLUMNS: Final = (*_LEAN_COLUMNS, "actor", "action", "target")
_CHAIN_COLUMNS: Final = ("seq", "prev_hash", "hash")
_REHASH: Final = """
SELECT count(*), bool_and(hash = sha256(prev_hash || convert_to(event::text, 'UTF8')) AND prev_hash = before)
FROM (SELECT *, lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER (ORDER BY seq) AS before FROM audit_log) rows
"""


class Postgres:
    """A running cluster with one audit table, one way to append at a time."""

    def __init__(self, socket: Path) -> None:
        """Connect to the cluster behind a unix socket."""
        import psycopg

        self._psycopg: Any = psycopg
        self._socket = socket
        self._admin = self.connect()
        self.version = str(self._admin.execute("SHOW server_version").fetchone()[0])
        self._seq, self._hash = 0, bytes(32)
        self._columns: tuple[str, ...] = _COLUMNS

    def connect(self) -> Any:
        """Return a new connection, each statement its own transaction."""
        return self._psycopg.connect(host=str(self._socket), dbname="postgres", autocommit=True)

    def new_table(self, *, trigger: bool, lean: bool = False) -> None:
        """Start with an empty table, its chain made in a trigger or by the program."""
        table = _HEAD + (_LEAN_TABLE if lean else _TABLE) + _APPEND_ONLY
        self._admin.execute(table + (_CHAIN_TRIGGER if trigger else ""))
        self._seq, self._hash = 0, bytes(32)
        self._columns = _LEAN_COLUMNS if lean else _COLUMNS

    def set_option(self, name: str, value: str) -> None:
        """Change a setting of the running cluster."""
        self._admin.execute(f"ALTER SYSTEM SET {name} = {value}")
        self._admin.execute("SELECT pg_reload_conf()")

    def copy(self, connection: Any, rows: Sequence[StoredEvent]) -> None:
        """Append rows by COPY in one transaction, the chain made here; for the one program that writes."""
        statement = f"COPY audit_log ({', '.join((*self._columns, *_CHAIN_COLUMNS))}) FROM STDIN"
        with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in self._chained(rows):
                copy.write_row(row)

    def insert_many(self, connection: Any, rows: Sequence[StoredEvent]) -> None:
        """Append rows by pipelined inserts in one transaction, the chain made here."""
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(_insert((*self._columns, *_CHAIN_COLUMNS)), list(self._chained(rows)))

    def insert_one(self, connection: Any, row: StoredEvent) -> None:
        """Append one row in a transaction of its own, the chain made in the trigger."""
        connection.execute(_insert(self._columns), row[: len(self._columns)], prepare=True)

    @contextmanager
    def inserters(self, count: int, rows: Sequence[StoredEvent]) -> Iterator[list[Callable[[int], object]]]:
        """Give so many callers of `insert_one`, each with a connection of its own."""
        with ExitStack() as stack:

            def caller() -> Callable[[int], object]:
                connection = stack.enter_context(self.connect())
                return lambda number: self.insert_one(connection, rows[number])

            yield [caller() for _ in range(count)]

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()

    def rehash(self) -> int:
        """Compute every hash of the chain again, in the database; return how many rows were right."""
        count, right = self._admin.execute(_REHASH).fetchone()
        assert right, "the chain does not hold"
        return int(count)

    def bytes_on_disk(self) -> int:
        """Return the size of the table with its indexes."""
        return int(self._admin.execute("SELECT pg_total_relation_size('audit_log')").fetchone()[0])

    def _chained(self, rows: Sequence[StoredEvent]) -> Iterator[tuple[object, ...]]:
        width = len(self._columns)
        for row in rows:
            before = self._hash
            self._hash = hashlib.sha256(before + row.json.encode()).digest()
            self._seq += 1
            yield *row[:width], self._seq, before, self._hash


def _insert(columns: Sequence[str]) -> str:
    return f"INSERT INTO audit_log ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"


def why_missing() -> str:
    """Return why PostgreSQL cannot be run here; empty where it can."""
    if binaries() is None:
        return "not installed (Debian package postgresql)"
    try:
        import psycopg  # noqa: F401 - only whether it is there
    except ImportError:
        return "psycopg is not installed (pip install 'logproof[bench]')"
    return ""


def binaries() -> Path | None:
    """Return where the server's programs are."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(versions[-1]) if versions else shutil.which("initdb")
    return Path(found).parent if found else None


@contextmanager
def postgres(work: Path) -> Iterator[Postgres]:
    """Give a new cluster below a directory, run by an unprivileged user, and end and remove it."""
    programs = binaries()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=work))
    as_user: dict[str, Any] = {}
    if os.getuid() == 0:
        # PostgreSQL refuses to run as root.
        os.chown(folder, 65534, 65534)
        as_user = {"user": 65534, "group": 65534, "extra_groups": []}
        work.chmod(0o711)
    cluster = folder / "cluster"
    options = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())

    def run(*command: str | Path) -> None:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, cwd=folder, check=False, **as_user
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout[-500:]}{done.stderr[-500:]}")

    try:
        run(programs / "initdb", "-D", cluster, "--auth=trust", "--encoding=UTF8", "--no-locale", "-U", "postgres")
        options += f" -c unix_socket_directories={folder}"
        run(programs / "pg_ctl", "-D", cluster, "-o", options, "-l", folder / "server.log", "-w", "start")
        os.environ.setdefault("PGUSER", "postgres")
        try:
            with closing(Postgres(folder)) as server:
                yield server
        finally:
            with suppress(RuntimeError):
                run(programs / "pg_ctl", "-D", cluster, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
