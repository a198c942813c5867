"""The loops that an append spends its time in, over a whole batch: check, seal, derive again, acknowledge.

There are two kernels. The one in Python is the reference, and runs everywhere. The native one, the distribution
`logproof-native`, runs where it is installed, and does its work with the interpreter released. The rules that must not
break: both give the same bytes; the native one accepts only what the Python one accepts; and it is used only where its
functions are of the version that is called here, and where each of them was seen, in this process, to do with a sample
what the Python one does.
"""

from __future__ import annotations

import functools
import logging
import os
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

from ledger.engine.requests import AppendedEntries, NewEntry
from ledger.errors import EventTooLargeError, InvalidEventError
from ledger.events.codec import check_sections, encode_sections
from ledger.events.commitments import EVENT_COMMIT_PREFIX, PERSONAL_COMMIT_PREFIX, SALT_SIZE
from ledger.events.event import Event, PersonalData
from ledger.events.leaf import EVENT_TAG, HASH_SIZE, PERSONAL_TAG, PREVIOUS_TAG
from ledger.merkle.compact import CompactRange
from ledger.merkle.hashing import hash_leaf

SWITCH: Final = "LOGPROOF_NATIVE"
"""The environment variable that, set to `off`, keeps the native kernel out of use."""

_LOGGER = logging.getLogger(__name__)


class Sealed(NamedTuple):
    """Entries sealed in a chain, as columns of equal length, and the tree after them.

    Attributes:
        leaves: Leaves.
        event_sections: Salt (16 bytes) and event section.
        personal_sections: Salt (16 bytes) and personal section; empty bytes for none.
        hashes: The stored hashes that the leaves complete, 32 bytes each, one after another.
        last_leaf_hash: Leaf hash of the last entry, 32 bytes.
        frontier: Roots of the perfect subtrees after them, largest first, 32 bytes each.
        root_hash: Root after them, 32 bytes.
    """

    leaves: list[bytes]
    event_sections: list[bytes]
    personal_sections: list[bytes]
    hashes: bytes
    last_leaf_hash: bytes
    frontier: tuple[bytes, ...]
    root_hash: bytes


class Kernel(Protocol):
    """What both kernels do. Thread-safe."""

    @property
    def name(self) -> str:
        """Return which one it is, for people."""

    def check(self, pairs: list[tuple[bytes, bytes]]) -> list[bytes | None]:
        """Return the event id of each pair of sections that is good.

        Args:
            pairs: Event section, and personal section or empty bytes.

        Returns:
            One for each pair; None where it is refused or not decided, so that `check_sections` has to say.
        """

    def seal(
        self, entries: list[NewEntry], prefixes: list[bytes], salts: bytes, previous: bytes, tree: CompactRange
    ) -> Sealed:
        """Return entries sealed one after another, and added to the tree.

        Args:
            entries: The entries, at least one.
            prefixes: What the leaf of each begins with, see `leaf_prefix`.
            salts: Two random salts for each entry, that of the event section first.
            previous: Leaf hash of the entry before, 32 bytes.
            tree: The tree before.
        """

    def derive_root(self, leaves: list[bytes], tree: CompactRange) -> bytes:
        """Return the root, 32 bytes, of a tree after more leaves."""

    def acknowledge(self, entries: AppendedEntries) -> bytes | None:
        """Return the acknowledgements as part of a serialised `AppendBatchResponse`; None where it makes none."""


class PythonKernel:
    """The reference."""

    name = "python"

    def check(self, pairs: list[tuple[bytes, bytes]]) -> list[bytes | None]:
        """Return the event ids of good sections."""
        try:
            return [check_sections(event, personal).encode() for event, personal in pairs]
        except (InvalidEventError, EventTooLargeError):
            return [_event_id(event, personal) for event, personal in pairs]

    def seal(
        self, entries: list[NewEntry], prefixes: list[bytes], salts: bytes, previous: bytes, tree: CompactRange
    ) -> Sealed:
        """Return the sealed entries: one pass over them, with no call but the hash."""
        leaves: list[bytes] = []
        leaf_hashes: list[bytes] = []
        events: list[bytes] = []
        personals: list[bytes] = []
        offset = 0
        for (_, event, personal), prefix in zip(entries, prefixes, strict=True):
            salted = salts[offset : offset + SALT_SIZE] + event
            events.append(salted)
            commitment = sha256(EVENT_COMMIT_PREFIX + salted).digest()
            leaf = prefix + PREVIOUS_TAG + previous + EVENT_TAG + commitment
            if personal:
                salted = salts[offset + SALT_SIZE : offset + 2 * SALT_SIZE] + personal
                leaf += PERSONAL_TAG + sha256(PERSONAL_COMMIT_PREFIX + salted).digest()
                personals.append(salted)
            else:
                personals.append(b"")
            previous = sha256(b"\x00" + leaf).digest()
            leaves.append(leaf)
            leaf_hashes.append(previous)
            offset += 2 * SALT_SIZE
        tree, hashes = tree.extend(leaf_hashes)
        return Sealed(leaves, events, personals, b"".join(hashes), previous, tree.hashes, tree.root())

    def derive_root(self, leaves: list[bytes], tree: CompactRange) -> bytes:
        """Return the root after more leaves."""
        return tree.extend([hash_leaf(leaf) for leaf in leaves])[0].root()

    def acknowledge(self, entries: AppendedEntries) -> bytes | None:  # noqa: ARG002 - the other kernel needs them
        """Return None: messages are made where they are known."""
        return None


