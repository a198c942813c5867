from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidSignatureError, MalformedError, WrongOriginError
from ledger.notes import (
    Checkpoint,
    CosignatureVerifier,
    Ed25519Signer,
    Ed25519Verifier,
    Note,
    Signature,
    cosignature_message,
    cosignature_time,
    cosignatures_of,
    format_checkpoint,
    format_note,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
    sign_checkpoint,
    verify_cosignatures,
)
from ledger.notes.encoding import decode_base64, encode_base64
from tests.support.shared import shared_path

SIGNER = Ed25519Signer("ledger.example/prod", bytes(range(32)))
ROOT = hashlib.sha256(b"root").digest()
HEAD = Checkpoint(SIGNER.name, 5, ROOT)
BODY = format_checkpoint(HEAD)
WITNESS = CosignatureVerifier("witness.example/w1", SIGNER.verifier.public_key)


def _vectors(path: str) -> Any:
    return json.loads(shared_path(f"vectors/{path}").read_text())


def _cosigned(note: bytes, seconds: int, witness: CosignatureVerifier = WITNESS) -> bytes:
    parsed = parse_note(note)
    payload = seconds.to_bytes(8, "big") + SIGNER.sign(cosignature_message(seconds, parsed.text.encode()))
    return format_note(Note(parsed.text, (*parsed.signatures, Signature(witness.name, witness.key_id, payload))))


def test_the_head_of_an_empty_tree_is_signed_and_cosigned_as_the_known_answer() -> None:
    empty = Checkpoint(SIGNER.name, 0, hashlib.sha256(b"").digest())
    note = sign_checkpoint(empty, SIGNER)
    log_line = "d7gMHb41Bhw33JeESx4gadpx3EsBgkQeCwcYEIP284euoJ+C4Zpz0wXBfxEZ8VKGCABgxGbUtwwo5YTXSprA2cVMgQ0="
    assert note.decode().endswith(f"\n\n\u2014 ledger.example/prod {log_line}\n")
    witness_line = (
        "519lMgAAAABkGFDLtrUO5NadF+DJEtp7+9a9Yooszp+ivnqRpOE06YA4T13ArV+lXUcLlKKN2dYCtYEIoQv+imHA/R44eZXU3q6rDQ=="
    )
    assert _cosigned(note, 1679315147).decode().endswith(f"\u2014 witness.example/w1 {witness_line}\n")


def test_every_rekor_checkpoint_is_judged_as_by_go() -> None:
    for case in _vectors("rekor/checkpoints.json"):
        verifier = parse_verifier_key(case["vkey"])
        if case["ok"]:
            opened = open_checkpoint(case["note"].encode(), verifier, case["origin"])
            assert opened.checkpoint.origin == case["origin"]
            assert opened.note == case["note"].encode()
        else:
            with pytest.raises((MalformedError, InvalidSignatureError)):
                open_checkpoint(case["note"].encode(), verifier, case["origin"])


def test_every_body_case_is_judged_as_there_but_a_root_that_is_not_32_bytes_is_refused() -> None:
    for case in _vectors("checkpoints/body_parse.json")["cases"]:
        if not case["structure_ok"] or len(decode_base64(case["body"].split("\n")[2], "root")) != 32:
            with pytest.raises(MalformedError):
                parse_checkpoint(case["body"])
            continue
        parsed = parse_checkpoint(case["body"])
        assert (parsed.origin, parsed.tree_size) == (case["origin"], case["size"])
        assert "".join(line + "\n" for line in parsed.extensions) == case["rest"]
        assert format_checkpoint(parsed) == case["body"]


def test_the_sigsum_proof_verifies_as_a_checkpoint_of_its_origin() -> None:
    proof = dict(
        line.split("=", 1) for line in shared_path("vectors/sigsum/proof_size4.txt").read_text().split() if "=" in line
    )
    keys = _vectors("sigsum/proof_size4.keys.json")
    public_key = decode_base64(keys["log_key_openssh"].split()[1], "key")[-32:]
    origin = f"sigsum.org/v1/tree/{hashlib.sha256(public_key).hexdigest()}"
    body = format_checkpoint(Checkpoint(origin, int(proof["size"]), bytes.fromhex(proof["root_hash"])))
    Ed25519Verifier(origin, public_key).verify(body.encode(), bytes.fromhex(proof["signature"]))


