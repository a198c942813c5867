from __future__ import annotations

from tests.vectors.generate_events import FILE, events, render

# What must be accepted, so that a reader that began to refuse would not just change the file.
_ACCEPTED = {"leaves": 6, "sections": 14, "bundles": 3, "actions": 4}


def test_making_the_vectors_again_gives_the_same_bytes() -> None:
    assert FILE.read_bytes() == render(), "run: python -m tests.vectors.generate_events"


def test_vectors_hold_cases_to_accept_and_to_refuse() -> None:
    found = events()
    assert {kind: sum(case["ok"] for case in found[kind]) for kind in _ACCEPTED} == _ACCEPTED
    assert all(any(not case["ok"] for case in found[kind]) for kind in _ACCEPTED)
    assert sum(case.get("newer", False) for case in found["sections"]) == 3
