from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.documentation import ROOT, tracked_files

# Written so that this file is not its own finding.
_FOLDER = r"/(?:ro{2}t|ho[m]e|Us[e]rs|wo[r]k|fa[r]m|tm[p]/\w+)"
_MACHINE_PATH = re.compile(r"(?<![\w./:}>)\]-])" + _FOLDER + r"(?![\w-])")
_UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")
_TEXT_SUFFIXES = {"", ".md", ".py", ".pyi", ".toml", ".txt", ".in", ".sh", ".proto", ".yaml", ".js", ".json", ".ndjson"}


def _texts() -> list[tuple[Path, str]]:
    files = [path for path in tracked_files() if path.suffix in _TEXT_SUFFIXES]
    return [(path.relative_to(ROOT), path.read_text(encoding="utf-8")) for path in files]


def _findings(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path, text in _texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


@pytest.mark.parametrize("text", ["see /ro" + "ot/x", '"/ho' + 'me/me/x"', "(/wo" + "rk/main)", "/tm" + "p/lp/venv"])
def test_the_search_for_machine_paths_finds_them(text: str) -> None:
    assert _MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["tile/root/", "https://log.example/home/", "root_hash", "a/home/b"])
def test_the_search_for_machine_paths_leaves_other_text_alone(text: str) -> None:
    assert not _MACHINE_PATH.search(text)


def test_no_file_names_a_path_of_one_machine() -> None:
    assert _findings(_MACHINE_PATH) == []


def test_no_file_says_that_it_is_unfinished() -> None:
    assert _findings(_UNFINISHED) == []


def test_locks_name_no_package_index() -> None:
    locks = sorted((ROOT / ".ci").glob("*constraints*.txt"))

    assert len(locks) == 4
    for lock in locks:
        assert not re.search(r"://|^--(?:index|extra|find)", lock.read_text(), flags=re.MULTILINE), lock.name


def test_every_locked_version_has_hashes() -> None:
    for lock in (ROOT / ".ci").glob("*constraints*.txt"):
        for entry in re.split(r"\n(?=\w)", lock.read_text().strip()):
            assert "--hash=sha256:" in entry, f"{lock.name}: {entry}"


def test_text_files_end_with_one_newline_and_have_no_trailing_space() -> None:
    for path, text in _texts():
        if path.suffix in {".md", ".toml", ".in", ""}:
            assert text.endswith("\n"), path
            assert not text.endswith("\n\n"), path
            assert not re.search(r"[ \t]+$", text, flags=re.MULTILINE) or path.name == "LICENSE", path
