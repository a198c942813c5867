"""The two kernels do the same, and the native one is used only where it can be trusted to."""

from __future__ import annotations

import base64
import json
import random
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.engine.kernel import PYTHON, SWITCH, Kernel, check_batch, choose_kernel, installed_kernel
from ledger.engine.requests import AppendedEntries, NewEntry, Outcome
from ledger.errors import EventTooLargeError, InvalidEventError
from ledger.events.codec import check_sections, encode_event, encode_personal, encode_sections
from ledger.events.commitments import SALT_SIZE
from ledger.events.event import Event, MetadataEntry, PersonalData
from ledger.events.leaf import leaf_prefix
from ledger.merkle.compact import CompactRange
from ledger.merkle.hashing import split_hashes
from ledger.rpc.convert import add_acknowledgements
from ledger.v1 import ledger_pb2
from tests.support.broken_events import BROKEN_EVENTS, BROKEN_PERSONAL_DATA, LEAST_EVENT
from tests.support.encodings import BROKEN_ENCODINGS, GOOD_ENCODINGS, NEWER_ENCODINGS
from tests.support.kernels import KERNELS, kernel_named
from tests.support.sections import damage, damage_bytes, encode_nodes, event_nodes, personal_nodes, sections
from tests.vectors.generate_events import FILE


def _can_be_encoded(event: Event) -> bool:
    try:
        encode_event(event)
    except (ValueError, UnicodeError):
        return False
    return True


_BOTH = (LEAST_EVENT, PersonalData(actor_email="a@example.com"))
# The runtime does not write the others.
_ENCODABLE = [row for row in BROKEN_EVENTS if _can_be_encoded(row[0])]
_HASHES = st.binary(min_size=32, max_size=32)


@pytest.fixture(scope="module")
def native() -> Kernel:
    return kernel_named("native")


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Kernel:
    return kernel_named(request.param)


def _decided(event: bytes, personal: bytes) -> bytes | None:
    try:
        return check_sections(event, personal).encode()
    except (InvalidEventError, EventTooLargeError):
        return None


# Check


@given(st.lists(sections(), min_size=1, max_size=5))
def test_good_sections_are_decided_by_the_native_kernel_with_the_same_id(
    native: Kernel, batch: list[tuple[Event, PersonalData | None]]
) -> None:
    pairs = [encode_sections(*values) for values in batch]
    assert native.check(pairs) == PYTHON.check(pairs) == [values[0].event_id.encode() for values in batch]


@settings(max_examples=500)
@given(sections(), st.randoms(use_true_random=True), st.integers(1, 3))
def test_the_native_kernel_accepts_no_damaged_field_that_the_reader_refuses(
    native: Kernel, values: tuple[Event, PersonalData | None], rng: random.Random, times: int
) -> None:
    event, personal = values
    nodes = event_nodes(event)
    private = personal_nodes(personal) if personal else []
    for _ in range(times):
        damage(private if private and rng.random() < 0.3 else nodes, rng)
    pair = encode_nodes(nodes), encode_nodes(private)
    assert native.check([pair]) == [_decided(*pair)]


@settings(max_examples=500)
@given(sections(), st.randoms(use_true_random=True), st.booleans())
def test_the_native_kernel_accepts_no_damaged_bytes_that_the_reader_refuses(
    native: Kernel, values: tuple[Event, PersonalData | None], rng: random.Random, hit_personal: bool
) -> None:
    event, personal = encode_sections(*values)
    pair = (event, damage_bytes(personal, rng)) if hit_personal and personal else (damage_bytes(event, rng), personal)
    assert native.check([pair]) == [_decided(*pair)]


@given(st.text("0123456789abcdefABCDEF:.%g /", max_size=45))
def test_the_native_kernel_accepts_no_address_that_the_reader_refuses(native: Kernel, text: str) -> None:
    pair = encode_event(LEAST_EVENT), encode_personal(PersonalData(ip=text, actor_name="a"))
    assert native.check([pair])[0] in {_decided(*pair), None}


@pytest.mark.parametrize(
    "text",
    [
        "::",
        "::1",
        "1::",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7::",
        "::2:3:4:5:6:7:8",
        "::ffff:1.2.3.4",
        "1:2:3:4:5:6:1.2.3.4",
    ],
)
def test_addresses_in_their_usual_forms_are_decided_by_the_native_kernel(native: Kernel, text: str) -> None:
    pair = encode_event(LEAST_EVENT), encode_personal(PersonalData(ip=text))
    assert native.check([pair]) == [_decided(*pair)] == [b"e-1"]


