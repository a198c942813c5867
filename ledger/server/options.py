"""How gRPC is set up: every default that would let a peer cost us more than it should, replaced.

The rule that must not break: SO_REUSEPORT is off. With it on, which is gRPC's default, a second server would share the
port silently.

Source: grpc/impl/channel_arg_names.h.
"""

from __future__ import annotations

from typing import Final

from ledger.server.config import ConnectionLimits

_MIB = 1024 * 1024
_SECOND_MS = 1000

MAX_CONCURRENT_RPCS: Final = 2000
"""Calls at a time; more are refused by gRPC. Above all our own places together, so that ours answer."""


def server_options(limits: ConnectionLimits) -> tuple[tuple[str, int], ...]:
    """Return the options of the gRPC server.

    Args:
        limits: Bounds of connections.
    """
    return (
        ("grpc.so_reuseport", 0),
        # Above our own limit for a batch, so that ours answers; counts after decompression.
        ("grpc.max_receive_message_length", 5 * _MIB),
        # Below the default limit of clients, so that stock clients can read every answer.
        ("grpc.max_send_message_length", 7 * _MIB // 2),
        ("grpc.max_metadata_size", 8192),
        ("grpc.absolute_max_metadata_size", 8192),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.max_concurrent_streams", limits.streams),
        # Otherwise streams that have ended, and are not cleared away yet, count as well, and busy clients that keep to
        # the limit are refused.
        ("grpc.http.overload_protection", 0),
        # What has arrived and was not yet looked at: the loop is that far behind only when flooded.
        ("grpc.server.max_pending_requests", MAX_CONCURRENT_RPCS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * MAX_CONCURRENT_RPCS),
        # A call that is not let in has no more than this of its message in memory.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 64 * 1024),
        # Identity only: sections are small and often hold what does not compress.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.server_handshake_timeout_ms", _ms(limits.handshake_seconds)),
        ("grpc.keepalive_time_ms", _ms(limits.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _ms(limits.keepalive_timeout_seconds)),
        # What really ends a connection whose other end is silent; a minute by default.
        ("grpc.http2.ping_timeout_ms", _ms(limits.keepalive_timeout_seconds)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 30 * _SECOND_MS),
        ("grpc.max_connection_idle_ms", _ms(limits.idle_seconds)),
        ("grpc.max_connection_age_ms", _ms(limits.age_seconds)),
        ("grpc.max_connection_age_grace_ms", _ms(limits.grace_seconds)),
        ("grpc.enable_channelz", 0),
    )


def _ms(seconds: float) -> int:
    return round(seconds * _SECOND_MS)
