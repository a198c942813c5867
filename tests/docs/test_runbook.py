"""The runbook, rehearsed: every command of every page runs, in its order, on a server in the state that the page is about."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.test_commands_run import Shell
from tests.support.documentation import ROOT, shell_lines
from tests.support.served import Served, run_logproof
from tests.support.storage_edit import flip_byte, index_key

pytestmark = [pytest.mark.ci, pytest.mark.timeout(300)]

_PAGES = sorted((ROOT / "docs" / "runbook").glob("*.md"))


class Machine(Shell):
    """A server under a supervisor that knows `systemctl stop`, `start` and `restart`."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        served = Served(folder, "--guard-dir", str(folder / "guard"))
        super().__init__(folder / "shell", served)
        backups, keys = folder / "backups", folder / "kept-keys"
        passphrase = folder / "passphrase"
        passphrase.write_text("correct horse battery staple\n")
        passphrase.chmod(0o600)
        self.replaced |= {
            "/srv/backups": str(backups),
            "/srv/keys": str(keys),
            "/srv/passphrase": str(passphrase),
        }
        # Each page names the log; its key is then taken from the server, which is told on stderr.
        del self.environment["LOGPROOF_VERIFIER_KEY"]
        self.admin_key = served.api_key
        for number in range(20):
            self.append(f"event-{number}")
        shutil.copytree(served.data / "keys", keys)

    def append(self, event_id: str, log: str = "default") -> None:
        """Append an event as the first administrator."""
        super().run(f"logproof append user.created --actor user:u1 --target user:u2 --event-id {event_id} --log {log}")

    def rehearse(self, line: str) -> str:
        """Do what a line of a page says."""
        if line.startswith("systemctl "):
            _, action, unit = line.split()
            assert unit == "logproof"
            if action in {"stop", "restart"}:
                assert self.served.stop() == 0
            if action in {"start", "restart"}:
                self.served.start()
            return ""
        if "/srv/logproof/admin.key" in line and not (self.served.data / "admin.key").exists():
            (self.served.data / "admin.key").write_text(self.admin_key)
            (self.served.data / "admin.key").chmod(0o600)
        if "KEY_ID" in line:
            line = line.replace("KEY_ID", self._writers_key())
        if "BACKUP" in line:
            newest = max((self.root / "backups").glob("logproof-*"))
            line = line.replace("BACKUP", str(newest))
        return super().run(line)

    def note(self, log: str = "default") -> str:
        """Return the newest signed head."""
        return super().run(f"logproof head --format note --log {log}")

    def says(self, *arguments: str) -> tuple[int, str]:
        """Run a command that may fail."""
        ran = run_logproof(*arguments, environment=self.environment)
        return ran.returncode, ran.stdout + ran.stderr

    def _writers_key(self) -> str:
        made = super().run("logproof key create writer --role writer --log default")
        assert made.startswith("lp_")
        listed = json.loads(super().run("logproof key list --log default --format json"))
        live = [key for key in listed if key["label"] == "writer" and not key["revoked_at"]]
        key_id: str = live[-1]["key_id"]
        return key_id


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.served.close()


def _lose_the_guard(machine: Machine) -> None:
    (machine.folder / "default.note").write_text(machine.note())
    guard = machine.root / "guard" / "default.guard"
    assert machine.served.stop() == 0
    guard.write_bytes(bytes(guard.stat().st_size))
    machine.served.start()
    assert "read-only" in machine.served.said


def _nothing(_machine: Machine) -> None:
    """Leave everything in order."""


BEFORE: dict[str, Callable[[Machine], None]] = {
    "README.md": _nothing,
    "disk-full.md": _nothing,
    "key-lost-or-leaked.md": _nothing,
    "guard-refuses-to-sign.md": _lose_the_guard,
    "damaged-log.md": _nothing,
    "fork-alarm.md": _nothing,
    "restore.md": _nothing,
    "retire-a-log.md": _nothing,
}
# The log that takes events in the end, where it is not the one that the page is about.
ENDS_WITH = {"retire-a-log.md": "default-2"}
# Commands that find what the page is about, and say so by their exit code.
FINDS = {
    ("guard-refuses-to-sign.md", "logproof doctor"): "both slots of the guard",
    ("guard-refuses-to-sign.md", "logproof log show"): "the high-water guard cannot be read",
}


