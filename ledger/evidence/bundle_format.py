"""What a bundle is made of: the names and sizes of its files, and the manifest that lists them.

The rule that must not break: only the names of this page are read, so that no name can lead anywhere else; and the
manifest is an inventory that nobody signed, so nothing in it counts until hashes that lead to a signed head say so.

Source: docs/formats.md section 18.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ledger.errors import MalformedError
from ledger.events.timestamps import format_timestamp, parse_timestamp
from ledger.evidence.json_text import load_json

FORMAT: Final = "logproof/bundle/v1"
MANIFEST: Final = "manifest.json"
KEY: Final = "keys/log.vkey"
END_NOTE: Final = "checkpoints/end.note"
BEGIN_NOTE: Final = "checkpoints/begin.note"
SINCE_NOTE: Final = "checkpoints/since.note"
RANGE: Final = "proofs/range.json"
ENTRIES: Final = "entries.ndjson"
EVENTS: Final = "events.ndjson"
GUIDE: Final = "VERIFY.md"
SCRIPT: Final = "verify_bundle.py"
PAGE: Final = "verify.html"

ALWAYS: Final = frozenset({MANIFEST, KEY, END_NOTE, RANGE, ENTRIES, EVENTS, GUIDE, SCRIPT, PAGE})
"""The files that every bundle has."""

MAX_RECEIPTS: Final = 10_000
MAX_FILES: Final = MAX_RECEIPTS + 20
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
"""Largest file that is not read line by line."""

MAX_STREAM_BYTES: Final = 1 << 40
"""Largest file that is read line by line."""

STATES: Final = {
    "event": ("shown", "withheld", "erased"),
    "personal": ("none", "shown", "withheld", "erased", "not_asked"),
}
"""What may have become of a section, as the manifest counts it."""

_NUMBER: Final = "(?:0|[1-9][0-9]{0,18})"
_NAME: Final = re.compile(
    f"checkpoints/(?:begin|since)\\.note|proofs/consistency-{_NUMBER}-{_NUMBER}\\.json|receipts/{_NUMBER}\\.tlog-proof"
)
_KEYS: Final = (
    "format",
    "generator",
    "origin",
    "tree_size",
    "begin",
    "end",
    "period",
    "filter",
    "personal",
    "sections",
    "files",
)
_MAX_NUMBER: Final = 2**53 - 1
_MAX_TEXT: Final = 1024
_SHA256: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Period:
    """The time for which entries were asked, by when they were recorded.

    Attributes:
        begin: First microsecond since 1970 in UTC; None for the log's beginning.
        end: The microsecond after the last; None for the newest entry.
    """

    begin: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class BundleFile:
    """A file as the manifest lists it.

    Attributes:
        name: Its name, parts joined by slashes.
        size: Bytes.
        sha256: Hash of its bytes, 64 hex digits.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says that it is; nothing of it is verified.

    Attributes:
        generator: Program and version that made it.
        origin: Origin of the log.
        tree_size: Size of the end checkpoint.
        begin: First index of the range.
        end: Index after the last.
        period: The time that was asked for; None where indexes were.
        personal: Whether personal sections were asked for.
        sections: For both sections, how many entries there are of each of their `STATES`.
        files: All files but the manifest, by name.
    """

    generator: str
    origin: str
    tree_size: int
    begin: int
    end: int
    period: Period | None
    personal: bool
    sections: Mapping[str, Mapping[str, int]]
    files: Mapping[str, BundleFile]


def check_name(name: str) -> None:
    """Return if a file of this name may be in a bundle.

    Raises:
        MalformedError: It may not.
    """
    if name not in ALWAYS and not _NAME.fullmatch(name):
        raise MalformedError(f"{name[:80]!a} is not the name of a file of a bundle")


def check_file_size(name: str, size: int) -> None:
    """Return if a file of this name may have this many bytes.

    Raises:
        MalformedError: It is larger.
    """
    limit = MAX_STREAM_BYTES if name in {ENTRIES, EVENTS} else MAX_FILE_BYTES
    if size > limit:
        raise MalformedError(f"{name} has {size} bytes; the limit is {limit}")


def consistency_name(first_size: int, second_size: int) -> str:
    """Return the name of the file that proves one tree to be a prefix of another."""
    return f"proofs/consistency-{first_size}-{second_size}.json"


def receipt_name(leaf_index: int) -> str:
    """Return the name of the receipt of an entry."""
    return f"receipts/{leaf_index}.tlog-proof"


def format_manifest(manifest: Manifest) -> bytes:
    """Return the manifest file; the inverse of `parse_manifest`."""
    period = manifest.period
    value = {
        "format": FORMAT,
        "generator": manifest.generator,
        "origin": manifest.origin,
        "tree_size": manifest.tree_size,
        "begin": manifest.begin,
        "end": manifest.end,
        "period": None if period is None else {"from": _time_text(period.begin), "to": _time_text(period.end)},
        "filter": None,
        "personal": manifest.personal,
        "sections": {name: dict(counts) for name, counts in manifest.sections.items()},
        "files": [
            {"name": file.name, "size": file.size, "sha256": file.sha256}
            for file in sorted(manifest.files.values(), key=lambda file: file.name)
        ],
    }
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest without verifying what it says.

    Raises:
        MalformedError: It does not have the form of a manifest.
    """
    value = load_json(data, MANIFEST)
    if isinstance(value, dict) and value.get("format") != FORMAT:
        raise MalformedError(f"the bundle's format is {str(value.get('format'))[:80]!a}; this verifier reads {FORMAT}")
    fields = _object(value, _KEYS, MANIFEST)
    if fields["filter"] is not None:
        raise MalformedError("the manifest has a filter; this verifier reads whole ranges")
    counts = _object(fields["sections"], tuple(STATES), "sections")
    manifest = Manifest(
        _text(fields["generator"], "generator"),
        _text(fields["origin"], "origin"),
        _number(fields["tree_size"], "tree_size"),
        _number(fields["begin"], "begin"),
        _number(fields["end"], "end"),
        _period(fields["period"]),
        _yes_or_no(fields["personal"]),
        {name: _counts(counts[name], name) for name in STATES},
        _files(fields["files"]),
    )
    if not manifest.begin <= manifest.end <= manifest.tree_size:
        raise MalformedError(
            f"the manifest names the range [{manifest.begin}, {manifest.end}) of tree size {manifest.tree_size}"
        )
    return manifest


