from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ledger import errors
from tests.support.documentation import ROOT, pages

# The words of the field, each with one meaning; docs/glossary.md says which.
_TERMS = [
    "anchor", "checkpoint", "consistency proof", "cosignature", "entry", "entry bundle", "event", "event id",
    "inclusion proof", "integrated", "leaf", "leaf hash", "leaf index", "log", "origin", "principal", "published",
    "receipt", "root hash", "section", "signed checkpoint", "tree head", "tree size", "verifier key", "witness",
]  # fmt: skip
# Other words for the same, which would make a reader look for a difference.
_OTHER_WORDS = re.compile(
    r"\b(?:leaf (?:id|position|number)|tree (?:height|length)|merkle root|root digest|block hash)s?\b", re.IGNORECASE
)


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("which", ["demo", "tests"])
def test_readme_has_each_of_its_two_commands_once_as_one_line(which: str) -> None:
    command = [sys.executable, str(ROOT / ".ci" / "readme_command.py"), which]
    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert line.startswith("python3 -m venv .venv && ")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    "name",
    [
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "docs/architecture.md",
        "docs/auditor.md",
        "docs/errors.md",
        "docs/formats.md",
        "docs/glossary.md",
    ],
)
def test_page_exists(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0


def test_architecture_page_names_every_package() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = [path.parent.name for path in (ROOT / "ledger").glob("*/__init__.py")]

    assert [name for name in packages if f"`{name}" not in text and f"ledger/{name}" not in text] == []


def test_glossary_defines_each_term() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").lower()
    defined = set(re.findall(r"\*\*(.+?)\*\*", text)) | set(re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE))

    assert [term for term in _TERMS if term not in defined] == []


def test_pages_use_the_words_of_the_glossary() -> None:
    others = [page for page in pages() if page.name != "glossary.md"]
    found = [f"{page.name}: {match}" for page in others for match in _OTHER_WORDS.findall(page.read_text("utf-8"))]

    assert found == []


def test_errors_page_has_every_reason() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    reasons = {kind.reason for kind in classes if issubclass(kind, errors.LedgerError)}

    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in text] == []


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in [*pages(), ROOT / "CHANGELOG.md"]:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            path = page.parent / name if name else page
            if not path.exists() or (anchor and path.suffix == ".md" and anchor not in _anchors(path)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")

    assert broken == []


def test_decision_records_are_numbered_without_gaps_and_say_what_was_decided_and_what_it_costs() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))

    assert [record.name[:4] for record in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(record.name[:4])}. "), record.name
        for heading in ("## Context", "## Options", "## Decision", "## Costs"):
            assert f"\n{heading}\n" in text, f"{record.name} lacks {heading}"


def test_every_tier_of_tests_is_defined_in_the_same_words_everywhere() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]
    definitions = [marker.partition(": ")[2].partition("; .ci/run")[0] for marker in settings["markers"]]
    definitions.append("what needs nothing but the clone, under 3 minutes on 2 cores")

    for place in ("pyproject.toml", "docs/contributor.md", ".ci/run"):
        text = " ".join((ROOT / place).read_text("utf-8").split())
        assert [words for words in definitions if words not in text] == [], place