@pytest.mark.parametrize(
    "text",
    ["1:2:3:4:5:6:7:8::", "1::2::3", ":1", "1:", "12345::", "::1.2.3", "::01.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", ":::"],
)
def test_what_is_no_address_is_left_to_the_reader(native: Kernel, text: str) -> None:
    pair = encode_event(LEAST_EVENT), encode_personal(PersonalData(ip=text))
    assert native.check([pair]) == [_decided(*pair)] == [None]


@pytest.mark.parametrize(("event", "field", "_words"), _ENCODABLE)
def test_every_limit_of_an_event_is_kept(kernel: Kernel, event: Event, field: str, _words: str) -> None:
    assert kernel.check([(encode_event(event), b"")]) == [None], field


@pytest.mark.parametrize(("personal", "field", "_words"), BROKEN_PERSONAL_DATA)
def test_every_limit_of_personal_data_is_kept(kernel: Kernel, personal: PersonalData, field: str, _words: str) -> None:
    assert kernel.check([(encode_event(LEAST_EVENT), encode_personal(personal))]) == [None], field


@pytest.mark.parametrize(
    "event", [replace(LEAST_EVENT, event_id="ledger-1"), replace(LEAST_EVENT, action="ledger.key.created")]
)
def test_what_is_the_servers_is_left_to_the_reader(kernel: Kernel, event: Event) -> None:
    assert kernel.check([(encode_event(event), b"")]) == [None]


# The verdicts of the strict reader, on both kernels


def _verdict(kernel: Kernel, event: bytes, personal: bytes = b"") -> tuple[list[bytes], list[tuple[str, str, str]]]:
    """Return the ids that were accepted, and reason, field and words of what was refused."""
    accepted, refused = check_batch(kernel, [(event, personal)])
    told = [
        (error.reason, violation.field, violation.description)
        for error in refused.values()
        if isinstance(error, InvalidEventError)
        for violation in error.violations
    ]
    return [entry.event_id for entry in accepted], told


@pytest.mark.parametrize("data", GOOD_ENCODINGS)
def test_good_bytes_are_accepted(kernel: Kernel, data: bytes) -> None:
    assert _verdict(kernel, data) == ([b"e"], [])


@pytest.mark.parametrize(("data", "field", "words"), BROKEN_ENCODINGS)
def test_bytes_that_break_the_rule_are_refused_in_the_same_words(
    kernel: Kernel, data: bytes, field: str, words: str
) -> None:
    assert kernel.check([(data, b"")]) == [None]
    accepted, ((reason, found, description),) = _verdict(kernel, data)
    assert (accepted, reason, found) == ([], "EVENT_INVALID", field)
    assert words in description


@pytest.mark.parametrize("data", NEWER_ENCODINGS)
def test_newer_schemas_are_told_as_such(kernel: Kernel, data: bytes) -> None:
    accepted, ((reason, field, _),) = _verdict(kernel, data)
    assert (accepted, reason, field) == ([], "SCHEMA_NEWER", "event.schema")


@pytest.mark.parametrize(("event", "field", "_words"), _ENCODABLE)
def test_limits_of_an_event_are_told_as_the_python_kernel_does(
    kernel: Kernel, event: Event, field: str, _words: str
) -> None:
    data = encode_event(event)
    accepted, told = _verdict(kernel, data)
    assert (accepted, told) == _verdict(PYTHON, data)
    assert accepted == []
    # The rule about bytes names the branch of a value as well.
    assert any(found.startswith(field) for _, found, _ in told)


_VECTORS = json.loads(FILE.read_bytes())["sections"]


@pytest.mark.parametrize("vector", _VECTORS, ids=[f"{v['kind']}: {v['case']}" for v in _VECTORS])
def test_vectors_have_the_verdict_of_the_python_kernel(kernel: Kernel, vector: dict[str, Any]) -> None:
    data = base64.b64decode(vector["section"])
    pair = (data, b"") if vector["kind"] == "event" else (encode_event(LEAST_EVENT), data)
    assert _verdict(kernel, *pair) == _verdict(PYTHON, *pair)


def test_one_refused_event_leaves_the_others_decided(kernel: Kernel) -> None:
    good, bad = encode_sections(*_BOTH), (b"\xff", b"")
    assert kernel.check([good, bad, good]) == [b"e-1", None, b"e-1"]


def test_a_batch_is_entries_in_order_and_errors_by_position(kernel: Kernel) -> None:
    good, bad = encode_sections(*_BOTH), (b"\xff", b"")
    entries, refused = check_batch(kernel, [good, bad, good])
    assert entries == [NewEntry(b"e-1", *good)] * 2
    assert [(position, error.reason) for position, error in refused.items()] == [(1, InvalidEventError.reason)]


