from __future__ import annotations

import pytest

from tests.vectors.generate import FOLDER, KINDS, render


@pytest.mark.parametrize("kind", KINDS)
def test_making_the_vectors_again_gives_the_same_bytes(kind: str) -> None:
    assert (FOLDER / f"{kind}.json").read_bytes() == render(kind), "run: python -m tests.vectors.generate"


def test_every_file_of_vectors_has_its_generator() -> None:
    modules = {path.stem.removeprefix("generate_") for path in FOLDER.glob("generate_*.py")}
    assert {path.stem for path in FOLDER.glob("*.json")} == set(KINDS) | modules


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_described(kind: str) -> None:
    assert f"`{kind}.json`" in (FOLDER / "README.md").read_text("utf-8")
