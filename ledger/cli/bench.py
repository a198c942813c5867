"""`logproof bench`: load on a running server, and how quickly it was acknowledged.

The rule that must not break: what is appended can never be removed, so nothing is appended to a log that holds entries
of others without the user's word for it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import click

from ledger.cli.output import Format, say, write_record
from ledger.cli.progress import progress_bar
from ledger.cli.settings import Settings, client_options
from ledger.errors import FieldViolation, InvalidRequestError, PermissionMissingError
from ledger.events.ids import RESERVED_ID_PREFIX

if TYPE_CHECKING:
    from ledger.client.load import LoadPlan, LoadResult
    from ledger.client.options import Options
    from ledger.client.senders import BareSender, StreamSender, VerifyingSender
    from ledger.client.sync import Ledger

_SHARES: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999))
# How many entries are looked at, from both ends of a log, before anything is appended to it.
_LOOKED_AT: Final = 1000
_MAX_CALLERS: Final = 512
_MAX_BATCH: Final = 1000
_MAX_SECONDS: Final = 3600
_DEFAULT_EVENTS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class _Way:
    """How events are sent."""

    raw: bool
    stream: bool

    @property
    def words(self) -> str:
        if self.stream:
            return "stream, answers not verified"
        return "bare calls, answers not verified" if self.raw else "SDK, every receipt verified"


@dataclass(frozen=True, slots=True)
class _Load:
    """What load the options ask for."""

    callers: int
    batch: int
    seconds: float
    events: int
    rate: float | None

    @property
    def words(self) -> str:
        loop = "closed loop" if self.rate is None else f"open loop of {self.rate:g} events a second"
        return f"{self.callers} callers, {self.batch} events a call, {loop}"

    def plan(self) -> LoadPlan:
        """Return it as the generator takes it."""
        from ledger.client.load import LoadPlan

        due = None if self.rate is None else self.rate / self.batch
        return LoadPlan(self.callers, self.batch, self.seconds, self.events, due)


def _load_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a load; it gets them as `load`."""

    @functools.wraps(command)
    def with_load(**values: object) -> None:
        taken = {name: values.pop(name) for name in _Load.__dataclass_fields__}
        command(load=_Load(**taken), **values)  # type: ignore[arg-type]

    for option in reversed(
        (
            click.option(
                "--callers",
                type=click.IntRange(1, _MAX_CALLERS),
                default=16,
                show_default=True,
                help="Calls at the same time.",
            ),
            click.option(
                "--batch", type=click.IntRange(1, _MAX_BATCH), default=1, show_default=True, help="Events of one call."
            ),
            click.option(
                "--seconds",
                type=click.FloatRange(min=0, max=_MAX_SECONDS, min_open=True),
                default=10,
                show_default=True,
                help="How long calls are begun.",
            ),
            click.option(
                "--events",
                type=click.IntRange(min=1),
                default=_DEFAULT_EVENTS,
                show_default=True,
                help="Most events in all.",
            ),
            click.option(
                "--rate",
                type=click.FloatRange(min=0, min_open=True),
                metavar="EVENTS",
                help="Events a second that are due, whether the server keeps up or not; without it each caller waits for its answer.",
            ),
        )
    ):
        with_load = option(with_load)
    return with_load