PYTHON: Final = PythonKernel()
"""The Python kernel."""


# Two entries of one commit, the second with a personal section, and their acknowledgements as a message has them.
_SAMPLE_APPENDED: Final = AppendedEntries(
    300, [b"leaf", b"leaf 2"], [bytes(range(16)) + b"event"] * 2, [b"", bytes(range(16, 32)) + b"personal"]
)
_SAMPLE_ACKNOWLEDGED: Final = bytes.fromhex(
    "0a1d080110ac021a046c6561662210000102030405060708090a0b0c0d0e0f0a31080110ad021a066c656166203222100001"
    "02030405060708090a0b0c0d0e0f2a10101112131415161718191a1b1c1d1e1f"
)


def check_batch(
    kernel: Kernel, pairs: list[tuple[bytes, bytes]]
) -> tuple[list[NewEntry], dict[int, InvalidEventError | EventTooLargeError]]:
    """Return the entries of good sections in order, and the errors of the others by position.

    What the kernel does not decide is decided here, in the words of the strict reader.

    Args:
        kernel: The kernel.
        pairs: Event section, and personal section or empty bytes.
    """
    entries = []
    refused: dict[int, InvalidEventError | EventTooLargeError] = {}
    for position, (known_id, (event, personal)) in enumerate(zip(kernel.check(pairs), pairs, strict=True)):
        try:
            event_id = check_sections(event, personal).encode() if known_id is None else known_id
            entries.append(NewEntry(event_id, event, personal))
        except (InvalidEventError, EventTooLargeError) as error:
            # Its traceback would keep this frame, and the frame the error and all sections.
            refused[position] = error.with_traceback(None)
    return entries, refused


@functools.cache
def installed_kernel() -> Kernel:
    """Return the kernel of this process: the native one where it is installed, fits, and is not switched off."""
    return choose_kernel(os.environ.get(SWITCH, ""))


def choose_kernel(switch: str) -> Kernel:
    """Return the kernel to use; tells in the log why an installed one is not.

    Args:
        switch: `off` for the Python one; anything else for the native one where it can be used.
    """
    if switch == "off":
        return PYTHON
    try:
        from ledger.engine.native_kernel import NativeKernel  # noqa: PLC0415 - what it imports may not be there
    except ModuleNotFoundError:
        return PYTHON
    except ImportError as error:
        _LOGGER.warning("the native kernel is not used", extra={"problem": str(error)})
        return PYTHON
    native = NativeKernel()
    if not _agrees(native):
        _LOGGER.error(
            "the native kernel is not used", extra={"problem": "it does with a sample what this program does not"}
        )
        return PYTHON
    return native


def _agrees(kernel: Kernel) -> bool:
    """Return whether a kernel does with a sample what the reference does; for a module that was built wrong."""
    entries = [NewEntry(b"", b"event", b""), NewEntry(b"", b"event" * 40, b"personal" * 20)] * 2
    prefixes = [b"prefix"] * len(entries)
    salts = bytes(range(2 * SALT_SIZE * len(entries)))
    tree = CompactRange(3, (b"\x01" * HASH_SIZE, b"\x02" * HASH_SIZE))
    good = encode_sections(Event(event_id="e-1", action="a.b", occurred_at=1), PersonalData(actor_name="a"))
    pairs = [good, (good[0], b""), (good[0], b"\xff"), (good[0][:-1], b""), (b"", b"")]
    try:
        checked = kernel.check(pairs)
        sealed = kernel.seal(entries, prefixes, salts, b"\x03" * HASH_SIZE, tree)
        root = kernel.derive_root(sealed.leaves, tree)
        packed = kernel.acknowledge(_SAMPLE_APPENDED)
    except Exception:
        _LOGGER.exception("the native kernel fails on a sample")
        return False
    return (
        checked == PYTHON.check(pairs)
        and sealed == PYTHON.seal(entries, prefixes, salts, b"\x03" * HASH_SIZE, tree)
        and root == sealed.root_hash
        and packed in {None, _SAMPLE_ACKNOWLEDGED}
    )


def _event_id(event: bytes, personal: bytes) -> bytes | None:
    try:
        return check_sections(event, personal).encode()
    except (InvalidEventError, EventTooLargeError):
        return None
