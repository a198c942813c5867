"""A data directory with its logs open, as the server has them, without the server."""

from __future__ import annotations

from pathlib import Path

from ledger.auth.roles import Role
from ledger.clock import Clock, SystemClock
from ledger.engine.access import Access, Caller
from ledger.engine.administration import SERVER, Administration
from ledger.engine.directory import ADMIN_KEY, DataDirectory, create_directory, open_directory
from ledger.engine.log import Log
from ledger.engine.registry import LogRegistry
from ledger.engine.requests import AppendRequest, AppendResult, NewEntry
from tests.support.engine_lab import RepeatableRandom

MAP_SIZE = 64 * 1024**2
ORIGIN_PREFIX = "logs.example/test"


class EngineServer:
    """Registry, administration and access over one data directory."""

    def __init__(self, path: Path, *, guard_path: Path | None = None, clock: Clock | None = None) -> None:
        self.path = path
        self.guard_path = guard_path
        self.clock = clock or SystemClock()
        self.random = RepeatableRandom()
        path.mkdir(exist_ok=True)
        create_directory(path, guard_path, ORIGIN_PREFIX, self._fill, map_size=MAP_SIZE)
        self.registry.close()
        self.open()

    def _fill(self, directory: DataDirectory) -> None:
        self.registry = LogRegistry(directory, self.clock, self.random)
        Administration(self.registry, self.clock, self.random).initialise()

    def open(self) -> None:
        """Open the directory as at a start of the server."""
        self.directory = open_directory(self.path, self.guard_path, map_size=MAP_SIZE)
        self.registry = LogRegistry(self.directory, self.clock, self.random)
        self.registry.start()
        self.administration = Administration(self.registry, self.clock, self.random)
        self.administration.reconcile()
        self.access = Access(self.registry, self.clock)

    def close(self) -> None:
        """Close every log."""
        self.registry.close()

    def admin_key(self) -> str:
        """Return the first administrator's API key."""
        return (self.path / ADMIN_KEY).read_text().strip()

    def admin(self) -> Caller:
        """Return the first administrator."""
        return self.access.authenticate_key(self.admin_key())

    def new_key(self, log: str, *roles: Role) -> str:
        """Make an API key of a log."""
        made = self.administration.create_key(log, SERVER, label="test", roles=frozenset(roles), personal=False)
        return made.secret

    def append(self, *entries: NewEntry, log: str = "default") -> AppendResult:
        """Append as the administrator."""
        admin = self.admin()
        with self.registry.use(log) as opened:
            return opened.submit(AppendRequest(admin.key_id, admin.principal, entries)).result(30)

    def read_only_reason(self, log: str = "default") -> str:
        """Open a log and return why it takes no appends."""
        with self.registry.use(log) as opened:
            return opened.read_only_reason

    def store_path(self, log: str = "default") -> Path:
        """Return the directory of a log's store."""
        return self.directory.log_path(log) / "store.1"

    def open_log(self, log: str = "default") -> Log:
        """Return a log, kept open by the registry."""
        with self.registry.use(log) as opened:
            return opened
