"""The tree as RFC 9162 section 2.1 defines it: plain recursion over lists, no arithmetic, no speed.

It shares nothing with `ledger.merkle`: the tests compare the two, and our vectors are made with this one. D is a list
of leaf hashes; the names of the functions are the RFC's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence


def leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def largest_power_of_two_below(n: int) -> int:
    k = 1
    while 2 * k < n:
        k = 2 * k
    return k


def mth(d: Sequence[bytes]) -> bytes:
    """Section 2.1.1."""
    n = len(d)
    if n == 0:
        return hashlib.sha256(b"").digest()
    if n == 1:
        return d[0]
    k = largest_power_of_two_below(n)
    return node(mth(d[:k]), mth(d[k:]))


def path(m: int, d: Sequence[bytes]) -> list[bytes]:
    """Section 2.1.3.1."""
    n = len(d)
    if n == 1:
        return []
    k = largest_power_of_two_below(n)
    if m < k:
        return [*path(m, d[:k]), mth(d[k:])]
    return [*path(m - k, d[k:]), mth(d[:k])]


def proof(m: int, d: Sequence[bytes]) -> list[bytes]:
    """Section 2.1.4.1, and for m = 0 the empty proof."""
    return subproof(m, d, whole=True) if m else []


def subproof(m: int, d: Sequence[bytes], *, whole: bool) -> list[bytes]:
    n = len(d)
    if m == n:
        return [] if whole else [mth(d)]
    k = largest_power_of_two_below(n)
    if m <= k:
        return [*subproof(m, d[:k], whole=whole), mth(d[k:])]
    return [*subproof(m - k, d[k:], whole=False), mth(d[:k])]


def rest(wanted: Collection[int], d: Sequence[bytes], begin: int = 0) -> list[bytes]:
    """The proof of several leaves: the largest subtrees that hold none of them, left to right.

    `wanted` are leaf indexes; `d` begins at index `begin`.
    """
    inside = [index for index in wanted if begin <= index < begin + len(d)]
    if not inside:
        return [mth(d)]
    if len(d) == 1:
        return []
    k = largest_power_of_two_below(len(d))
    return rest(inside, d[:k], begin) + rest(inside, d[k:], begin + k)


def stored(d: Sequence[bytes]) -> list[bytes]:
    """The hashes that a store of these leaves holds: after each leaf, every perfect subtree that it completes."""
    hashes = []
    for size in range(1, len(d) + 1):
        width = 1
        while size % width == 0:
            hashes.append(mth(d[size - width : size]))
            width = 2 * width
    return hashes
