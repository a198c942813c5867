"""`logproof serve`: run a server on a data directory."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import click

from ledger.rpc.limits import CallLimits, RateLimits
from ledger.server.app import LedgerServer, Serving
from ledger.server.config import (
    DEFAULT_LISTEN,
    ConnectionLimits,
    ServerConfig,
    TlsFiles,
    invalid_setting,
    parse_address,
)
from ledger.telemetry.logs import LogFormat, configure_logs

_CALLS, _CONNECTIONS = CallLimits(), ConnectionLimits()
_ALLOCATIONS_BEFORE_COLLECTION = 50_000
_SWITCH_SECONDS = 0.0005


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    envvar="LOGPROOF_DATA",
    help="Data directory; made, with mode 0700, where there is none or an empty one.",
)
@click.option(
    "--listen",
    default=DEFAULT_LISTEN,
    show_default=True,
    metavar="HOST:PORT",
    help="Where gRPC listens; a loopback address unless TLS is set up; port 0 for any free one.",
)
@click.option("--http", metavar="HOST:PORT", help="Where HTTP listens, with /healthz and /metrics; off unless given.")
@click.option(
    "--guard-dir",
    type=click.Path(path_type=Path),
    help="Directory of the high-water guards, best on another volume; never part of a backup.",
)
@click.option(
    "--guard",
    type=click.Choice(["strict", "relaxed"]),
    default="strict",
    show_default=True,
    help="Whether the guard is written before each answer, or once a second.",
)
@click.option(
    "--origin-prefix",
    metavar="HOST[/PATH]",
    help="What the origins of a new server's logs begin with: a name that you own. Cannot change later.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate chain of the server, PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Private key of that certificate, PEM, mode 0600.")
@click.option(
    "--tls-client-ca",
    type=click.Path(path_type=Path),
    help="Authorities of client certificates, PEM; every client must then have one.",
)
@click.option(
    "--quota-events",
    type=click.FloatRange(min=0),
    default=_CALLS.rates.events_per_second,
    show_default=True,
    metavar="N",
    help="Events a second that one credential may append in the long run; 0 for no limit.",
)
@click.option(
    "--quota-bytes",
    type=click.FloatRange(min=0),
    default=_CALLS.rates.bytes_per_second,
    show_default=True,
    metavar="N",
    help="Bytes a second of the requests that bring them; 0 for no limit.",
)
@click.option(
    "--quota-burst",
    type=click.FloatRange(min=0, min_open=True),
    default=_CALLS.rates.burst_seconds,
    show_default=True,
    metavar="SECONDS",
    help="How many seconds' worth of both may come at once after a pause.",
)
@click.option(
    "--max-wait",
    type=click.FloatRange(min=0, min_open=True),
    default=_CALLS.max_wait_seconds,
    show_default=True,
    metavar="SECONDS",
    help="Appends that would take longer are refused, with when to come back, but for a few; see docs/operator.md.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(min=1),
    default=_CONNECTIONS.connections,
    show_default=True,
    metavar="N",
    help="gRPC connections at a time; more are closed at once.",
)
@click.option(
    "--reflection",
    is_flag=True,
    help="Tell the schema to tools that ask for it, such as grpcurl, without a credential.",
)
@click.option(
    "--log-format",
    type=click.Choice([log_format.value for log_format in LogFormat]),
    default=LogFormat.AUTO.value,
    show_default=True,
    help="How the server's own log lines are written to stderr; auto is text on a terminal.",
)
def command(  # noqa: PLR0913 - each option is an argument
    *,
    data: Path,
    listen: str,
    http: str | None,
    guard_dir: Path | None,
    guard: str,
    origin_prefix: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    quota_events: float,
    quota_bytes: float,
    quota_burst: float,
    max_wait: float,
    max_connections: int,
    reflection: bool,
    log_format: str,
) -> None:
    """Run a server until SIGTERM or Ctrl-C.

    The first start makes the data directory, the logs `_system` and `default`, and an API key for everything in
    DIR/admin.key. The last line that a start prints is `ready`.

    Exit codes: 0 stopped in order, 2 a setting is wrong or the port is taken, 74 the data cannot be used: of a newer
    version, owned by another process, readable by others, on a full or read-only disk.
    """
    config = ServerConfig(
        data=data.absolute(),
        listen=parse_address(listen, "listen"),
        http=None if http is None else parse_address(http, "http"),
        guard=None if guard_dir is None else guard_dir.absolute(),
        relaxed_guard=guard == "relaxed",
        origin_prefix=origin_prefix,
        tls=_tls(tls_cert, tls_key, tls_client_ca),
        calls=CallLimits(max_wait_seconds=max_wait, rates=RateLimits(quota_events, quota_bytes, quota_burst)),
        connections=ConnectionLimits(connections=max_connections),
        reflection=reflection,
    )
    configure_logs(LogFormat(log_format))
    # Else a writer whose sync is done may wait ten times as long for the loop, which is busy with refusals in a flood.
    sys.setswitchinterval(_SWITCH_SECONDS)
    LedgerServer(config, say=_say, on_ready=_spare_the_collector).run()


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise invalid_setting(
            "tls_cert", "a certificate and its private key go together", "give --tls-cert and --tls-key"
        )
    return TlsFiles(certificate, key, client_ca)


def _spare_the_collector(_serving: Serving) -> None:
    """Let the garbage collector look seldom, and never at what lives as long as the process.

    A batch makes thousands of small tuples that are gone with its answer and in no cycle. With the defaults the
    collector walks all modules and logs again and again on their account, which took a tenth of the server's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_BEFORE_COLLECTION)


def _say(line: str) -> None:
    # At once, because a program may wait for it: `echo` flushes.
    click.echo(line)
