"""The command `logproof`: finds the sub-command, runs it, and turns whatever stops it into words and an exit code.

Each sub-command is a module of this package with a click command named `command`, loaded when it is called: offline
verification starts fast and loads neither gRPC nor LMDB. The rule that must not break: nobody ever sees a traceback
who did not ask for one.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from ledger import __version__
from ledger.cli.exit_codes import Ending, ExitCode, ending_of
from ledger.cli.output import hold_descriptors, printable, say, settle_streams

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "serve": ("serve", "Run a server."),
    "demo": ("demo", "Show everything on a server of its own."),
    "append": ("append", "Append one event, and verify its receipt."),
    "import": ("import_", "Import files of events."),
    "get": ("get", "Show one entry, verified."),
    "query": ("query", "Find and count events, verified."),
    "tail": ("tail", "Show the newest entries and those that come, verified."),
    "export": ("export", "Export a log."),
    "head": ("head", "Show the newest signed head, verified."),
    "prove": ("prove", "Fetch proofs, verified."),
    "verify": ("verify", "Verify proofs, notes, receipts and whole logs, offline."),
    "action": ("action", "Show the catalogue of actions, and check an action, offline."),
    "log": ("log", "Make and show logs."),
    "key": ("key", "Make, rotate and revoke API keys."),
    "fsck": ("fsck", "Check a data directory."),
    "bench": ("bench", "Put load on a server, and show how quickly it acknowledged."),
    "scrub": ("scrub", "Show the scrubber's place and findings, or scrub now."),
    "reindex": ("reindex", "Make the indexes of logs again."),
    "backup": ("backup", "Back up a data directory."),
    "restore": ("restore", "Restore a backup; accept a head for data without its guard."),
    "stats": ("stats", "Show sizes and growth of logs, with a forecast."),
    "doctor": ("doctor", "Check a server and what it runs on."),
    "version": ("version", "Print the version."),
}
"""Sub-commands in the order in which help shows them: module, and what it does."""

_SERVER_MODULES: Final = frozenset({"lmdb", "grpc_health", "grpc_reflection", "prometheus_client", "structlog"})
_ISSUES: Final = "report it with that file, which holds no data of yours"


class LazyGroup(click.Group):
    """A group that loads a sub-command only when it is called, and never for the help of the whole."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the sub-commands."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load and return a sub-command; None where there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"ledger.cli.{COMMANDS[cmd_name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of sub-commands."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="logproof", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show where in the program an unforeseen error arose.")
def root(*, debug: bool) -> None:
    """Logproof Ledger: an append-only audit log whose entries anyone can verify.

    Settings come from options, from LOGPROOF_ADDRESS, LOGPROOF_API_KEY, LOGPROOF_LOG, LOGPROOF_VERIFIER_KEY and
    LOGPROOF_STATE, or from ~/.config/logproof/config.toml.

    Exit codes: 0 good, 1 verification failed, 2 bad input, 3 not found or incomplete evidence, 4 not permitted,
    5 server unreachable or overloaded, 6 fork detected, 70 internal error, 74 storage can't be read.
    """
    del debug


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: The arguments; None for those of this process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    hold_descriptors()
    code = int(_run(given, debug=given[:1] == ["--debug"]))
    settle_streams()
    return code


def _run(given: list[str], *, debug: bool) -> int:
    try:
        with root.make_context("logproof", given) as ctx:
            root.invoke(ctx)
        if sys.stdout is not None:  # closed by who started the command
            sys.stdout.flush()
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return ExitCode.PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - the last place that can turn it into words
        return _report(error, debug=debug)
    return ExitCode.GOOD


def _report(error: Exception, *, debug: bool) -> ExitCode:
    ending = _ending_without_server(error) or ending_of(error)
    if ending is not None and not debug:
        _say_lines("error: ", ending.message)
        if ending.hint:
            _say_lines("hint: ", ending.hint)
        return ending.code
    trace = "".join(traceback.format_exception(error))
    if debug:
        say(trace.rstrip())
        return ending.code if ending is not None else ExitCode.INTERNAL
    return _report_incident(error, trace)


def _ending_without_server(error: Exception) -> Ending | None:
    """Return how a command ends that needs what only an installation of the server has, wherever it loads it."""
    if not isinstance(error, ModuleNotFoundError) or (error.name or "").partition(".")[0] not in _SERVER_MODULES:
        return None
    return Ending(
        ExitCode.BAD_INPUT,
        f"this command needs {error.name}, which comes with the extra `server`",
        "pip install '.[server]' in a clone",
        "USAGE",
    )


def _report_incident(error: Exception, trace: str) -> ExitCode:
    from tempfile import mkstemp

    incident = os.urandom(4).hex()
    say(f"error: internal error, incident {incident} ({type(error).__name__})")
    try:
        descriptor, path = mkstemp(prefix=f"logproof-incident-{incident}-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"logproof {__version__}, Python {sys.version}\n{trace}")
    except OSError:
        say("hint: run the command again as `logproof --debug ...`, and report what it prints")
    else:
        say(f"hint: where it arose is in {path}; {_ISSUES}")
    return ExitCode.INTERNAL


def _say_lines(label: str, text: str) -> None:
    # Part of it may be what a server sent.
    first, *more = text.split("\n")
    say(label + printable(first))
    for line in more:
        say(printable(line))


if __name__ == "__main__":
    sys.exit(main())
