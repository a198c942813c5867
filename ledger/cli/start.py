"""Where the command `logproof` begins: as little as can be before Ctrl-C is told in words."""

from __future__ import annotations


def main() -> int:
    """Load the command line and run it; return the exit code."""
    try:
        from ledger.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        # While loading; the same number as `ExitCode.INTERRUPTED`, which is not loaded yet.
        return 130