def test_keys_are_counted_over_both_sections(kernel: Kernel) -> None:
    def keys(prefix: str, count: int) -> tuple[MetadataEntry, ...]:
        return tuple(MetadataEntry(f"{prefix}{number:02}", "x") for number in range(count))

    for count, expected in ((32, b"e-1"), (33, None)):
        pair = (
            encode_event(replace(LEAST_EVENT, metadata=keys("a", 32))),
            encode_personal(PersonalData(metadata=keys("b", count))),
        )
        assert kernel.check([pair]) == [expected]


def test_sections_above_their_limits_are_left_to_the_reader(kernel: Kernel) -> None:
    event = encode_event(LEAST_EVENT)
    too_large = [
        (event.ljust(32769, b"\0"), b""),
        (event, bytes(61441)),
        (bytes(1 << 20), b""),
        (event, bytes(1 << 20)),
    ]
    assert kernel.check(too_large) == [None] * 4


# Seal, derive, acknowledge


@st.composite
def _drafts(draw: st.DrawFn) -> tuple[list[NewEntry], list[bytes], bytes, bytes, CompactRange]:
    content = st.binary(min_size=1, max_size=200)
    entries = [
        NewEntry(b"id", event, personal)
        for event, personal in draw(st.lists(st.tuples(content, st.just(b"") | content), min_size=1, max_size=20))
    ]
    principals = [leaf_prefix(time, bytes([time]) * 16, 1) for time in (1, 2)]
    prefixes = [draw(st.sampled_from(principals)) for _ in entries]
    salts = draw(st.randoms(use_true_random=False)).randbytes(2 * SALT_SIZE * len(entries))
    size = draw(st.integers(0, 40) | st.integers(0, (1 << 63) - 30))
    hashes = tuple(draw(st.lists(_HASHES, min_size=size.bit_count(), max_size=size.bit_count())))
    return entries, prefixes, salts, draw(_HASHES), CompactRange(size, hashes)


@given(_drafts())
def test_both_kernels_seal_the_same_bytes_and_derive_the_root_again(
    native: Kernel, drafts: tuple[list[NewEntry], list[bytes], bytes, bytes, CompactRange]
) -> None:
    sealed = native.seal(*drafts)
    assert sealed == PYTHON.seal(*drafts)
    tree = drafts[-1]
    assert native.derive_root(sealed.leaves, tree) == PYTHON.derive_root(sealed.leaves, tree) == sealed.root_hash


@given(_drafts(), st.integers(0, 1 << 40))
def test_the_native_acknowledgements_are_those_of_the_messages(
    native: Kernel, drafts: tuple[list[NewEntry], list[bytes], bytes, bytes, CompactRange], first_index: int
) -> None:
    sealed = PYTHON.seal(*drafts)
    entries = AppendedEntries(first_index, sealed.leaves, sealed.event_sections, sealed.personal_sections)
    by_rows, by_columns = ledger_pb2.AppendBatchResponse(), ledger_pb2.AppendBatchResponse()
    add_acknowledgements(by_rows, list(entries))
    add_acknowledgements(by_columns, entries)
    packed = native.acknowledge(entries)
    assert packed == by_rows.SerializeToString() == by_columns.SerializeToString()


def test_results_by_row_are_those_of_the_columns() -> None:
    entries = AppendedEntries(7, [b"a", b"b"], [b"s" * 16 + b"x", b"t" * 16 + b"y"], [b"", b"u" * 16 + b"z"])
    assert entries[-1] == (Outcome.APPENDED, 8, b"b", b"t" * 16, b"u" * 16)
    assert list(entries) == entries[:] == [*entries[:1], entries[1]]
    with pytest.raises(IndexError):
        entries[2]


def test_a_leaf_that_was_read_back_at_any_size_leads_to_another_root(kernel: Kernel) -> None:
    leaf = b"leaf"
    roots = {kernel.derive_root([read], CompactRange.empty()) for read in (leaf, leaf.ljust(1 << 20, b"\0"), b"")}
    assert len(roots) == 3


def test_input_of_another_shape_is_refused(native: Kernel) -> None:
    entry, tree = NewEntry(b"id", b"event", b""), CompactRange.empty()
    for entries, prefixes, salts, previous in (
        ([entry], [], bytes(32), bytes(32)),
        ([entry], [b"p"], bytes(31), bytes(32)),
        ([entry], [b"p"], bytes(32), bytes(31)),
        ([NewEntry(b"id", bytes(1 << 18), b"")], [b"p"], bytes(32), bytes(32)),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            native.seal(entries, prefixes, salts, previous, tree)
    with pytest.raises(ValueError, match="more entries than any commit has"):
        native.check([(b"", b"")] * 70_000)
    with pytest.raises(TypeError):
        native.check([(1, b"")])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="one row for each entry"):
        native.acknowledge(AppendedEntries(0, [b"leaf"], [], []))


