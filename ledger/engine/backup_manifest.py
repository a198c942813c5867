"""The manifest of a backup: what is in it, so that each file can be told from another and a head be held against it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger import __version__
from ledger.engine.files import write_new_file
from ledger.engine.records import LogRecord
from ledger.errors import CorruptionError, StorageFormatError
from ledger.storage.files import storage_error

MANIFEST_NAME: Final = "manifest.json"
"""Name of the file; a directory without it is no backup."""

FORMAT: Final = 1
"""Format number that this version writes and reads."""

_BLOCK_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class BackupLog:
    """One log of a backup.

    Attributes:
        record: Name, origin and verifier key.
        tree_size: Entries in the copy.
        root_hash: Their root, recomputed from the copy, 32 bytes.
        checkpoint: A signed checkpoint that the copy leads to; a few last entries may be beyond it.
        size: Bytes of the copied store's file.
        sha256: Digest of that file, in hex.
    """

    record: LogRecord
    tree_size: int
    root_hash: bytes
    checkpoint: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """What a backup holds.

    Attributes:
        made_at: Microseconds UTC.
        origin_prefix: What the origin of each log begins with.
        with_signing_keys: Whether the signing keys are in it, sealed.
        logs: The logs, by name.
    """

    made_at: int
    origin_prefix: str
    with_signing_keys: bool
    logs: tuple[BackupLog, ...]


def write_manifest(path: Path, manifest: BackupManifest) -> None:
    """Write the manifest of a backup's directory, durably."""
    fields = {
        "format": FORMAT,
        "program": __version__,
        "made_at": manifest.made_at,
        "origin_prefix": manifest.origin_prefix,
        "with_signing_keys": manifest.with_signing_keys,
        "logs": [
            {
                "name": log.record.name,
                "record": log.record.encode().decode(),
                "tree_size": log.tree_size,
                "root_hash": log.root_hash.hex(),
                "checkpoint": log.checkpoint,
                "size": log.size,
                "sha256": log.sha256,
            }
            for log in manifest.logs
        ],
    }
    write_new_file(path / MANIFEST_NAME, f"{json.dumps(fields, indent=2)}\n".encode())


def read_manifest(path: Path) -> BackupManifest:
    """Read the manifest of a backup's directory.

    Raises:
        StorageFormatError: There is none, or it is of a newer version.
        CorruptionError: It does not have its form.
        StorageError: It cannot be read.
    """
    try:
        fields = json.loads((path / MANIFEST_NAME).read_text())
        if fields["format"] != FORMAT:
            raise StorageFormatError(
                f"{path} is a backup of format {fields['format']}; this version reads format {FORMAT}",
                hint="use the version that made it, or a later one",
            )
        logs = tuple(
            BackupLog(
                record=LogRecord.decode(log["record"].encode()),
                tree_size=int(log["tree_size"]),
                root_hash=bytes.fromhex(log["root_hash"]),
                checkpoint=str(log["checkpoint"]),
                size=int(log["size"]),
                sha256=str(log["sha256"]),
            )
            for log in fields["logs"]
        )
        return BackupManifest(
            int(fields["made_at"]), str(fields["origin_prefix"]), bool(fields["with_signing_keys"]), logs
        )
    except FileNotFoundError as error:
        raise StorageFormatError(
            f"{path} is no backup: it has no {MANIFEST_NAME}", hint="give a directory that `logproof backup` made"
        ) from error
    except OSError as error:
        raise storage_error(f"cannot read {path / MANIFEST_NAME}", error) from error
    except (CorruptionError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptionError(f"{path / MANIFEST_NAME} does not have its form") from error


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