@pytest.mark.parametrize(
    "size",
    [
        "+5",
        "0005",
        " 5",
        "5_0",
        "-5",
        "5 ",
        "00",
        "",
        "0x5",
        "5.0",
        "1e3",
        "\u0665",
        "\u00b2",
        "9223372036854775808",
        "9" * 5000,
    ],
)
def test_a_size_that_is_not_the_one_decimal_of_its_number_is_refused(size: str) -> None:
    with pytest.raises(MalformedError, match="tree size"):
        parse_checkpoint(f"origin\n{size}\n{encode_base64(ROOT)}\n")


def test_the_largest_size_is_read() -> None:
    assert parse_checkpoint(f"o\n{2**63 - 1}\n{encode_base64(ROOT)}\n").tree_size == 2**63 - 1


@pytest.mark.parametrize(
    "root",
    [
        encode_base64(ROOT[:31]),
        encode_base64(ROOT + b"\0"),
        encode_base64(ROOT)[:-1],
        encode_base64(ROOT) + "=",
        encode_base64(bytes(32))[:-2] + "B=",
        encode_base64(b"\xff" * 32).replace("/", "_"),
        " " + encode_base64(ROOT),
        ROOT.hex(),
        "",
    ],
)
def test_a_root_that_is_not_the_canonical_base64_of_32_bytes_is_refused(root: str) -> None:
    with pytest.raises(MalformedError, match="root hash"):
        parse_checkpoint(f"origin\n5\n{root}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        BODY[:-1],
        BODY + "\n",
        BODY + "extension\n\n",
        BODY + "extension",
        "\n" + BODY,
        BODY.replace("\n", "\r\n"),
        BODY.replace("\n", "\u2028"),
        BODY.replace("ledger", "led\x00ger"),
        "origin\n5\n",
    ],
)
def test_lines_that_do_not_fit_refuse_the_checkpoint(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    ("origin", "tree_size", "root_hash", "extensions"),
    [
        ("", 1, ROOT, ()),
        ("a\nb", 1, ROOT, ()),
        ("a\t", 1, ROOT, ()),
        ("a", -1, ROOT, ()),
        ("a", 2**63, ROOT, ()),
        ("a", 1, ROOT[:31], ()),
        ("a", 1, ROOT, ("",)),
        ("a", 1, ROOT, ("x\n",)),
    ],
)
def test_a_checkpoint_that_has_no_text_is_not_made(
    origin: str, tree_size: int, root_hash: bytes, extensions: tuple[str, ...]
) -> None:
    with pytest.raises(MalformedError):
        Checkpoint(origin, tree_size, root_hash, extensions)


def test_extension_lines_are_kept_and_change_neither_size_nor_root() -> None:
    extended = Checkpoint(SIGNER.name, 5, ROOT, (f"{SIGNER.name}", "9999", encode_base64(bytes(32))))
    opened = open_checkpoint(sign_checkpoint(extended, SIGNER), SIGNER.verifier)
    assert opened.checkpoint == extended
    assert (opened.checkpoint.tree_size, opened.checkpoint.root_hash) == (5, ROOT)


def test_a_checkpoint_of_another_origin_under_the_same_key_is_refused() -> None:
    note = sign_checkpoint(Checkpoint("else.example", 5, ROOT), SIGNER)
    with pytest.raises(WrongOriginError, match=r"else\.example"):
        open_checkpoint(note, SIGNER.verifier)
    assert open_checkpoint(note, SIGNER.verifier, "else.example").checkpoint.origin == "else.example"
    with pytest.raises(WrongOriginError):
        open_checkpoint(sign_checkpoint(HEAD, SIGNER), SIGNER.verifier, "else.example")


def test_the_key_of_a_witness_does_not_open_a_checkpoint() -> None:
    witness = CosignatureVerifier(SIGNER.name, SIGNER.verifier.public_key)
    note = _cosigned(sign_checkpoint(HEAD, SIGNER), 1_679_315_147, witness)

    with pytest.raises(InvalidSignatureError, match="a witness's, not a log's"):
        open_checkpoint(note, witness)


def test_a_checkpoint_of_another_key_is_refused() -> None:
    with pytest.raises(InvalidSignatureError):
        open_checkpoint(sign_checkpoint(HEAD, SIGNER), Ed25519Signer(SIGNER.name, bytes(32)).verifier)


_LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=[chr(c) for c in range(32)]), min_size=1)
_CHECKPOINTS = st.builds(
    Checkpoint, _LINES, st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32), st.lists(_LINES).map(tuple)
)


