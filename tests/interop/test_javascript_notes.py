"""The verifier in JavaScript reads keys, notes, checkpoints and proofs as ours does, and as others do."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidSignatureError, MalformedError
from ledger.evidence import make_receipt, parse_receipt, parse_tlog_proof
from ledger.merkle import EMPTY_ROOT, hash_children, hash_leaf, root_from_inclusion
from ledger.notes import Ed25519Signer, open_note, parse_verifier_key
from tests.interop.javascript import CASES, KEY, VECTORS, VERIFIER, Javascript, RefusedError, python_receipt, to_base64
from tests.support.documentation import ROOT
from tests.support.shared import shared_path

_KEY_ID = bytes.fromhex(KEY.split("+")[1])
_SIGNER = Ed25519Signer(VERIFIER.name, bytes.fromhex(VECTORS["seed"]))
_GOOD = parse_receipt(CASES[0]["receipt"].encode())


def _signature_line(text: bytes, *, name: str = VERIFIER.name, payload: bytes | None = None) -> bytes:
    """Return a signature line of the log, or one that says something else."""
    signed = _SIGNER.key_id.to_bytes(4, "big") + _SIGNER.sign(text)
    return f"\u2014 {name} {to_base64(signed if payload is None else payload)}\n".encode()


def _note(text: bytes, *more: bytes) -> bytes:
    return text + b"\n" + _signature_line(text) + b"".join(more)


def _unknown(name: str = "unknown.example", payload: bytes = b"12345") -> bytes:
    return _signature_line(b"", name=name, payload=payload)


_NOTES: dict[str, tuple[bytes, bool]] = {
    "good": (_note(b"text\n"), True),
    "unknown keys": (_note(b"text\n", _unknown(), _unknown(), _unknown(VERIFIER.name)), True),
    "empty lines in the text": (_note(b"text\n\n\nmore\n"), True),
    "a signature line in the text": (_note(_note(b"text\n")), True),
    "text of a newline": (_note(b"\n"), True),
    "text of nothing": (_note(b""), False),
    "no empty line, and one byte instead": (b"x" + _signature_line(b""), False),
    "text above U+0020": (_note("\u007f\u0085\u2028\ufeff\U0001f600 +\n".encode()), True),
    "text that begins with a byte order mark": (_note(b"\xef\xbb\xbftext\n"), True),
    "tab": (_note(b"a\tb\n"), False),
    "carriage return": (_note(b"text\r\n"), False),
    "NUL": (_note(b"a\0b\n"), False),
    "not UTF-8": (_note(b"\xff\n"), False),
    "surrogate": (_note(b"\xed\xa0\x80\n"), False),
    "100 lines": (_note(b"text\n", *[_unknown()] * 99), True),
    "101 lines": (_note(b"text\n", *[_unknown()] * 100), False),
    "no lines": (b"text\n\n", False),
    "1,000,000 bytes": (_note(b"a" * (1_000_000 - len(_note(b"\n"))) + b"\n"), True),
    "1,000,001 bytes": (_note(b"a" * (1_000_001 - len(_note(b"\n"))) + b"\n"), False),
    "signature of the log twice": (_note(b"text\n", _signature_line(b"text\n")), True),
    "signature of the log twice, and a bad one": (
        _note(b"text\n", _signature_line(b"text\n"), _signature_line(b"other\n")),
        False,
    ),
    "bad signature of the log after a good one": (_note(b"text\n", _signature_line(b"other\n")), False),
    "short signature of the log": (_note(b"text\n", _unknown(VERIFIER.name, _KEY_ID + b"1")), False),
    "signature of no bytes": (_note(b"text\n", _unknown(payload=b"1234")), False),
    "part of a key id": (_note(b"text\n", _unknown(payload=b"123")), False),
    "nothing after the name": (_note(b"text\n", _unknown(payload=b"")), False),
    "hyphen": (_note(b"text\n", _unknown().replace("\u2014".encode(), b"-")), False),
    "two spaces": (_note(b"text\n", _unknown(" a")), False),
    "no space in front of the name": (_note(b"text\n", _unknown().replace(b" ", b"", 1)), False),
    "space at the end": (_note(b"text\n", _unknown().replace(b"\n", b" \n")), False),
    "no name": (_note(b"text\n", _unknown("")), False),
    "name with a plus": (_note(b"text\n", _unknown("a+b")), False),
    "name with U+0085": (_note(b"text\n", _unknown("a\u0085b")), False),
    "name with U+2003": (_note(b"text\n", _unknown("a\u2003b")), False),
    "name with U+FEFF and U+200B": (_note(b"text\n", _unknown("a\ufeff\u200bb")), True),
    "empty line in between": (_note(b"text\n", b"\n", _unknown()), False),
    "line cut off": (_note(b"text\n", _unknown())[:-1], False),
    "base64 of another spelling": (_note(b"text\n", _unknown().replace(b"NDU=", b"NDV=")), False),
    "base64 without padding": (_note(b"text\n", _unknown(payload=b"1234567").replace(b"=", b"")), False),
    "base64 for addresses": (_note(b"text\n", _unknown(payload=b"\xff" * 6).replace(b"/", b"_")), False),
}


@pytest.mark.parametrize(("data", "ok"), _NOTES.values(), ids=_NOTES)
def test_notes_are_opened_alike_in_both_languages(javascript: Javascript, data: bytes, ok: bool) -> None:
    if ok:
        assert javascript.call("note", data, KEY) == open_note(data, [VERIFIER]).text
        return
    with pytest.raises(RefusedError):
        javascript.call("note", data, KEY)
    with pytest.raises((MalformedError, InvalidSignatureError)):
        open_note(data, [VERIFIER])


@pytest.mark.parametrize(
    ("name", "ok"),
    [("a", True), ("é/\u5c71-_", True), ("a\ufeffb", True), ("a\u200bb", True), ("a\u007fb", True), ("", False)]
    + [(f"a{space}b", False) for space in " \t\n\x1f\u0085\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"],
)
def test_names_of_keys_are_judged_alike_in_both_languages(javascript: Javascript, name: str, ok: bool) -> None:
    key = b"\x01" + bytes(range(32))
    key_id = sha256(name.encode() + b"\n" + key).hexdigest()[:8]
    text = f"{name}+{key_id}+{to_base64(key)}"
    if ok:
        assert javascript.call("key", text) == parse_verifier_key(text).name == name
        return
    with pytest.raises(RefusedError):
        javascript.call("key", text)
    with pytest.raises(MalformedError):
        parse_verifier_key(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("7\n", "07\n"),
        ("7\n", "+7\n"),
        ("7\n", "7 \n"),
        ("7\n", "9223372036854775808\n"),
        ("7\n", "7\n\n"),
        ("=\n", "=\n\n"),
        ("=\n", "=\nextension\n\nextension\n"),
        ("=\n", "\n"),
        ("log.example/sample\n", "log.example/sample \n"),
        ("log.example/sample\n", "\ufefflog.example/sample\n"),
        ("log.example/sample\n", "\nlog.example/sample\n"),
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(javascript: Javascript, before: str, after: str) -> None:
    text = _GOOD.checkpoint_note.partition(b"\n\n")[0] + b"\n"
    changed = text.replace(before.encode(), after.encode(), 1)
    assert changed != text

    assert javascript.receipt(make_receipt(replace(_GOOD, checkpoint_note=_note(text)))) is not None
    data = make_receipt(replace(_GOOD, checkpoint_note=_note(changed)))
    assert javascript.receipt(data) is None
    assert python_receipt(data) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"@v1\n", b"@v1\nextra \n"),
        (b"@v1\n", b"@v1\nextra\n"),
        (b"@v1\n", b"@v1\nExtra AA==\n"),
        (b"@v1\n", b"@v1\n\xc3\xa9\n"),
        (b"@v1\n", b"@v1\nextra AA==\xc3\xa9\n"),
        (b"index 0\n", b"index 0\nextra AA==\n"),
        (b"index 0\n", b"index 0\nindex 0\n"),
        (b"index 0\n", b"index 0\n" + b"A" * 44 + b"\n"),
        (b"index 0\n", b"index 0 \n"),
        (b"index 0\n", b"index 0\r\n"),
        (b"index 0\n", b"index 00\n"),
        (b"index 0\n", b"index\n"),
        (b"\n\nnote\n", b"\nnote\n"),
        (b"c2sp", b"\xef\xbb\xbfc2sp"),
        (b"c2sp", b"\n\nc2sp"),
    ],
)
def test_a_proof_has_one_text(javascript: Javascript, before: bytes, after: bytes) -> None:
    text = b"c2sp.org/tlog-proof@v1\nindex 0\n\nnote\n"
    changed = text.replace(before, after, 1)
    assert changed != text

    assert javascript.call("proof", text)["note"] == parse_tlog_proof(text).checkpoint_note.decode() == "note\n"
    with pytest.raises(RefusedError):
        javascript.call("proof", changed)
    with pytest.raises(MalformedError):
        parse_tlog_proof(changed)


# Numbers up to 2^63


_HASHES = [bytes([number]) * 32 for number in range(1, 65)]


def _inclusion(javascript: Javascript, index: int, size: int, root: bytes, hashes: list[bytes]) -> bool:
    try:
        javascript.call("inclusion", _HASHES[-1], str(index), str(size), root, [to_base64(value) for value in hashes])
    except RefusedError:
        return False
    return True


@given(st.data())
def test_inclusion_is_exact_up_to_the_largest_tree(javascript: Javascript, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 2**63 - 1) | st.integers(2**63 - 9, 2**63 - 1) | st.integers(2**53 - 2, 2**53 + 2))
    index = data.draw(st.integers(0, size - 1) | st.integers(max(0, size - 9), size - 1))
    # Levels below the one where the paths of this leaf and of the last part; above, one hash for each left sibling.
    below = (index ^ (size - 1)).bit_length()
    hashes = _HASHES[: below + (index >> below).bit_count()]
    root = root_from_inclusion(_HASHES[-1], index, size, hashes)

    assert _inclusion(javascript, index, size, root, hashes)
    assert not _inclusion(javascript, index, size, root, [*hashes, _HASHES[0]])
    if hashes:
        assert not _inclusion(javascript, index, size, root, hashes[:-1])
        assert not _inclusion(javascript, index, size, root, [*hashes[:-1], hashes[-1][:-1]])


def test_a_hash_too_many_is_refused_even_where_the_root_follows_from_it(javascript: Javascript) -> None:
    leaf, sibling = _HASHES[-1], _HASHES[0]
    for root in (hash_children(sibling, leaf), hash_children(leaf, sibling)):
        assert not _inclusion(javascript, 0, 1, root, [sibling])


def test_no_tree_has_2_to_the_63_leaves(javascript: Javascript) -> None:
    root = root_from_inclusion(_HASHES[-1], 2**62, 2**63 - 1, _HASHES[:63])
    assert _inclusion(javascript, 2**62, 2**63 - 1, root, _HASHES[:63])
    assert not _inclusion(javascript, 2**62, 2**63, root, _HASHES[:63])
    assert not _inclusion(javascript, -1, 7, root, _HASHES[:3])

    for tree_size, ok in ((2**63 - 1, True), (2**63, False), (10**19, False)):
        body = f"origin\n{tree_size}\n{to_base64(root)}\n"
        proof = f"c2sp.org/tlog-proof@v1\nindex {tree_size}\n\nnote\n".encode()
        if ok:
            assert javascript.call("checkpoint", body, "origin")["size"] == tree_size
            assert javascript.call("proof", proof)["index"] == tree_size
        else:
            with pytest.raises(RefusedError):
                javascript.call("checkpoint", body, "origin")
            with pytest.raises(RefusedError):
                javascript.call("proof", proof)


def test_a_proof_has_at_most_63_hashes(javascript: Javascript) -> None:
    def proof(count: int) -> bytes:
        lines = [to_base64(value) + "\n" for value in _HASHES[:count]]
        return f"c2sp.org/tlog-proof@v1\nindex 0\n{''.join(lines)}\nnote\n".encode()

    assert len(javascript.call("proof", proof(63))["hashes"]) == 63
    with pytest.raises(RefusedError):
        javascript.call("proof", proof(64))


def test_a_head_of_no_leaves_has_the_empty_root(javascript: Javascript) -> None:
    assert javascript.call("checkpoint", f"o\n0\n{to_base64(EMPTY_ROOT)}\n", "o") == {
        "size": 0,
        "root": EMPTY_ROOT.hex(),
    }
    with pytest.raises(RefusedError):
        javascript.call("checkpoint", f"o\n0\n{to_base64(_HASHES[0])}\n", "o")


# Material that nobody here wrote


def test_every_verifier_key_of_the_go_implementation_is_judged_as_there(javascript: Javascript) -> None:
    cases = [case for case in json.loads(shared_path("vectors/signed-note/vkeys.json").read_text()) if "vkey" in case]
    for case in cases:
        if case["ok"]:
            assert javascript.call("key", case["vkey"]) == case["vkey"].partition("+")[0]
        else:
            with pytest.raises(RefusedError):
                javascript.call("key", case["vkey"])


def test_every_part_and_every_change_of_a_verifier_key_is_refused(javascript: Javascript) -> None:
    parts = [KEY[begin:end] for begin in range(len(KEY)) for end in range(begin, len(KEY) + (begin > 0))]
    changed = [
        KEY[:at] + other + KEY[at + 1 :]
        for at, character in enumerate(KEY)
        for other in {chr(ord(character) + 1), chr(ord(character) - 1), character.swapcase(), " ", "+", "="}
        if other != character
    ]
    for text in (*parts, *changed, KEY + "\n", "\ufeff" + KEY):
        with pytest.raises(RefusedError):
            javascript.call("key", text)


def test_every_open_case_of_the_go_implementation_is_judged_as_there(javascript: Javascript) -> None:
    for case in json.loads(shared_path("vectors/signed-note/open.json").read_text()):
        for key in case["vkeys"]:
            if case["ok"]:
                assert case["note"].startswith(javascript.call("note", case["note"].encode(), key) + "\n")
            else:
                with pytest.raises(RefusedError):
                    javascript.call("note", case["note"].encode(), key)


def test_every_signed_checkpoint_of_rekor_is_judged_as_there(javascript: Javascript) -> None:
    for case in json.loads(shared_path("vectors/rekor/checkpoints.json").read_text()):
        try:
            text = javascript.call("note", case["note"].encode(), case["vkey"])
            head = javascript.call("checkpoint", text, case["origin"])
        except RefusedError:
            assert not case["ok"], case["case"]
            continue
        assert case["ok"], case["case"]
        assert case["note"].split("\n")[1] == str(head["size"])


def test_every_checkpoint_body_with_a_root_of_32_bytes_is_judged_as_there(javascript: Javascript) -> None:
    roots_of_32_bytes = 0
    for case in json.loads(shared_path("vectors/checkpoints/body_parse.json").read_text())["cases"]:
        lines = case["body"].split("\n")
        readable = case["structure_ok"] and len(base64.b64decode(lines[2])) == 32
        if readable:
            assert javascript.call("checkpoint", case["body"], case["origin"])["size"] == case["size"]
            roots_of_32_bytes += 1
        else:
            with pytest.raises(RefusedError):
                javascript.call("checkpoint", case["body"], lines[0])
    assert roots_of_32_bytes


def test_every_tlog_proof_of_the_go_implementation_is_judged_as_there(javascript: Javascript) -> None:
    for case in json.loads(shared_path("vectors/tlog-proof/marshal.json").read_text()):
        said = javascript.call("proof", case["text"].encode())
        assert said["index"] == case["index"]
        assert said["hashes"] == [base64.b64decode(value).hex() for value in case["hashes"]]
        assert said["note"] == case["checkpoint"]
    for text in json.loads(shared_path("vectors/tlog-proof/unmarshal_bad.json").read_text()):
        with pytest.raises(RefusedError):
            javascript.call("proof", text.encode())


def _inclusion_cases(folder: Path) -> Iterator[tuple[str, bool, tuple[Any, ...]]]:
    for path in sorted(folder.rglob("*.json")):
        case = json.loads(path.read_text())
        sizes = (str(case["leafIdx"]), str(case["treeSize"]))
        # The one case that others accept has hashes of no bytes.
        ok = not case["wantErr"] and len(base64.b64decode(case["root"])) == 32
        yield str(path.relative_to(folder)), ok, (case["leafHash"], *sizes, case["root"], case["proof"] or [])


def test_every_inclusion_proof_of_others_and_ours_is_judged_as_stated(javascript: Javascript) -> None:
    cases = list(_inclusion_cases(shared_path("vectors/transparency-dev-merkle/inclusion")))
    of_rekor = json.loads(shared_path("vectors/rekor/inclusion.json").read_text())
    for case in (*of_rekor, *json.loads((ROOT / "tests" / "vectors" / "inclusion.json").read_text())):
        sizes = (str(case["leaf_index"]), str(case["tree_size"]))
        leaf_hash = case["leaf_hash"] if "leaf_hash" in case else hash_leaf(base64.b64decode(case["leaf_b64"]))
        cases.append((case["case"], case["ok"], (leaf_hash, *sizes, case["root"], case["proof"])))

    for name, ok, values in cases:
        try:
            javascript.call("inclusion", *values)
        except RefusedError:
            assert not ok, name
        else:
            assert ok, name
