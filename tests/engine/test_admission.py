"""The leaves that the writing step builds by hand are those of the one encoder."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.engine.admission import Group
from ledger.engine.requests import AppendRequest, NewEntry
from ledger.events.commitments import SALT_SIZE, commit_event, commit_personal
from ledger.events.leaf import PRINCIPAL_SIZE, Leaf, encode_leaf, genesis_hash
from ledger.merkle.hashing import EMPTY_ROOT, hash_leaf
from ledger.storage.api import HeadRecord, StoreMeta
from ledger.storage.memory import MemoryStore
from tests.support.engine_lab import ORIGIN, RepeatableRandom
from tests.support.kernels import KERNELS, kernel_named
from tests.support.naive_tree import mth

_GENESIS = HeadRecord(0, EMPTY_ROOT, (), genesis_hash(ORIGIN), 0)
_SECTION_PAIRS = st.tuples(st.binary(min_size=1, max_size=200), st.binary(max_size=200))
_PRINCIPALS = st.binary(min_size=PRINCIPAL_SIZE, max_size=PRINCIPAL_SIZE).filter(any)


@pytest.mark.parametrize("kernel", KERNELS)
@given(
    recorded_at=st.integers(1, (1 << 64) - 1),
    catalogue=st.integers(1, (1 << 32) - 1),
    seed=st.binary(max_size=8),
    groups=st.lists(
        st.lists(st.tuples(_PRINCIPALS, st.lists(_SECTION_PAIRS, min_size=1, max_size=4)), min_size=1, max_size=4),
        min_size=1,
        max_size=3,
    ),
)
def test_a_leaf_made_in_the_hot_loop_is_the_leaf_that_the_encoder_makes(
    recorded_at: int,
    catalogue: int,
    seed: bytes,
    groups: Sequence[Sequence[tuple[bytes, Sequence[tuple[bytes, bytes]]]]],
    kernel: str,
) -> None:
    store = MemoryStore.create(StoreMeta(ORIGIN, 1), _GENESIS)
    random = RepeatableRandom(seed)
    head, previous, leaf_hashes = _GENESIS, genesis_hash(ORIGIN), []
    for requests in groups:
        group = Group(recorded_at, catalogue, random)
        written = []
        with store.write() as transaction:
            for principal, sections in requests:
                first = head.tree_size + group.size
                entries = [NewEntry(b"id-%d" % (first + n), *pair) for n, pair in enumerate(sections)]
                group.admit(transaction, AppendRequest("", principal, entries), {})
                written += [(principal, pair) for pair in sections]
            head, sealed = group.write(transaction, head, kernel_named(kernel))
        for (principal, (event, personal)), leaf, salted_event, salted_personal in zip(
            written, sealed.leaves, sealed.event_sections, sealed.personal_sections, strict=True
        ):
            assert salted_event[SALT_SIZE:] == event
            assert salted_personal[SALT_SIZE:] == personal
            assert leaf == encode_leaf(
                Leaf(
                    recorded_at,
                    principal,
                    catalogue,
                    previous,
                    commit_event(salted_event[:SALT_SIZE], event),
                    commit_personal(salted_personal[:SALT_SIZE], personal) if personal else None,
                )
            )
            previous = hash_leaf(leaf)
            leaf_hashes.append(previous)
        assert head == HeadRecord(len(leaf_hashes), mth(leaf_hashes), head.frontier, previous, recorded_at)


@pytest.mark.parametrize("kernel", KERNELS)
@given(sections=st.lists(_SECTION_PAIRS, min_size=2, max_size=8))
def test_no_two_sections_share_a_salt(sections: Sequence[tuple[bytes, bytes]], kernel: str) -> None:
    store = MemoryStore.create(StoreMeta(ORIGIN, 1), _GENESIS)
    group = Group(1, 1, RepeatableRandom())
    entries = [NewEntry(b"id-%d" % n, *pair) for n, pair in enumerate(sections)]
    with store.write() as transaction:
        group.admit(transaction, AppendRequest("", b"principal-writer", entries), {})
        _, sealed = group.write(transaction, _GENESIS, kernel_named(kernel))
    salts = [salted[:SALT_SIZE] for salted in [*sealed.event_sections, *filter(None, sealed.personal_sections)]]
    assert len(set(salts)) == len(salts)
