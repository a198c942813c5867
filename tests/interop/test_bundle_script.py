"""The script of a bundle against the installed verifier: one corpus, one verdict; and its parts against ours."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.cli.main import main
from ledger.errors import InvalidSignatureError
from ledger.events.wire import read_event, read_personal
from ledger.notes.ed25519 import verify_ed25519
from tests.interop.javascript import python_section
from tests.support.bundles import Case, corpus, make_bundle, sample_log, to_directory, to_zip
from tests.support.documentation import ROOT

SCRIPT = ROOT / "ledger" / "client" / "bundle_files" / "verify_bundle.py"
CASES = {case.name: case for case in corpus()}
ORDER = 2**252 + 27742317777372353535851937790883648493
P = 2**255 - 19


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_bundle", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script: Any = _load()


def _arguments(case: Case, folder: Path) -> list[str]:
    arguments = [str(case.write(folder / "bundle.zip"))]
    arguments += ["--key", case.key] if case.key else ["--unpinned"]
    if case.since is not None:
        (folder / "old.note").write_bytes(case.since)
        arguments += ["--since", str(folder / "old.note")]
    return [*arguments, "--quick"] if case.quick else arguments


@pytest.mark.parametrize("name", CASES)
def test_script_and_installed_verifier_give_one_verdict(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    arguments = _arguments(case, tmp_path)

    ours = main(["verify", "bundle", *arguments]), capsys.readouterr().out.partition("\n")[0]
    theirs = script.main(arguments), capsys.readouterr().out.partition("\n")[0]

    assert ours == theirs
    assert ours[0] == case.code
    assert ours[1].startswith(case.level)
    assert bool(ours[1]) == bool(case.level)


def test_directory_is_verified_as_its_zip_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES["good"]
    folder = to_directory(case.files or {}, tmp_path / "bundle")

    for verify in (lambda *given: main(["verify", "bundle", *given]), lambda *given: script.main(list(given))):
        assert verify(str(folder), "--key", case.key) == 0
    assert capsys.readouterr().out.count("pinned key, tail unproven\n") == 2


@pytest.mark.parametrize("kind", ["link", "linked folder", "folder", "pipe", "file"])
def test_directory_with_anything_else_in_it_is_refused(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import os

    case = CASES["good"]
    folder = to_directory(case.files or {}, tmp_path / "bundle")
    if kind == "link":
        (folder / "VERIFY.md").rename(tmp_path / "elsewhere")
        (folder / "VERIFY.md").symlink_to(tmp_path / "elsewhere")
    elif kind == "linked folder":
        (folder / "receipts").rename(tmp_path / "elsewhere")
        (folder / "receipts").symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        (folder / "more").mkdir()
    elif kind == "pipe":
        (folder / "VERIFY.md").unlink()
        os.mkfifo(folder / "VERIFY.md")
    else:
        (folder / "receipts" / "x").write_bytes(b"")

    assert main(["verify", "bundle", str(folder), "--key", case.key]) == 1
    assert script.main([str(folder), "--key", case.key]) == 1
    assert capsys.readouterr().out == ""


def test_script_runs_alone_and_requires_a_level(tmp_path: Path) -> None:
    case = CASES["good"]
    bundle = case.write(tmp_path / "bundle.zip")
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(bundle), "--key", case.key]

    ran = subprocess.run(command, capture_output=True, check=False, text=True)
    short = subprocess.run([*command, "--require", "pinned-head"], capture_output=True, check=False, text=True)

    assert (ran.returncode, ran.stdout.partition("\n")[0], ran.stderr) == (0, "pinned key, tail unproven", "")
    assert short.returncode == 3


# RFC 8032 section 7.1: public key, message, signature.
RFC_VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


def _is_valid(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        verify_ed25519("log", key, message, signature)
    except InvalidSignatureError:
        return False
    return True


@pytest.mark.parametrize(("key", "message", "signature"), RFC_VECTORS)
def test_signatures_of_the_standard_are_valid(key: str, message: str, signature: str) -> None:
    assert script.ed25519_is_valid(bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature))


def _odd_points() -> list[bytes]:
    """Points of small order, each also with the other sign, and encodings that are not the shortest."""
    order_8 = 2707385501144840649318225287225658788936804267575313519463743609750303021423
    values = [0, 1, P - 1, P, P + 1, order_8, P - order_8, 2**255 - 1, 2]
    return [(value & (2**255 - 1) | sign << 255).to_bytes(32, "little") for value in values for sign in (0, 1)]


def odd_signatures() -> list[tuple[bytes, bytes]]:
    """Keys and signatures that some verifiers take and others refuse."""
    key, _, signature = (bytes.fromhex(text) for text in RFC_VECTORS[2])
    scalar = int.from_bytes(signature[32:], "little")
    tried = [(key, signature[:32] + (scalar + ORDER).to_bytes(32, "little"))]
    tried += [(key, signature[:32] + number.to_bytes(32, "little")) for number in (0, ORDER - 1, ORDER, 2**256 - 1)]
    for point in _odd_points():
        tried += [(key, point + signature[32:]), (point, signature)]
        tried += [(point, other + bytes(32)) for other in _odd_points()]
    return tried


def test_odd_keys_and_signatures_are_judged_as_by_ours() -> None:
    message = bytes.fromhex(RFC_VECTORS[2][1])
    verdicts = [script.ed25519_is_valid(public, message, signed) for public, signed in odd_signatures()]

    assert verdicts == [_is_valid(public, message, signed) for public, signed in odd_signatures()]
    assert True in verdicts


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=8), st.binary(min_size=64, max_size=64))
def test_random_signatures_are_judged_as_by_ours(key: bytes, message: bytes, signature: bytes) -> None:
    assert script.ed25519_is_valid(key, message, signature) == _is_valid(key, message, signature)


SECTIONS = {
    kind: [section.content for pair in sample_log(8).sections for section in pair[number:][:1] if section]
    for number, kind in enumerate(("event", "personal"))
}


def _read(kind: str, data: bytes) -> str:
    try:
        content = script.read_section({"event": "Event", "personal": "PersonalData"}[kind], data)
    except script.Failed:
        return "refused"
    return "newer" if content is None else "read"


@pytest.mark.parametrize("kind", ["event", "personal"])
@given(data=st.data())
def test_sections_are_read_or_refused_as_by_ours(kind: Any, data: st.DataObject) -> None:
    section = bytearray(data.draw(st.sampled_from(SECTIONS[kind])))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(section)))
        section[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))

    ours = python_section(kind, bytes(section))

    assert _read(kind, bytes(section)) == (ours if ours in ("refused", "newer") else "read")
    if isinstance(ours, dict):
        _same_flat(kind, bytes(section))


def _same_flat(kind: str, section: bytes) -> None:
    from ledger.events.event import Event
    from ledger.events.flat import to_flat

    read = script.read_section({"event": "Event", "personal": "PersonalData"}[kind], section)
    if kind == "event":
        ours, theirs = to_flat(read_event(section)), script.flat_event(read, None)
    else:
        ours, theirs = to_flat(Event(), read_personal(section)), script.flat_event({}, read)
    assert json.dumps(ours) == json.dumps(theirs)


def test_zip_of_the_corpus_is_one_that_others_read(tmp_path: Path) -> None:
    from tests.support.bundles import unpack

    files = make_bundle(sample_log())

    folder = unpack(to_zip(files), tmp_path / "unpacked")

    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(files)
