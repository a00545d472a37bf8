"""The stages of a conversion, each alone at its library's best: `python -m benches.stages STAGE FILE [OUT]`.

Prints the seconds spent in the library or the kernel; reading the input is not counted. Together they bound how fast
a conversion can be (see `limit` in benches/run.py).
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import time
from pathlib import Path

_BUFFER_BYTES = 256 * 1024  # stays in the second-level cache
_FEED_BYTES = 128 * 1024
_WRITE_BYTES = 1024 * 1024


def inflate_gzip(path: Path) -> float:
    """Inflate a gzip stream of one member with isal."""
    from isal import isal_zlib

    data = memoryview(path.read_bytes())
    started = time.perf_counter()
    member = isal_zlib.decompressobj(wbits=31)
    at = 0
    while not member.eof:
        feed = member.unconsumed_tail
        if not feed:
            feed = data[at : at + _FEED_BYTES]
            at += _FEED_BYTES
        member.decompress(feed, _BUFFER_BYTES)
    return time.perf_counter() - started


def inflate_zstd(path: Path) -> float:
    """Decompress a zstd stream of one frame."""
    import zstandard

    source = io.BytesIO(path.read_bytes())
    buffer = bytearray(_BUFFER_BYTES)
    started = time.perf_counter()
    plain = zstandard.ZstdDecompressor().stream_reader(source, read_size=_FEED_BYTES)
    while plain.readinto(buffer):
        pass
    return time.perf_counter() - started


def sha256(path: Path) -> float:
    """Hash a file with OpenSSL."""
    digest = hashlib.sha256()
    buffer = bytearray(_BUFFER_BYTES)
    view = memoryview(buffer)
    spent = 0.0
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            started = time.perf_counter()
            digest.update(view[:count])
            spent += time.perf_counter() - started
    return spent


def write(path: Path, target: Path) -> float:
    """Write what is not a hole of an image, give the file its length, and bring it to disk."""
    end = path.stat().st_size
    buffer = bytearray(_WRITE_BYTES)
    view = memoryview(buffer)
    spent = 0.0
    with open(path, "rb", buffering=0) as source, open(target, "wb", buffering=0) as sink:
        for start, stop in _data_ranges(source.fileno(), end):
            source.seek(start)
            at = start
            while at < stop:
                count = source.readinto(view[: min(_WRITE_BYTES, stop - at)])
                started = time.perf_counter()
                os.pwrite(sink.fileno(), view[:count], at)
                spent += time.perf_counter() - started
                at += count
        started = time.perf_counter()
        os.ftruncate(sink.fileno(), end)
        os.fsync(sink.fileno())
        spent += time.perf_counter() - started
    target.unlink()
    return spent


def _data_ranges(descriptor: int, end: int) -> list[tuple[int, int]]:
    ranges = []
    at = 0
    while at < end:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # nothing but a hole is left
            break
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        ranges.append((start, at))
    return ranges


STAGES = {"gzip": inflate_gzip, "zstd": inflate_zstd, "sha256": sha256, "write": write}

if __name__ == "__main__":
    print(STAGES[sys.argv[1]](*map(Path, sys.argv[2:])))
