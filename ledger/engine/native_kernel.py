"""The native kernel: the functions of `logproof_native`, where that is installed.

The only importer of that module. The rule that must not break: a module whose functions are of another version is not
called, whatever it offers.
"""

from __future__ import annotations

from typing import Final

import logproof_native

from ledger.engine.kernel import Sealed
from ledger.engine.requests import AppendedEntries, NewEntry
from ledger.merkle.compact import CompactRange
from ledger.merkle.hashing import split_hashes

INTERFACE: Final = 1
"""The version of its functions that is called here."""

if getattr(logproof_native, "INTERFACE", 0) != INTERFACE:
    raise ImportError(
        f"logproof_native {logproof_native.__version__} has not the interface {INTERFACE} that this program calls"
    )


class NativeKernel:
    """The functions with the types of a `Kernel`."""

    name = f"native {logproof_native.__version__}"

    def check(self, pairs: list[tuple[bytes, bytes]]) -> list[bytes | None]:
        """Return the event ids of sections that are surely good."""
        return logproof_native.check(pairs)

    def seal(
        self, entries: list[NewEntry], prefixes: list[bytes], salts: bytes, previous: bytes, tree: CompactRange
    ) -> Sealed:
        """Return the sealed entries."""
        leaves, events, personals, hashes, last, frontier, root = logproof_native.seal(
            entries, prefixes, salts, previous, tree.tree_size, b"".join(tree.hashes)
        )
        return Sealed(leaves, events, personals, hashes, last, tuple(split_hashes(frontier)), root)

    def derive_root(self, leaves: list[bytes], tree: CompactRange) -> bytes:
        """Return the root after more leaves."""
        return logproof_native.derive_root(leaves, tree.tree_size, b"".join(tree.hashes))

    def acknowledge(self, entries: AppendedEntries) -> bytes | None:
        """Return the acknowledgements as bytes."""
        return logproof_native.acknowledge(
            entries.first_index, entries.leaves, entries.event_sections, entries.personal_sections
        )