def check_files(manifest: Manifest, sizes: Mapping[str, int]) -> None:
    """Return if the files that are there are those of the manifest, and of the right size.

    Args:
        manifest: The manifest.
        sizes: The bundle's files and their sizes, the manifest among them.

    Raises:
        MalformedError: A file is missing, or one that no manifest lists is there.
    """
    present = sizes.keys() - {MANIFEST}
    for name in sorted(present ^ manifest.files.keys()):
        where = "listed in the manifest and not there" if name not in present else "there and not in the manifest"
        raise MalformedError(f"{name} is {where}")
    for name in sorted(ALWAYS - sizes.keys()):
        raise MalformedError(f"the bundle has no {name}")
    for name in sorted(present):
        if sizes[name] != manifest.files[name].size:
            raise MalformedError(f"{name} has {sizes[name]} bytes; the manifest says {manifest.files[name].size}")


def exact_object(value: object, keys: tuple[str, ...], what: str) -> dict[str, object]:
    """Return a JSON object that has these keys and no others.

    Raises:
        MalformedError: It is something else.
    """
    return _object(value, keys, what)


def exact_number(value: object, what: str) -> int:
    """Return a JSON number that is whole, from 0 to 2**53 - 1.

    Raises:
        MalformedError: It is something else.
    """
    return _number(value, what)


def _object(value: object, keys: Iterable[str], what: str) -> dict[str, object]:
    if not isinstance(value, dict) or value.keys() != set(keys):
        raise MalformedError(f"{what} does not have exactly the keys {', '.join(keys)}")
    return value


def _number(value: object, what: str) -> int:
    # True is an int to Python, and no JSON number.
    if type(value) is not int or not 0 <= value <= _MAX_NUMBER:
        raise MalformedError(f"{what} is not a whole number from 0 to 2**53 - 1")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
        raise MalformedError(f"{what} is not text of up to {_MAX_TEXT} characters")
    return value


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise MalformedError("personal is not true or false")
    return value


def _counts(value: object, name: str) -> dict[str, int]:
    return {state: _number(count, name) for state, count in _object(value, STATES[name], name).items()}


def _period(value: object) -> Period | None:
    if value is None:
        return None
    fields = _object(value, ("from", "to"), "period")
    return Period(_time(fields["from"]), _time(fields["to"]))


def _time_text(time: int | None) -> str | None:
    return None if time is None else format_timestamp(time)


def _time(value: object) -> int | None:
    if value is None:
        return None
    text = _text(value, "a time of the period")
    time = parse_timestamp(text)
    if format_timestamp(time) != text:
        raise MalformedError(f"a time of the period is {text[:40]!a}, not in its one form")
    return time


def _files(value: object) -> dict[str, BundleFile]:
    if not isinstance(value, list) or len(value) >= MAX_FILES:
        raise MalformedError(f"files is not a list of fewer than {MAX_FILES} files")
    files: dict[str, BundleFile] = {}
    for item in value:
        fields = _object(item, ("name", "size", "sha256"), "a file of the manifest")
        name, sha256 = _text(fields["name"], "a file's name"), fields["sha256"]
        check_name(name)
        if name == MANIFEST or name in files:
            raise MalformedError(f"the manifest lists {name}, which it may not, or twice")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise MalformedError(f"sha256 of {name} is not 64 lower-case hex digits")
        files[name] = BundleFile(name, _number(fields["size"], f"the size of {name}"), sha256)
        check_file_size(name, files[name].size)
    if list(files) != sorted(files):
        raise MalformedError("the files of the manifest are not in the order of their names")
    return files
