"""A client for a command, and what is told about the connection on the way.

The rule that must not break: where nobody pinned the log's key, or a server shows a head that is older than the trusted
one, that is said on stderr every time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ledger.cli.output import say
from ledger.cli.settings import Settings
from ledger.client.admin import Administration
from ledger.client.connection import Connection
from ledger.client.options import Options
from ledger.client.sync import Ledger
from ledger.client.trust import StaleHeadWarning
from ledger.client.unpinned import connect_unpinned
from ledger.errors import LedgerError


@contextmanager
def open_ledger(settings: Settings, *, log: str | None = None) -> Iterator[Ledger]:
    """Give a client of the log, under the pinned key or, where there is none, under the key that the server states.

    Args:
        settings: The common options.
        log: Name of the log, where a command names it itself; a pinned key counts only for the log of the settings.

    Raises:
        LedgerError: A setting breaks a rule, or the server refused or could not be reached in time.
    """
    options = settings.options()
    if log is not None and log != options.log:
        options = replace(options, log=log, verifier_key=None)
    if options.verifier_key is not None:
        ledger = Ledger.from_options(options, connect=_connect)
    else:
        ledger = connect_unpinned(options, connect=_connect)
        say(f"UNPINNED: the verifier key came from the server itself; to pin it: --key '{ledger.verifier_key}'")
    with ledger, _stale_heads_are_told():
        yield ledger


@contextmanager
def open_administration(settings: Settings, *, log: str | None = None) -> Iterator[Administration]:
    """Give a client that administers.

    Args:
        settings: The common options.
        log: Name of the log, where a command names it itself.

    Raises:
        LedgerError: A setting breaks a rule.
    """
    options = settings.options()
    administration = Administration(replace(options, log=log or options.log), _connect)
    try:
        yield administration
    finally:
        administration.close()


@contextmanager
def _stale_heads_are_told() -> Iterator[None]:
    before = warnings.showwarning

    def tell(message: Warning | str, category: type[Warning], *rest: object) -> None:
        if issubclass(category, StaleHeadWarning):
            say(f"warning: {message}")
        else:
            before(message, category, *rest)  # type: ignore[arg-type]

    with warnings.catch_warnings():
        warnings.simplefilter("always", StaleHeadWarning)
        warnings.showwarning = tell  # type: ignore[assignment]
        yield


def _connect(options: Options) -> Connection:
    told = False

    def tell(error: LedgerError, _delay: float) -> None:
        nonlocal told
        if not told:
            told = True
            say(f"{error.message}; trying again for up to {options.timeout_seconds:g} s")

    return Connection(options, on_retry=tell)
