"""Machine code on disk, so that a program that runs again compiles nothing.

Entries are named by what they were made from: the text, the processor and the versions of the libraries. They are
written beside their place and moved there at once, so processes that start together do not disturb each other, and
they begin with a digest of what follows, so one that was damaged is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from pathlib import Path

from tinygraph.config import config

__all__ = ["folder", "load", "store"]

#: Entries that are kept; when there are more, the older half of them goes.
_KEPT = 8192

_DIGEST = 32


def folder() -> Path | None:
    """Where entries are: ``config.cache_dir``, or the system's place for caches; None where there can be none.

    Machine code is loaded from it, so it must belong to this user, and nobody else may write there.
    """
    path = Path(config.cache_dir) if config.cache_dir else _usual()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError:
        return None
    if hasattr(os, "geteuid") and (found.st_uid != os.geteuid() or found.st_mode & 0o022):
        return None
    return path


def _usual() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = str(Path("~/Library/Caches").expanduser())
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "tinygraph"


def _name(text: str, target: str) -> str:
    return hashlib.sha256(f"{target}\n{text}".encode()).hexdigest()


def load(text: str, target: str) -> bytes | None:
    """The object file that was made of this text for this target; None where there is none, or it is damaged."""
    place = folder()
    if place is None:
        return None
    try:
        whole = (place / _name(text, target)).read_bytes()
    except OSError:
        return None
    code = whole[_DIGEST:]
    return code if hashlib.sha256(code).digest() == whole[:_DIGEST] else None


def store(text: str, target: str, code: bytes) -> None:
    """Keep an object file; where the disk does not take it, it is made again next time."""
    place = folder()
    if place is None:
        return
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=place, prefix=".")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(temporary, place / _name(text, target))
        except OSError:
            Path(temporary).unlink(missing_ok=True)
        _thin_out(place)


def _thin_out(place: Path) -> None:
    entries = [entry for entry in os.scandir(place) if not entry.name.startswith(".")]
    if len(entries) <= _KEPT:
        return
    for entry in sorted(entries, key=lambda e: e.stat().st_mtime)[: len(entries) // 2]:
        Path(entry.path).unlink(missing_ok=True)
