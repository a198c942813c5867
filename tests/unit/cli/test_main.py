from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import click
import pytest

from ledger import __version__
from ledger.cli import main as main_module
from ledger.cli.main import COMMANDS
from ledger.engine.kernel import installed_kernel
from tests.unit.cli.conftest import Run


def _command_that_raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command()
    def failing() -> None:
        raise error

    module = ModuleType("ledger.cli.failing")
    module.command = failing  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ledger.cli.failing", module)
    monkeypatch.setitem(COMMANDS, "failing", ("failing", "Fail."))


def test_help_names_every_command_and_loads_none(run: Run) -> None:
    ran = run("--help")

    assert ran.code == 0
    assert all(f"\n  {name} " in ran.out for name in COMMANDS)


def test_version_is_told_in_both_ways(run: Run) -> None:
    assert run("--version").out == f"logproof {__version__}\n"
    assert run("version").out == f"logproof {__version__}\nkernel: {installed_kernel().name}\n"


def test_version_names_the_python_kernel_where_the_native_one_is_switched_off() -> None:
    command = (sys.executable, "-c", "import sys; from ledger.cli.main import main; sys.exit(main())", "version")
    ran = subprocess.run(
        command, env={**os.environ, "LOGPROOF_NATIVE": "off"}, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.stdout.splitlines()[1] == "kernel: python", ran.stderr


def test_unknown_command_is_bad_input_and_a_near_one_is_named(run: Run) -> None:
    ran = run("verfy")

    assert (ran.code, ran.out) == (2, "")
    assert "verfy" in ran.err


def test_no_command_shows_the_help_on_stderr(run: Run) -> None:
    ran = run()

    assert (ran.code, ran.out) == (2, "")
    assert "Commands:" in ran.err


def test_unforeseen_error_gives_an_incident_and_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _command_that_raises(monkeypatch, ValueError("secret detail"))

    ran = run("failing")
    assert (ran.code, ran.out) == (70, "")
    assert "Traceback" not in ran.err
    assert "secret detail" not in ran.err
    path = Path(ran.err.split(" is in ")[1].split(";")[0])
    assert "Traceback" in path.read_text()
    path.unlink()


def test_traceback_is_shown_to_who_asks_for_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _command_that_raises(monkeypatch, ValueError("detail"))

    ran = run("--debug", "failing")
    assert ran.code == 70
    assert "Traceback" in ran.err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interruption_ends_as_shells_number_it(run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    _command_that_raises(monkeypatch, error)

    assert run("failing").code == 130


def test_what_a_server_says_cannot_steer_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _command_that_raises(monkeypatch, click.ClickException("evil \x1b[2J words"))

    ran = run("failing")
    assert "\x1b" not in ran.err
    assert "\\x1b[2J" in ran.err


def test_command_of_the_server_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_server(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name}", name="lmdb")

    monkeypatch.setattr(main_module, "import_module", without_server)

    ran = run("serve")
    assert ran.code == 2
    assert "pip install '.[server]'" in ran.err


def test_command_that_loads_a_part_of_the_server_when_it_runs_says_what_to_install() -> None:
    # What an installation without the extra has in its place.
    program = "import sys; sys.modules['lmdb'] = None; from ledger.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "fsck", "--data", "data"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "needs lmdb, which comes with the extra `server`" in ran.stderr
    assert "pip install '.[server]'" in ran.stderr


def test_another_module_that_is_missing_is_an_internal_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _command_that_raises(monkeypatch, ModuleNotFoundError("No module named 'x'", name="x"))

    ran = run("failing")
    assert ran.code == 70
    Path(ran.err.split(" is in ")[1].split(";")[0]).unlink()


def test_reader_who_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m ledger.cli.main --help | head -n 1; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)

    assert ran.stderr == ""
    assert ran.stdout.splitlines()[-1] in {"0", "141"}


def test_closed_pipe_ends_as_shells_number_it() -> None:
    command = (sys.executable, "-c", "import sys; sys.stdin.close()")
    with subprocess.Popen(command, stdin=subprocess.PIPE) as reader:
        reader.wait()
        assert reader.stdin is not None
        code = (
            "import sys; from ledger.cli.main import main; "
            "sys.stdout.reconfigure(write_through=True); sys.exit(main(['--help']))"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code],
            stdout=reader.stdin,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert (ran.returncode, ran.stderr) == (141, "")


def test_start_is_fast_because_little_is_loaded() -> None:
    code = (
        "import sys; from ledger.cli.main import main; main(['--version']);"
        "print([name for name in ('grpc', 'google.protobuf', 'cryptography', 'rich', 'tomllib') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert ran.stdout.splitlines()[-1] == "[]", ran.stderr


def test_input_from_a_terminal_is_not_waited_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))

    ran = run("append")
    assert ran.code == 2
    assert "name an action" in ran.err