def test_every_page_is_rehearsed() -> None:
    assert sorted(BEFORE) == [page.name for page in _PAGES]


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_runs(machine: Machine, page: Path) -> None:
    BEFORE[page.name](machine)
    lines = shell_lines(page)
    assert lines
    for line in lines:
        found = [said for (name, start), said in FINDS.items() if page.name == name and line.startswith(start)]
        if found:
            with pytest.raises(AssertionError, match=found[0]):
                machine.rehearse(line)
        else:
            machine.rehearse(line)
    # Whatever was done, the server takes events again in the end, and has what it needs for the next time.
    machine.append("afterwards", log=ENDS_WITH.get(page.name, "default"))
    assert (machine.served.data / "ballast").exists()


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_every_page_on_a_trouble_says_how_to_notice_it_and_what_it_means_for_evidence(page: Path) -> None:
    text = page.read_text("utf-8")
    if page.name != "README.md":
        assert "**Evidence.**" in text
        # A log is retired because its operator wants to.
        assert "**Notice.**" in text or page.name == "retire-a-log.md"


# What the pages promise


def test_a_restored_old_backup_refuses_to_sign_and_its_new_log_names_the_old_head(machine: Machine) -> None:
    machine.rehearse("logproof backup --data /srv/logproof --guard-dir /srv/guard --to /srv/backups")
    machine.append("after-the-backup")
    newest = machine.note()
    (machine.folder / "last.note").write_text(newest)
    machine.rehearse("systemctl stop logproof")
    machine.rehearse("mv /srv/logproof /srv/logproof.old")
    backup = max((machine.root / "backups").glob("logproof-*"))
    keys = machine.root / "kept-keys"
    guard = machine.root / "guard"
    code, said = machine.says(
        "restore", str(backup), "--data", str(machine.served.data), "--guard-dir", str(guard), "--keys", str(keys)
    )
    assert code == 1
    assert "its data is older than a head that was signed" in said
    machine.rehearse("systemctl start logproof")
    assert machine.says("append", "user.created", "--actor", "user:u1", "--target", "user:u2")[0] == 5
    code, said = machine.says("log", "show", "default")
    assert code == 5
    assert "the data is older than the head that the guard remembers" in said
    # The way on.
    machine.rehearse("logproof log create default-2 --continues last.note --api-key-file /srv/logproof/admin.key")
    entry = json.loads(machine.rehearse("logproof get 0 --log default-2 --format json"))
    assert entry["event"]["metadata"]["continues"] == newest


def test_a_log_that_was_retired_as_on_its_page_refuses_events_after_a_restart(machine: Machine) -> None:
    for line in shell_lines(ROOT / "docs" / "runbook" / "retire-a-log.md"):
        machine.rehearse(line)
    machine.rehearse("systemctl restart logproof")
    code, said = machine.says("append", "user.created", "--actor", "user:u1", "--target", "user:u2")
    assert code == 2
    assert "the environment was shut down" in said
    assert json.loads(machine.rehearse("logproof get 5 --log default --format json"))["leaf_index"] == 5
    assert json.loads(machine.rehearse("logproof log show default --format json"))["state"] == "retired"


def test_a_damaged_log_is_found_beside_its_server_and_frozen(machine: Machine) -> None:
    store = machine.served.data / "logs" / "default" / "store.1"
    flip_byte(store, "event_sections", index_key(5), -1)
    code, said = machine.says("scrub", "--data", str(machine.served.data), "--run", "--log", "default")
    assert code == 1
    assert "(entry 5)" in said
    assert machine.says("fsck", "--data", str(machine.served.data), "--guard-dir", str(machine.root / "guard"))[0] == 1
    machine.rehearse("systemctl stop logproof")
    assert machine.says("scrub", "--data", str(machine.served.data), "--run", "--log", "default")[0] == 1
    machine.rehearse("systemctl start logproof")
    assert machine.says("append", "user.created", "--actor", "user:u1", "--target", "user:u2")[0] == 5
