"""The one form of zip that a bundle may have: no byte of it is unread, and none can be read in two ways.

Entries stand one after another from the first byte on, in the order of their names, then the directory, then its end;
nothing precedes, follows or lies between. No encryption, extra fields, comments, data descriptors or zip64; the time is
that of the first day that a zip can name. The rule that must not break: names and sizes are checked before anything is
unpacked, and no more is unpacked than was announced.

Source: PKWARE APPNOTE 6.3.10 sections 4.3 and 4.4; RFC 1951.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from ledger.errors import MalformedError
from ledger.evidence.bundle_format import MAX_FILES, check_file_size, check_name

STORED: Final = 0
DEFLATED: Final = 8
LEVEL: Final = 6
"""Deflate level of what is written."""

MAX_RATIO: Final = 200
"""Most bytes that one deflated byte may become, beyond the first 64 KiB; more is stored as it is."""

MAX_ZIP_BYTES: Final = 2**32 - 1

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""Returns so many bytes from an offset on; fewer at the file's end."""

_RATIO_FREE: Final = 64 * 1024
_CHUNK: Final = 256 * 1024
# Signature, version, flags, method, time, date, CRC-32, packed and unpacked size, lengths of name and extra field.
_LOCAL: Final = Struct("<4sHHHHHIIIHH")
# Signature, version made by, then as above; length of comment, disk, attributes within and outside, offset.
_CENTRAL: Final = Struct("<4sHHHHHHIIIHHHHHII")
# Signature, two disks, two counts, size and offset of the directory, length of comment.
_END: Final = Struct("<4sHHHHIIH")
_VERSION: Final = 20
_MADE_BY: Final = 3 << 8 | _VERSION
_MODE: Final = 0o100644 << 16
_TIME: Final = 0
_DATE: Final = 1 << 5 | 1


class ZipMember(NamedTuple):
    """A file of a zip.

    Attributes:
        name: Its name.
        method: `STORED` or `DEFLATED`.
        crc: CRC-32 of its content.
        packed: Bytes in the zip.
        size: Bytes of its content.
        offset: Where its local header stands.
    """

    name: str
    method: int
    crc: int
    packed: int
    size: int
    offset: int

    @property
    def data_offset(self) -> int:
        """Where its bytes begin."""
        return self.offset + _LOCAL.size + len(self.name)


def local_header(member: ZipMember) -> bytes:
    """Return what stands before a file's bytes."""
    return _LOCAL.pack(b"PK\3\4", _VERSION, *_common(member), len(member.name), 0) + member.name.encode()


def directory(members: Sequence[ZipMember]) -> bytes:
    """Return what stands after all files."""
    central = b"".join(
        _CENTRAL.pack(
            b"PK\1\2", _MADE_BY, _VERSION, *_common(member), len(member.name), 0, 0, 0, 0, _MODE, member.offset
        )
        + member.name.encode()
        for member in members
    )
    offset = members[-1].data_offset + members[-1].packed if members else 0
    return central + _END.pack(b"PK\5\6", 0, 0, len(members), len(members), len(central), offset, 0)


def fits_ratio(packed: int, size: int) -> bool:
    """Return whether a file of `size` bytes may have been deflated to `packed`."""
    return size <= packed * MAX_RATIO + _RATIO_FREE


def read_directory(read: ReadAt, size: int) -> dict[str, ZipMember]:
    """Return the files of a zip by name, all that stands between them checked.

    Args:
        read: Reads the zip.
        size: Its bytes.

    Raises:
        MalformedError: It is not a zip of the one form.
    """
    if not _END.size <= size <= MAX_ZIP_BYTES:
        raise MalformedError(f"a bundle's zip has {_END.size} to {MAX_ZIP_BYTES} bytes, not {size}")
    end = read(size - _END.size, _END.size)
    signature, _, _, _, count, length, offset, _ = _END.unpack(end)
    if signature != b"PK\5\6":
        raise MalformedError("the file does not end as the zip of a bundle does")
    if not 0 < count <= MAX_FILES or offset + length + _END.size != size:
        raise MalformedError("the zip's directory does not end where the zip does, or lists too many files")
    central = read(offset, length)
    members: list[ZipMember] = []
    position = begin = 0
    for _ in range(count):
        header = central[position : position + _CENTRAL.size]
        if len(header) < _CENTRAL.size:
            raise MalformedError("the zip's directory is cut off")
        _, _, _, _, method, _, _, crc, packed, unpacked, name_length, *_ = _CENTRAL.unpack(header)
        position += _CENTRAL.size
        name = central[position : position + name_length].decode("latin-1")
        position += name_length
        check_name(name)
        if members and name <= members[-1].name:
            raise MalformedError(f"{name} is in the zip twice, or not in the order of names")
        check_file_size(name, unpacked)
        member = ZipMember(name, method, crc, packed, unpacked, begin)
        _check_packing(member)
        if read(begin, member.data_offset - begin) != local_header(member):
            raise MalformedError(f"what stands before {name} in the zip is not what its directory says")
        begin = member.data_offset + packed
        members.append(member)
    # One form has one directory: encryption, other times, extra fields and comments all show here.
    if begin != offset or directory(members) != central + end:
        raise MalformedError("the zip's directory is not in its one form")
    return {member.name: member for member in members}


def read_member(read: ReadAt, member: ZipMember) -> Iterator[bytes]:
    """Yield the content of a file, piece by piece.

    Raises:
        MalformedError: It does not unpack, or to something else than was announced.
    """
    # Pieces of about one size, whatever was packed how well.
    crc = size = 0
    for piece in _stored(read, member) if member.method == STORED else _inflated(read, member):
        size += len(piece)
        crc = zlib.crc32(piece, crc)
        if size > member.size:
            break
        yield piece
    if size != member.size or crc != member.crc:
        raise MalformedError(f"{member.name} does not unpack to what the zip says")


def _check_packing(member: ZipMember) -> None:
    name, method, packed, size = member.name, member.method, member.packed, member.size
    if method not in {STORED, DEFLATED} or (method == STORED and packed != size):
        raise MalformedError(f"{name} is not packed as a bundle's files are")
    if method == DEFLATED and not fits_ratio(packed, size):
        raise MalformedError(f"{name} unpacks to {size} bytes from {packed}; so much is refused")


def _stored(read: ReadAt, member: ZipMember) -> Iterator[bytes]:
    for offset in range(0, member.packed, _CHUNK):
        yield read(member.data_offset + offset, min(_CHUNK, member.packed - offset))


def _inflated(read: ReadAt, member: ZipMember) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for packed in _stored(read, member):
            rest = packed
            while rest or not inflater.eof:
                piece = inflater.decompress(rest, _CHUNK)
                rest = inflater.unconsumed_tail
                if piece:
                    yield piece
                if not piece and not rest:
                    break
            if inflater.eof and inflater.unused_data:
                break
    except zlib.error as error:
        raise MalformedError(f"{member.name} does not unpack: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise MalformedError(f"{member.name} does not unpack to its end")


def _common(member: ZipMember) -> tuple[int, ...]:
    return 0, member.method, _TIME, _DATE, member.crc, member.packed, member.size