@given(_CHECKPOINTS)
def test_formatting_then_parsing_gives_the_same_checkpoint(checkpoint: Checkpoint) -> None:
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


@given(_CHECKPOINTS, st.data())
def test_whatever_parses_is_formatted_back_to_the_same_text(checkpoint: Checkpoint, data: st.DataObject) -> None:
    text = format_checkpoint(checkpoint)
    offset = data.draw(st.integers(0, len(text) - 1))
    changed = text[:offset] + data.draw(st.characters(exclude_categories=["Cs"])) + text[offset + 1 :]
    try:
        parsed = parse_checkpoint(changed)
    except MalformedError:
        return
    assert format_checkpoint(parsed) == changed


def test_the_cosignature_timestamps_are_the_known_ones() -> None:
    for case in _vectors("sigsum/cosignature_timestamp.json"):
        if "sig_b64" not in case:
            continue
        payload = decode_base64(case["sig_b64"], "signature")[4:]
        if case["is_cosignature_v1"]:
            assert cosignature_time(payload) == case["timestamp"]
        else:
            with pytest.raises(InvalidSignatureError):
                cosignature_time(payload)


def test_a_cosignature_tells_its_witness_and_time() -> None:
    note = _cosigned(sign_checkpoint(HEAD, SIGNER), 1234)
    (cosignature,) = verify_cosignatures(note, [WITNESS])
    assert (cosignature.witness, cosignature.cosigned_at) == (WITNESS, 1234)
    opened = open_note(note, [SIGNER.verifier, WITNESS])
    assert cosignatures_of(opened) == (cosignature,)


def test_a_cosignature_covers_body_and_time() -> None:
    note = _cosigned(sign_checkpoint(HEAD, SIGNER), 1234)
    parsed = parse_note(note)
    line = parsed.signatures[1]
    later = Signature(line.name, line.key_id, (1235).to_bytes(8, "big") + line.signature[8:])
    for changed in (
        Note(parsed.text, (parsed.signatures[0], later)),
        Note(parsed.text.replace("\n5\n", "\n6\n"), parsed.signatures),
        Note(parsed.text + "extension\n", parsed.signatures),
    ):
        with pytest.raises(InvalidSignatureError):
            verify_cosignatures(format_note(changed), [WITNESS])


def test_a_cosignature_with_a_time_beyond_the_limit_is_refused() -> None:
    verify_cosignatures(_cosigned(sign_checkpoint(HEAD, SIGNER), 2**63 - 1), [WITNESS])
    with pytest.raises(InvalidSignatureError, match="9223372036854775808"):
        verify_cosignatures(_cosigned(sign_checkpoint(HEAD, SIGNER), 2**63), [WITNESS])


def test_a_log_signature_is_no_cosignature_and_the_other_way_round() -> None:
    note = sign_checkpoint(HEAD, SIGNER)
    with pytest.raises(InvalidSignatureError):
        verify_cosignatures(note, [CosignatureVerifier(SIGNER.name, SIGNER.verifier.public_key)])
    line = parse_note(note).signatures[0]
    swapped = format_note(Note(BODY, (Signature(WITNESS.name, WITNESS.key_id, line.signature),)))
    with pytest.raises(InvalidSignatureError, match="64 bytes instead of 72"):
        verify_cosignatures(swapped, [WITNESS])


def test_a_checkpoint_without_a_known_witness_is_not_cosigned() -> None:
    with pytest.raises(InvalidSignatureError):
        verify_cosignatures(sign_checkpoint(HEAD, SIGNER), [WITNESS])


def test_a_witness_that_cosigned_twice_counts_once_and_both_lines_have_to_be_valid() -> None:
    note = _cosigned(_cosigned(sign_checkpoint(HEAD, SIGNER), 1234), 1300)
    (cosignature,) = verify_cosignatures(note, [WITNESS])
    assert (cosignature.witness, cosignature.cosigned_at) == (WITNESS, 1234)
    assert open_checkpoint(note, SIGNER.verifier).checkpoint == HEAD
    parsed = parse_note(note)
    forged = replace(parsed.signatures[-1], signature=parsed.signatures[-1].signature[:-1] + b"x")
    with pytest.raises(InvalidSignatureError):
        verify_cosignatures(format_note(replace(parsed, signatures=(*parsed.signatures[:-1], forged))), [WITNESS])
