"""Salted commitments to the sections of an event.

A leaf holds commitments instead of sections, so a section and its salt can be deleted while every hash stays valid,
and one section can be shown without the other. The rule that must not break: each section has a salt of its own, 16
random bytes used once; without it, a guessed section could be confirmed from the public leaf.
"""

from __future__ import annotations

import hashlib
from typing import Final

SALT_SIZE: Final = 16
"""Bytes of a salt."""

EVENT_COMMIT_PREFIX: Final = b"logproof/commit/v1\x00\x01"
"""What is hashed before the salt of an event section."""

PERSONAL_COMMIT_PREFIX: Final = b"logproof/commit/v1\x00\x02"
"""What is hashed before the salt of a personal section."""


def commit_event(salt: bytes, data: bytes) -> bytes:
    """Return the commitment to an event section.

    Args:
        salt: 16 random bytes of this section.
        data: The section as the client sent it.

    Returns:
        32 bytes: SHA-256 of the prefix, the salt and the section.

    Raises:
        ValueError: The salt does not have 16 bytes.
    """
    return _commit(EVENT_COMMIT_PREFIX, salt, data)


def commit_personal(salt: bytes, data: bytes) -> bytes:
    """Return the commitment to a personal section.

    Args:
        salt: 16 random bytes of this section, not those of the event section.
        data: The section as the client sent it; not empty, because an empty section is none.

    Returns:
        32 bytes: SHA-256 of the prefix, the salt and the section.

    Raises:
        ValueError: The salt does not have 16 bytes, or the section is empty.
    """
    if not data:
        msg = "an empty personal section is none, and has no commitment"
        raise ValueError(msg)
    return _commit(PERSONAL_COMMIT_PREFIX, salt, data)


def _commit(prefix: bytes, salt: bytes, data: bytes) -> bytes:
    # A salt of another length would let two (salt, section) pairs have the same concatenation.
    if len(salt) != SALT_SIZE:
        msg = f"a salt has {SALT_SIZE} bytes, not {len(salt)}"
        raise ValueError(msg)
    return hashlib.sha256(prefix + salt + data).digest()