# Choice


def _installed(monkeypatch: pytest.MonkeyPatch, interface: int, **functions: object) -> None:
    """Let another build of the module stand where an installed one would be found."""
    module = ModuleType("logproof_native")
    module.__dict__.update(INTERFACE=interface, __version__="0.0.9", **functions)
    monkeypatch.setitem(sys.modules, "logproof_native", module)
    # Set first, so that what is imported anew is taken away after the test, whether it was there before or not.
    monkeypatch.setitem(sys.modules, "ledger.engine.native_kernel", module)
    monkeypatch.delitem(sys.modules, "ledger.engine.native_kernel")


def test_the_native_kernel_is_used_where_it_is_installed_unless_it_is_switched_off(native: Kernel) -> None:
    assert choose_kernel("").name == native.name
    assert choose_kernel("off") is PYTHON


def test_without_the_module_the_python_kernel_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "logproof_native", None)
    monkeypatch.delitem(sys.modules, "ledger.engine.native_kernel", raising=False)
    assert choose_kernel("") is PYTHON


def test_a_module_of_another_interface_is_not_used_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _installed(monkeypatch, 2)
    assert choose_kernel("") is PYTHON
    assert caplog.messages == ["the native kernel is not used"]
    assert "interface" in caplog.records[0].__dict__["problem"]


def test_a_module_that_seals_other_bytes_is_not_used_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def seal(*_: object) -> tuple[list[bytes], list[bytes], list[bytes], bytes, bytes, bytes, bytes]:
        return [b"leaf"] * 4, [b"event"] * 4, [b""] * 4, bytes(128), bytes(32), bytes(32), bytes(32)

    _installed(monkeypatch, 1, seal=seal, derive_root=lambda *_: bytes(32))
    assert choose_kernel("") is PYTHON
    assert "does with a sample" in caplog.records[-1].__dict__["problem"]


def _as_the_reference(**others: object) -> dict[str, object]:
    """Return the functions of a module that does what the reference does, but for some."""

    def seal(
        entries: list[NewEntry], prefixes: list[bytes], salts: bytes, previous: bytes, size: int, hashes: bytes
    ) -> tuple[object, ...]:
        tree = CompactRange(size, tuple(split_hashes(hashes)))
        *columns, frontier, root = PYTHON.seal(entries, prefixes, salts, previous, tree)
        return (*columns, b"".join(frontier), root)

    def derive_root(leaves: list[bytes], size: int, hashes: bytes) -> bytes:
        return PYTHON.derive_root(leaves, CompactRange(size, tuple(split_hashes(hashes))))

    def acknowledge(
        first_index: int, leaves: list[bytes], event_sections: list[bytes], personal_sections: list[bytes]
    ) -> bytes:
        message = ledger_pb2.AppendBatchResponse()
        add_acknowledgements(message, list(AppendedEntries(first_index, leaves, event_sections, personal_sections)))
        return message.SerializeToString()

    functions = {"check": PYTHON.check, "seal": seal, "derive_root": derive_root, "acknowledge": acknowledge}
    return {**functions, **others}


def test_a_module_that_does_the_same_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, 1, **_as_the_reference())
    assert choose_kernel("").name == "native 0.0.9"


@pytest.mark.parametrize(
    "others",
    [
        {"check": lambda pairs: [b"e-1"] * len(pairs)},
        {"check": lambda pairs: [None] * len(pairs)},
        {"derive_root": lambda *_: bytes(32)},
        {"acknowledge": lambda *_: b""},
    ],
    ids=["accepts all", "accepts nothing", "another root", "other acknowledgements"],
)
def test_a_module_that_does_one_thing_otherwise_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, others: dict[str, object]
) -> None:
    _installed(monkeypatch, 1, **_as_the_reference(**others))
    assert choose_kernel("") is PYTHON
    assert caplog.messages == ["the native kernel is not used"]


def test_a_module_that_fails_is_not_used(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    _installed(monkeypatch, 1)
    assert choose_kernel("") is PYTHON
    assert "fails on a sample" in caplog.text


def test_the_environment_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "off")
    installed_kernel.cache_clear()
    try:
        assert installed_kernel() is PYTHON
    finally:
        installed_kernel.cache_clear()
