"""What every file of a data directory needs: durable names, local filesystems, errors of the operating system in ours.

A file whose directory was not synced may be gone after a power cut, and a lock or a shared memory map on a network
filesystem holds nobody back: both rules are kept here, for all of `ledger.storage`.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from ledger.errors import StorageError, StorageFullError

# Filesystems where locks and memory maps of one machine are not seen, or not in time, by another. Source: statfs(2)
# and linux/magic.h. FUSE may be local, but nothing tells, and its maps are only as coherent as its server.
REMOTE_FILESYSTEMS = {
    0x00006969: "NFS",
    0x0000517B: "SMB",
    0x01021997: "9p",
    0x0BD00BD0: "Lustre",
    0x00C36400: "Ceph",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x65735546: "FUSE",
    0x73757245: "Coda",
    0x7461636F: "OCFS2",
    0xFE534D42: "SMB2",
    0xFF534D42: "CIFS",
}

# Filesystems of this machine that do not outlive it, or its container. Source: linux/magic.h.
_SHORT_LIVED_FILESYSTEMS = {
    0x01021994: "in memory, and gone when the machine stops",
    0x858458F6: "in memory, and gone when the machine stops",
    0x794C7630: "in a container's own layer, and gone with the container",
}


class _FilesystemInfo(ctypes.Structure):
    # struct statfs of statfs(2); the padding covers what is not read here.
    _fields_ = (("f_type", ctypes.c_long), ("_pad", ctypes.c_char * 248))


def filesystem_magic(path: Path) -> int:
    """Return the kernel's number for the kind of filesystem that `path` is on.

    Raises:
        StorageError: The path does not exist or cannot be asked.

    Source: statfs(2).
    """
    info = _FilesystemInfo()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(path), ctypes.byref(info)) != 0:
        number = ctypes.get_errno()
        raise storage_error(f"cannot ask for the filesystem of {path}", OSError(number, os.strerror(number)))
    return int(info.f_type) & 0xFFFFFFFF


def check_local_filesystem(path: Path) -> None:
    """Return if `path`, which exists, is on a filesystem of this machine; raise otherwise.

    Raises:
        StorageError: The filesystem is a remote one, or the path cannot be asked.
    """
    kind = REMOTE_FILESYSTEMS.get(filesystem_magic(path))
    if kind is not None:
        raise StorageError(
            f"{path} is on a {kind} filesystem, where locks and memory maps are not reliable",
            hint="keep the data on a disk of this machine",
            metadata={"path": str(path), "filesystem": kind},
        )


def short_lived_filesystem(path: Path) -> str:
    """Return why what is kept at `path`, which exists, will not be there for long; empty where nothing says so."""
    return _SHORT_LIVED_FILESYSTEMS.get(filesystem_magic(path), "")


def sync_path(path: Path) -> None:
    """Make the content of a file, or the names in a directory, durable, whoever wrote them.

    Raises:
        OSError: It cannot be opened or synced.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_error(action: str, error: OSError) -> StorageError:
    """Return the storage error for an error of the operating system.

    Args:
        action: What could not be done and with which path, such as `cannot open /data/guard`.
        error: Why.

    Returns:
        StorageFullError where the disk or quota is full, StorageError otherwise.
    """
    message = f"{action}: {error.strerror or error}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFullError(message, hint="make room on that volume")
    hint = ""
    if error.errno == errno.ENOMEM:
        hint = "each open log maps its store: the limit of address space (`ulimit -v`) must leave room for the map size"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        hint = "the directory and its files must be readable and writable for the user that runs this"
    return StorageError(message, hint=hint)
