"""Bundles: what holds is verified, and every single change of one is refused."""

from __future__ import annotations

import io
import random
import zlib

import pytest

from ledger.errors import ForkError, InvalidProofError, LedgerError, MalformedError
from ledger.evidence import bundle_zip
from ledger.evidence.bundle import BundleSource, verify_bundle
from ledger.evidence.bundle_format import MAX_FILE_BYTES, check_file_size, format_manifest, parse_manifest
from ledger.evidence.bundle_zip import DEFLATED, STORED, ZipMember, directory, fits_ratio, local_header, read_directory
from ledger.merkle import RangeVerifier, hash_leaf
from ledger.notes import Ed25519Verifier, parse_verifier_key
from tests.support.bundles import SIZE, Case, corpus, make_bundle, sample_log, to_zip

CASES = {case.name: case for case in corpus()}


class ZipSource:
    """A zip in memory."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self._members = read_directory(self._read, len(data))

    def sizes(self) -> dict[str, int]:
        return {name: member.size for name, member in self._members.items()}

    def read(self, name: str) -> object:
        return bundle_zip.read_member(self._read, self._members[name])

    def _read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)


def open_zip(data: bytes) -> BundleSource:
    return ZipSource(data)  # type: ignore[return-value]


def verifier_of(case: Case) -> Ed25519Verifier | None:
    key = parse_verifier_key(case.key) if case.key else None
    assert not case.key or isinstance(key, Ed25519Verifier)
    return key if isinstance(key, Ed25519Verifier) else None


@pytest.mark.parametrize("name", CASES)
def test_bundle_is_judged_as_its_change_deserves(name: str) -> None:
    case = CASES[name]
    data = case.zipped if case.zipped is not None else to_zip(case.files or {})

    def verify() -> object:
        return verify_bundle(open_zip(data), verifier_of(case), since=case.since, compare_rows=not case.quick)

    if case.code in {1, 2, 6}:
        with pytest.raises(ForkError if case.code == 6 else LedgerError) as raised:
            verify()
        assert isinstance(raised.value, ForkError) == (case.code == 6)
    else:
        verified = verify_bundle(open_zip(data), verifier_of(case), since=case.since, compare_rows=not case.quick)
        assert case.level.startswith(verified.level.label)
        assert bool(verified.missing) == (case.code == 3)


def test_progress_is_told_and_whole_range_is_counted() -> None:
    told: list[int] = []
    log = sample_log(1100)

    data = to_zip(make_bundle(log, 0, 1100, since=None))
    verified = verify_bundle(open_zip(data), log.verifier, progress=told.append)

    assert told == [1024]
    assert verify_bundle(open_zip(data), log.verifier) == verified
    assert len(verified.fingerprint) == 64
    assert verified.manifest.sections["event"]["shown"] == 1100


def test_stored_files_of_a_zip_are_read() -> None:
    data = b"x" * 600_000
    member = ZipMember("VERIFY.md", STORED, zlib.crc32(data), len(data), len(data), 0)
    file = io.BytesIO(local_header(member) + data + directory([member]))

    def read(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    found = read_directory(read, len(file.getvalue()))

    assert found == {"VERIFY.md": member}
    assert b"".join(bundle_zip.read_member(read, member)) == data


@pytest.mark.parametrize(
    "added", [{"size": -1}, {"size": 1}, {"crc": 1}, {"packed": -1}, {"packed": 1}, {"packed": 300_000}], ids=str
)
def test_file_that_unpacks_to_something_else_is_refused(added: dict[str, int]) -> None:
    whole = to_zip({"VERIFY.md": random.Random(1).randbytes(600_000)}) + bytes(400_000)
    members = read_directory(lambda offset, size: whole[:-400_000][offset : offset + size], len(whole) - 400_000)
    member = members["VERIFY.md"]
    member = member._replace(**{name: getattr(member, name) + more for name, more in added.items()})

    with pytest.raises(MalformedError):
        b"".join(bundle_zip.read_member(lambda offset, size: whole[offset : offset + size], member))


def test_file_that_is_not_deflated_is_refused() -> None:
    member = ZipMember("VERIFY.md", DEFLATED, 0, 100, 100, 0)

    with pytest.raises(MalformedError, match="does not unpack"):
        b"".join(bundle_zip.read_member(lambda _offset, size: b"\xff" * size, member))


def test_wild_ratio_is_told() -> None:
    assert fits_ratio(1000, 265_536)
    assert not fits_ratio(1000, 265_537)


def test_empty_directory_of_a_zip_is_written() -> None:
    assert directory([])[:4] == b"PK\5\6"


def test_manifest_comes_back_as_it_was_written() -> None:
    data = make_bundle(sample_log())["manifest.json"]

    assert format_manifest(parse_manifest(data)) == data


def test_file_may_be_as_large_as_its_limit_and_no_larger() -> None:
    check_file_size("VERIFY.md", MAX_FILE_BYTES)
    check_file_size("entries.ndjson", MAX_FILE_BYTES + 1)
    with pytest.raises(MalformedError):
        check_file_size("VERIFY.md", MAX_FILE_BYTES + 1)


@pytest.mark.parametrize(("begin", "proof"), [(9, ()), (-1, ()), (3, (b"x" * 32,)), (1, (b"x",))])
def test_range_that_no_proof_fits_is_refused_at_once(begin: int, proof: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidProofError):
        RangeVerifier(begin, 8, bytes(32), proof)


def test_range_beyond_its_tree_is_refused() -> None:
    verifier = RangeVerifier(0, 2, bytes(32), ())

    with pytest.raises(InvalidProofError, match="beyond the tree"):
        verifier.add([hash_leaf(b"")] * 3)


def test_range_without_leaves_proves_nothing() -> None:
    with pytest.raises(InvalidProofError, match="proves nothing"):
        RangeVerifier(0, 2, bytes(32), ()).finish()


def test_every_case_has_a_name_of_its_own() -> None:
    assert len(CASES) == len(list(corpus()))
    assert SIZE == 21
