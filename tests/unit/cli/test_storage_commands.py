"""`backup`, `restore` and `scrub`: what they print and what they end with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documentation import ROOT
from tests.support.engine_lab import make_entry
from tests.support.engine_server import EngineServer
from tests.support.storage_edit import flip_byte, get_row, index_key
from tests.unit.cli.conftest import Run


@pytest.fixture
def data(folder: Path) -> Path:
    """Give a data directory with ten events, closed, its guards apart."""
    server = EngineServer(folder / "data", guard_path=folder / "guard")
    server.append(*(make_entry(number) for number in range(10)))
    with server.registry.use("default") as log:
        (folder / "default.note").write_bytes(log.signed_head().note)
    with server.registry.use("_system") as log:
        (folder / "system.note").write_bytes(log.signed_head().note)
    server.close()
    return folder / "data"


PASSPHRASE = "correct horse battery staple"


def _passphrase() -> Path:
    file = Path("passphrase")
    file.write_text(f"{PASSPHRASE}\n")
    file.chmod(0o600)
    return file


def _backup(run: Run, data: Path, *options: str | Path) -> Path:
    return _backup_to(run, data, "backups", *options)


def _backup_to(run: Run, data: Path, to: str, *options: str | Path) -> Path:
    ran = run("backup", "--data", data, "--guard-dir", "guard", "--to", to, "--format", "json", *options)
    assert ran.code == 0, ran.err
    return Path(json.loads(ran.out)[0]["path"])


def _outlooks(run: Run, *arguments: str | Path) -> tuple[int, dict[str, str]]:
    ran = run("restore", *arguments, "--format", "json")
    return ran.code, {row["log"]: row["outlook"].partition(":")[0] for row in json.loads(ran.out)}


def test_backup_says_whether_the_signing_keys_are_in_it(run: Run, data: Path) -> None:
    options = ("backup", "--data", data, "--guard-dir", "guard")
    assert "the signing keys are not in it" in run(*options, "--to", "one").err
    assert "sealed" in run(*options, "--to", "two", "--with-keys", "--passphrase-file", _passphrase()).err


def test_keys_are_put_into_a_backup_with_a_passphrase_only(run: Run, data: Path) -> None:
    options = ("backup", "--data", data, "--guard-dir", "guard", "--to", "backups", "--with-keys")
    refused = run(*options)
    assert (refused.code, Path("backups").exists()) == (2, False)
    assert "LOGPROOF_BACKUP_PASSPHRASE" in refused.err
    file = _passphrase()
    # Without --with-keys somebody would believe that the keys are in it.
    assert "--with-keys" in run(*options[:-1], "--passphrase-file", file).err
    assert not Path("backups").exists()
    file.chmod(0o644)
    assert run(*options, "--passphrase-file", file).code == 74
    assert PASSPHRASE not in run(*options, "--passphrase-file", file).err
    file.chmod(0o600)
    file.write_text("short\n")
    assert run(*options, "--passphrase-file", file).code == 2
    # Read as some other text, it would be the same as many another.
    file.write_bytes("Schlüssel-für-Bäckup\n".encode("latin-1"))
    assert "UTF-8" in run(*options, "--passphrase-file", file).err
    assert not Path("backups").exists()


def test_passphrase_is_taken_from_the_environment_as_well(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGPROOF_BACKUP_PASSPHRASE", PASSPHRASE)
    made = _backup(run, data, "--with-keys")
    assert _outlooks(run, made, "--data", "new", "--guard-dir", "guard")[0] == 0


def test_restore_without_the_keys_says_what_to_do(run: Run, data: Path) -> None:
    made = _backup(run, data)
    refused = run("restore", made, "--data", "new", "--guard-dir", "guard")
    assert (refused.code, Path("new").exists()) == (2, False)
    assert "--keys" in refused.err
    sealed = _backup_to(run, data, "sealed", "--with-keys", "--passphrase-file", _passphrase())
    refused = run("restore", sealed, "--data", "new", "--guard-dir", "guard")
    assert (refused.code, Path("new").exists()) == (2, False)
    assert "--passphrase-file" in refused.err
    code, outlooks = _outlooks(run, made, "--data", "new", "--guard-dir", "guard", "--without-keys")
    assert (code, set(outlooks.values())) == (1, {"read-only"})


def test_backup_of_a_damaged_log_ends_with_1_and_names_the_entry(run: Run, data: Path) -> None:
    flip_byte(data / "logs" / "default" / "store.1", "event_sections", index_key(5), -1)
    ran = run("backup", "--data", data, "--guard-dir", "guard", "--to", "backups")
    assert ran.code == 1
    assert "(entry 5)" in ran.err
    assert list(Path("backups").iterdir()) == []


def test_backup_and_restore_of_the_newest_state_sign_on(run: Run, data: Path) -> None:
    made = _backup(run, data, "--with-keys", "--passphrase-file", _passphrase())
    restore = (made, "--data", "new", "--guard-dir", "guard", "--passphrase-file", _passphrase())
    outlooks = _outlooks(run, *restore)
    assert outlooks == (0, {"_system": "signs on", "default": "signs on"})


def test_restore_without_guards_ends_with_1_until_heads_are_accepted(run: Run, data: Path) -> None:
    made = _backup(run, data)
    code, outlooks = _outlooks(run, made, "--data", "new", "--keys", data / "keys")
    assert (code, set(outlooks.values())) == (1, {"read-only"})
    accepted = ("--accept-head", "default.note", "--accept-head", "system.note")
    assert _outlooks(run, "--data", "new", *accepted) == (0, {"_system": "signs on", "default": "signs on"})


def test_restore_onto_data_ends_with_74_and_changes_nothing(run: Run, data: Path) -> None:
    made = _backup(run, data)
    ran = run("restore", made, "--data", data)
    assert ran.code == 74
    assert "nothing is ever restored onto existing data" in ran.err


def test_restore_of_a_changed_backup_ends_with_1(run: Run, data: Path) -> None:
    made = _backup(run, data)
    file = made / "logs" / "default" / "store.1" / "data.mdb"
    file.write_bytes(file.read_bytes()[:-4096] + bytes(4096))
    ran = run("restore", made, "--data", "new", "--keys", data / "keys")
    assert (ran.code, Path("new").exists()) == (1, False)
    assert "SHA-256 differs" in ran.err


def test_restore_needs_something_to_do(run: Run, data: Path) -> None:
    ran = run("restore", "--data", data)
    assert ran.code == 2
    assert "--accept-head" in ran.err


def _scrub(run: Run, data: Path, *options: str) -> tuple[int, dict[str, dict[str, object]], str]:
    ran = run("scrub", "--data", data, "--format", "json", *options)
    return ran.code, {row["log"]: row for row in json.loads(ran.out)}, ran.err


def test_scrub_shows_the_place_and_run_goes_over_everything(run: Run, data: Path) -> None:
    assert _scrub(run, data)[1]["default"]["last_pass_entries"] is None
    code, rows, _ = _scrub(run, data, "--run")
    assert (code, rows["default"]["last_pass_entries"], rows["_system"]["last_pass_entries"]) == (0, 12, 3)
    assert _scrub(run, data)[1] == rows


def test_scrub_freezes_what_it_finds_damaged_where_no_server_runs(run: Run, data: Path) -> None:
    flip_byte(data / "logs" / "default" / "store.1", "personal_sections", index_key(7), -1)
    code, rows, said = _scrub(run, data, "--run", "--log", "default")
    assert (code, rows["default"]["first_wrong_index"]) == (1, 7)
    assert "default is frozen" in said
    assert _scrub(run, data)[0] == 1
    frozen = get_row(data / "logs" / "default" / "store.1", "records", b"freeze")
    assert frozen is not None
    assert frozen.startswith(b"the scrubber found: ")


def test_scrub_beside_a_server_leaves_the_freezing_to_it(run: Run, data: Path) -> None:
    from ledger.storage.owner import OwnerLock

    flip_byte(data / "logs" / "default" / "store.1", "leaves", index_key(7), -1)
    lock = OwnerLock(data / "owner.lock")
    code, _, said = _scrub(run, data, "--run")
    lock.release()
    assert code == 1
    assert "for its scrubber to confirm" in said
    assert (data / "logs" / "default" / "scrub.suspect").read_text() == "7\n"
    assert _scrub(run, data)[0] == 0


@pytest.mark.parametrize("command", ["fsck", "backup", "restore", "scrub", "stats", "doctor"])
def test_where_the_server_is_not_installed_a_command_on_its_data_says_so(command: str, tmp_path: Path) -> None:
    more = {"backup": ["--to", str(tmp_path)], "restore": [str(tmp_path)]}.get(command, [])
    program = "import sys; sys.modules['lmdb'] = None\nfrom ledger.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, command, "--data", str(tmp_path), *more],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 2
    assert "this command needs lmdb, which comes with the extra `server`" in done.stderr
