"""Standard streams that are full, closed or gone: a command does the same, and ends with the same code."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.cli import serve
from ledger.evidence.proof_json import InclusionClaim, format_proofs
from tests.support.lying_server import LyingServer

_COMMAND = (sys.executable, "-m", "ledger.cli.main")
_FULL = "/dev/full"

_ENDINGS = [
    (("verify", "note", "missing", "--key", "log.example/a+00000000+AQ=="), 2),
    (("nosuch",), 2),
    ((), 2),
    (("verify", "proof", "forged.json"), 1),
    (("head", "--address", "127.0.0.1:1", "--timeout", "0.3"), 5),
]


def _run(redirected: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with its streams as a shell redirects them."""
    line = f"{shlex.join((*_COMMAND, *arguments))} {redirected}"
    root = Path(__file__).parents[3]
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


@pytest.fixture
def forged(folder: Path) -> None:
    """Write a proof that does not hold."""
    (folder / "forged.json").write_bytes(format_proofs([InclusionClaim(0, 2, bytes(32), bytes(32), (bytes(32),))]))


@pytest.mark.usefixtures("forged")
@pytest.mark.parametrize("redirected", ["", f"2>{_FULL}", "2>&-", "2> >(true)"])
@pytest.mark.parametrize(("arguments", "code"), _ENDINGS)
def test_words_that_cannot_be_written_leave_the_exit_code_as_it_is(
    arguments: tuple[str, ...], code: int, redirected: str
) -> None:
    assert _run(redirected, *arguments).returncode == code


def test_import_whose_words_cannot_be_written_ends_as_ever(server: LyingServer) -> None:
    Path("a.ndjson").write_text('{"action":"user.created","timestamp":"2026-02-20T14:30:00Z"}\n')
    Path("bad.ndjson").write_text("{broken\n")

    for redirected in ("2>&-", f"2>{_FULL}"):
        assert _run(redirected, "import", "a.ndjson").returncode == 0
        assert _run(redirected, "import", "bad.ndjson").returncode == 2
    assert len(server.log.leaves) == 1


@pytest.mark.usefixtures("server")
def test_closed_stdout_is_nothing_to_fail_on() -> None:
    assert _run(">&-", "append", "a.b").returncode == 0
    for arguments in (("head", "--format", "note"), ("head",), ("get", "0")):
        ran = _run(">&-", *arguments)
        assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.usefixtures("server")
def test_closed_stdin_is_bad_input_where_it_was_to_be_read() -> None:
    for arguments in (("append",), ("append", "-"), ("import", "-"), ("verify", "proof", "-")):
        ran = _run("<&-", *arguments)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "internal error" not in ran.stderr


def test_append_that_is_done_says_so_where_its_outcome_cannot_be_written(server: LyingServer) -> None:
    ran = _run(f">{_FULL}", "append", "a.b", "--event-id", "order-17")
    assert ran.returncode == 74
    assert "the event order-17 is in the log, at leaf index 0" in ran.stderr
    assert "No space left on device" in ran.stderr

    ran = _run("", "append", "a.b", "--event-id", "order-18", "--receipt", "missing/r.tlog-proof")
    assert (ran.returncode, ran.stdout) == (74, "")
    assert "the event order-18 is in the log, at leaf index 1" in ran.stderr
    assert len(server.log.leaves) == 2


@pytest.mark.usefixtures("server")
def test_output_that_cannot_be_written_is_no_bad_input() -> None:
    for arguments in (("--help",), ("version",), ("head", "--format", "note")):
        ran = _run(f">{_FULL}", *arguments)
        assert ran.returncode == 74
        assert "No space left on device" in ran.stderr


def test_number_of_a_closed_stream_is_given_to_no_file(folder: Path) -> None:
    (folder / "held.py").write_text(
        "import os\nfrom ledger.cli.output import hold_descriptors\n"
        "hold_descriptors()\nprint(min(os.open('held.py', os.O_RDONLY), 3), [os.get_inheritable(fd) for fd in range(3)])\n"
    )
    line = f"{shlex.quote(sys.executable)} held.py <&- 2>&-"
    ran = subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )

    assert ran.stdout == "3 [True, True, True]\n"


def test_interruption_while_the_command_line_is_loaded_shows_no_traceback() -> None:
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from ledger.cli.start import main\n"
        "sys.exit(main())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


def test_server_needs_no_stdout_to_say_that_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    serve._say("ready")