@click.command()
@_load_options
@click.option("--raw", is_flag=True, help="Bare calls that verify nothing: the server alone, not what a client costs.")
@click.option("--stream", is_flag=True, help="One long-lived stream, one event a message; verifies nothing.")
@click.option(
    "--append-to-log-of-others",
    "consent",
    is_flag=True,
    help="Append to the log though it holds entries of others; what is appended can never be removed.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice([Format.TABLE.value, Format.JSON.value]),
    default=Format.TABLE.value,
    help="How the result is printed; JSON has the whole histogram.",
)
@client_options
def command(
    settings: Settings,
    load: _Load,
    output_format: str,
    *,
    raw: bool,
    stream: bool,
    consent: bool,
) -> None:
    """Put load on a running server, and show how quickly it acknowledged.

    Events go to a log of their own, `bench-` and eight hex digits, that is made for this run and needs a server
    administrator; or to the one that --log names, if it holds no entries but those of earlier runs. A log cannot be
    deleted: use a server that is for trying things out.

    With --rate, calls are due at random times and latency counts from then, so that a server which falls behind shows
    it; calls for which no caller was free are counted as late, and as unsent where none was free before the end.
    """
    from ledger.cli.connect import open_ledger
    from ledger.client.load import run_load
    from ledger.clock import SystemClock

    way = _Way(raw, stream)
    if stream and load.batch > 1:
        raise click.UsageError("--stream sends one event a message; leave out --batch")
    name = settings.log or _make_log(settings)
    # A key that the environment pins is that of the user's own log, and counts for no other.
    named = settings if settings.key else replace(settings, log=None)
    with open_ledger(named, log=name) as ledger:
        if settings.log is not None and not consent:
            _refuse_entries_of_others(ledger, name)
        sender = _sender(way, ledger, replace(settings.options(), log=name))
        try:
            with progress_bar(f"load on {name}", round(load.seconds)) as progress:
                result = run_load(load.plan(), sender, SystemClock(), lambda passed: progress(int(passed)))
        finally:
            sender.close()
    format_ = Format(output_format)
    write_record(_record(name, way, load, result, format_), format_)


def _make_log(settings: Settings) -> str:
    from ledger.cli.connect import open_administration

    name = f"bench-{os.urandom(4).hex()}"
    with open_administration(settings) as administration:
        try:
            administration.create_log(name)
        except PermissionMissingError as error:
            raise PermissionMissingError(
                "a log of its own can be made by a server administrator only",
                hint=f"have one made with `logproof log create {name}`, with a key that may write and read it; "
                f"then give --log {name}",
            ) from error
    say(f"made log {name} for this run")
    return name


def _refuse_entries_of_others(ledger: Ledger, name: str) -> None:
    """Return if the log holds only what the server and earlier runs wrote, as far as is looked.

    Raises:
        InvalidRequestError: It holds another entry, or this credential may not see.
    """
    from ledger.client.load import SERVICE

    size = ledger.checkpoint().checkpoint.tree_size
    parts = [(0, min(size, _LOOKED_AT)), (max(size - _LOOKED_AT, min(size, _LOOKED_AT)), size)]
    try:
        for begin, end in parts:
            for entry in ledger.read_entries(begin, end) if begin < end else ():
                event = entry.event
                is_own = event is not None and event.source is not None and event.source.service == SERVICE
                if not is_own and (event is None or not event.event_id.startswith(RESERVED_ID_PREFIX)):
                    raise _entries_of_others(name, f"has entry {entry.leaf_index}, which is none of a benchmark")
    except PermissionMissingError as error:
        raise _entries_of_others(name, "holds what this credential may not read") from error


def _entries_of_others(name: str, description: str) -> InvalidRequestError:
    return InvalidRequestError(
        [FieldViolation("log", f"{name} {description}; what is appended can never be removed")],
        hint=f"leave out --log {name} to have a log made for this run, or make one with `logproof log create NAME`; "
        "to append to this one all the same: --append-to-log-of-others",
    )


def _sender(way: _Way, ledger: Ledger, options: Options) -> BareSender | StreamSender | VerifyingSender:
    from ledger.client.senders import BareSender, StreamSender, VerifyingSender

    if way.stream:
        return StreamSender(options)
    return BareSender(options) if way.raw else VerifyingSender(ledger)


def _record(name: str, way: _Way, load: _Load, result: LoadResult, output_format: Format) -> Mapping[str, object]:
    latencies = result.latencies
    record: dict[str, object] = {
        "log": name,
        "load": load.words,
        "way": way.words,
        "seconds": round(result.seconds, 3),
        "calls_acknowledged": latencies.count,
        "events_acknowledged": result.events,
        "events_per_second": round(result.events / result.seconds, 1),
        "calls_refused": result.refused.total(),
        "refused_by_reason": dict(sorted(result.refused.items())),
        "calls_late": result.late,
        "calls_unsent": result.unsent,
        "latency_ms": {
            **{words: latencies.percentile_us(share) / 1000 for words, share in _SHARES},
            "max": latencies.max_us / 1000,
        },
    }
    if output_format is Format.JSON:
        record["histogram_us"] = latencies.buckets()
    return record
