"""How gRPC is set up: every default that would let a peer cost us more than it should, replaced.

The rule that must not break: SO_REUSEPORT is off. With it on, which is gRPC's default, a second server would share the
port silently.

Source: grpc/impl/channel_arg_names.h.
"""

from __future__ import annotations

from typing import Final

_MIB = 1024 * 1024
_SECOND_MS = 1000
_MINUTE_MS = 60 * _SECOND_MS

MAX_CONCURRENT_RPCS: Final = 1000
"""Calls at a time, long streams included; more are refused."""

SERVER_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.so_reuseport", 0),
    # Above our own limit for a batch, so that ours answers; counts after decompression.
    ("grpc.max_receive_message_length", 5 * _MIB),
    # Below the default limit of clients, so that stock clients can read every answer.
    ("grpc.max_send_message_length", 7 * _MIB // 2),
    ("grpc.max_metadata_size", 8192),
    ("grpc.absolute_max_metadata_size", 8192),
    ("grpc.max_concurrent_streams", 1000),
    # Identity only: sections are small and often hold what does not compress.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.server_handshake_timeout_ms", 5 * _SECOND_MS),
    ("grpc.keepalive_time_ms", _MINUTE_MS),
    ("grpc.keepalive_timeout_ms", 20 * _SECOND_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 30 * _SECOND_MS),
    ("grpc.max_connection_idle_ms", 5 * _MINUTE_MS),
    ("grpc.max_connection_age_ms", 30 * _MINUTE_MS),
    ("grpc.max_connection_age_grace_ms", 30 * _SECOND_MS),
)
"""Options of the gRPC server."""
