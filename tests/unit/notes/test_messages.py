"""What the readers of notes say: which part of which text is wrong, and how much of it is shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ledger.errors import InvalidSignatureError, MalformedError
from ledger.notes import (
    Checkpoint,
    CosignatureVerifier,
    Ed25519Signer,
    Signature,
    cosignature_message,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_note,
    parse_signer_key,
    parse_verifier_key,
    sign_checkpoint,
    sign_note,
)
from ledger.notes.encoding import check_key_name, decode_base64, encode_base64, parse_decimal

SIGNER = Ed25519Signer("ledger.example/prod", bytes(range(32)))
ROOT = bytes(32)
LONG = "x" * 81
SHOWN = "x" * 80

CASES: list[tuple[Callable[[], object], str]] = [
    # Text and numbers
    (lambda: decode_base64("A" * 79 + "é", "it"), f"it is not standard base64: '{'A' * 79}é'"),
    (lambda: decode_base64("AA=A" + LONG, "it"), f"it is not standard base64: 'AA=A{'x' * 76}'"),
    (lambda: decode_base64("AA-_", "it"), "it is not standard base64: 'AA-_'"),
    (lambda: decode_base64("AAAA AAAA", "it"), "it is not standard base64: 'AAAA AAAA'"),
    (lambda: decode_base64("A" * 86 + "B=", "it"), f"it is not canonical base64: '{'A' * 80}'"),
    (lambda: parse_decimal(LONG, "it"), f"it is not a decimal without sign or leading zero: '{SHOWN}'"),
    (lambda: check_key_name(""), "a key name is empty"),
    (lambda: check_key_name(LONG + " "), f"key name '{SHOWN}' has a space, a plus or a control character"),
    (lambda: check_key_name(LONG + "\ud800"), f"key name '{SHOWN}' is not encodable as UTF-8"),
    # Notes
    (lambda: parse_note(b"a\tb"), "a note has control character U+0009 at character 1"),
    (lambda: parse_note(b"a\xff"), "a note is not valid UTF-8 at byte 1"),
    (lambda: parse_note(b"text\n"), "a note has no empty line between its text and its signatures"),
    (lambda: parse_note(b"text\n\nline"), "a note does not end in a signature line with a newline"),
    (
        lambda: parse_note(f"text\n\n{LONG}\n".encode()),
        f"a line among the signatures of a note is not a signature line: '{SHOWN}'",
    ),
    (
        lambda: parse_note(f"text\n\n\u2014 {LONG} AA =\n".encode()),
        f"the signature of key '{SHOWN}' is not standard base64: 'AA ='",
    ),
    (lambda: sign_note("a\tb\n", [SIGNER]), "a note text has control character U+0009 at character 1"),
    (lambda: sign_note("text", [SIGNER]), "a note text does not end in a newline"),
    (lambda: Signature("k", 1 << 32, b"s"), "key id 4294967296 does not fit 32 bits"),
    (lambda: Signature(LONG, 1, b""), f"the signature of key '{SHOWN}' has nothing after its key id"),
    # Checkpoints
    (lambda: Checkpoint("a\tb", 1, ROOT), "a line of a checkpoint has control character U+0009 at character 1"),
    (lambda: Checkpoint(LONG + "\n", 1, ROOT), f"an origin or extension of a checkpoint is not one line: '{SHOWN}'"),
    (lambda: Checkpoint("o", -1, ROOT), "a checkpoint's tree size is -1; the limits are 0 and 9223372036854775807"),
    (lambda: Checkpoint("o", 1, b""), "a checkpoint's root hash is 0 bytes instead of 32"),
    (lambda: parse_checkpoint("o\n1\nAA=="), "a checkpoint does not end in a newline"),
    (lambda: parse_checkpoint("o\n1\n"), "a checkpoint has 2 lines; it needs origin, tree size and root hash"),
    (
        lambda: parse_checkpoint("o\n01\nAA==\n"),
        "a checkpoint's tree size is not a decimal without sign or leading zero: '01'",
    ),
    (lambda: parse_checkpoint("o\n1\nA\n"), "a checkpoint's root hash is not standard base64: 'A'"),
    # Keys
    (lambda: Ed25519Signer("k", b""), "the seed of a signer key is 0 bytes instead of 32"),
    (lambda: parse_verifier_key("name"), "a verifier key is not name+id+key"),
    (lambda: parse_verifier_key("name+00000000+A"), "the last part of a verifier key is not canonical base64"),
    (lambda: parse_verifier_key("name+00000000+"), "a verifier key is empty after its id"),
    (lambda: parse_signer_key("name"), "a signer key begins with PRIVATE+KEY+"),
    (lambda: parse_signer_key("PRIVATE+KEY+name"), "a signer key is not name+id+key"),
    (
        lambda: parse_signer_key("PRIVATE+KEY+name+00000000+Ag=="),
        "a signer key has type 2; only 1 (Ed25519) is supported",
    ),
]


@pytest.mark.parametrize(("read", "message"), CASES, ids=map(str, range(len(CASES))))
def test_the_message_names_the_text_and_shows_its_first_eighty_characters(
    read: Callable[[], object], message: str
) -> None:
    with pytest.raises(MalformedError) as refused:
        read()
    assert refused.value.message == message


def test_an_id_that_is_not_the_keys_own_is_told_with_the_one_that_is() -> None:
    stated = f"{SIGNER.name}+{SIGNER.key_id ^ 1:08x}+"
    for read, what, text in (
        (parse_verifier_key, "a verifier key", stated + encode_base64(b"\x01" + SIGNER.verifier.public_key)),
        (parse_signer_key, "a signer key", "PRIVATE+KEY+" + stated + encode_base64(b"\x01" + SIGNER.seed)),
    ):
        with pytest.raises(MalformedError) as refused:
            read(text)
        assert refused.value.message == (
            f"{what} does not state the id {SIGNER.key_id:08x} that follows from its name and key"
        )


def test_a_note_without_a_known_key_says_where_to_look() -> None:
    note = sign_note("text\n", [SIGNER])
    with pytest.raises(InvalidSignatureError) as refused:
        open_note(note, [])
    assert refused.value.message == "none of the note's 1 signatures is of a known key"
    assert refused.value.hint == "check that the verifier key is the one of this log"


def test_a_wrong_cosignature_names_its_witness() -> None:
    witness = CosignatureVerifier("witness.example/w1", SIGNER.verifier.public_key)
    signature = (5).to_bytes(8, "big") + SIGNER.sign(cosignature_message(6, b"text\n"))
    with pytest.raises(InvalidSignatureError) as refused:
        witness.verify(b"text\n", signature)
    assert refused.value.message == "the signature of key witness.example/w1 is not valid for this text"


def test_an_opened_checkpoint_keeps_the_note_and_its_signatures() -> None:
    note = sign_checkpoint(Checkpoint(SIGNER.name, 5, ROOT), SIGNER)
    opened = open_checkpoint(note, SIGNER.verifier)
    assert opened.note == note
    assert opened.opened == open_note(note, [SIGNER.verifier])
