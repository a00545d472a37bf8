"""Peak memory and use of disk on layers that would be large, made on the fly by a file object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from comparison import attempt
from tarfiles import archive, pax_sparse

MB = 1_000_000
GIB = 1 << 30

# The child converts a layer that no disk holds, and prints its peak memory.
CHILD = """
import json, os, resource, sys
sys.path[:0] = {path!r}
from tarfiles import END, padded, pax, regular, directory
from layerdisk.errdefs import DiskSizeExceeded
from layerdisk.tar2ext4 import convert

class Stream:
    # A reader over a generator of pieces.
    def __init__(self, pieces):
        self.pieces, self.rest = pieces, memoryview(b"")
    def readinto(self, buffer):
        while not len(self.rest):
            piece = next(self.pieces, None)
            if piece is None:
                return 0
            self.rest = memoryview(piece)
        count = min(len(buffer), len(self.rest))
        buffer[:count] = self.rest[:count]
        self.rest = self.rest[count:]
        return count
    def read(self, size):
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(memoryview(buffer))])

def small_files(count):
    # One header is made; the name's digits and the checksum are put into copies of it.
    model = bytearray(padded(regular("d000/file-0000000", b"x" * 100)))
    names = sum(model[:148]) + sum(model[156:512]) + 8 * 32
    base = names - sum(model[:17])
    batch = []
    for i in range(count):
        if i % 1000 == 0:
            batch.append(directory("d%03d" % (i // 1000)))
        name = b"d%03d/file-%07d" % (i // 1000, i)
        model[:17] = name
        if len(name) > 17:
            raise SystemExit("the name does not fit")
        model[148:156] = b"%06o\\0 " % (base + sum(name))
        batch.append(bytes(model))
        if len(batch) >= 500:
            yield b"".join(batch)
            batch = []
    yield b"".join(batch) + END

def large_files(count, size):
    piece = os.urandom(1 << 20)
    for i in range(count):
        yield regular("file-%d" % i, b"", replace={{124: b"%011o\\0" % size}})
        for _ in range(size // len(piece)):
            yield piece
    yield END

def deep_paths(count, levels):
    # Paths through directories that have no entries of their own.
    for i in range(count):
        yield file_of_path("%d/" % i + "a/" * levels + "file")
    yield END

def file_of_path(path):
    return pax({{"path": path}}) + padded(regular("file"))

def peak():
    # In bytes. Where there is /proc, without what getrusage takes over from the parent process.
    if os.path.exists("/proc/self/status"):
        return 1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before = peak()
try:
    result = convert(Stream({layer}), {out!r}, core={core!r}, maximum_disk_size={maximum})
except DiskSizeExceeded as error:
    print(json.dumps({{"peak": peak(), "before": before, "error": str(error)}}))
else:
    print(json.dumps({{"peak": peak(), "before": before, "inodes": result.inodes, "size": result.size}}))
"""


def peak_of(layer: str, core: str, out: Path, maximum: int = 1 << 37) -> dict[str, Any]:
    here = Path(__file__).parents[1]
    path = [str(here), *(entry for entry in sys.path if entry)]
    child = CHILD.format(path=path, layer=layer, out=str(out), core=core, maximum=maximum)
    done = subprocess.run([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("count", "limits"),
    [
        pytest.param(100_000, {"rust": 30 * MB, "python": 140 * MB}, id="100k"),
        pytest.param(1_000_000, {"rust": 120 * MB, "python": 1000 * MB}, id="1M"),
    ],
)
def test_memory_for_many_small_files(core: str, scratch: Path, count: int, limits: dict[str, int]) -> None:
    if core == "python" and count > 100_000 and os.environ.get("LAYERDISK_TEST_SLOW") != "1":
        pytest.skip("slow: set LAYERDISK_TEST_SLOW=1")
    found = peak_of(f"small_files({count})", core, scratch / "small.img")
    os.unlink(scratch / "small.img")
    assert found["inodes"] == count + count // 1000 + 2
    assert found["peak"] <= limits[core], found


def test_memory_for_a_gigabyte_of_large_files(core: str, scratch: Path) -> None:
    found = peak_of("large_files(10, 100 << 20)", core, scratch / "gigabyte.img")
    os.unlink(scratch / "gigabyte.img")
    assert found["size"] > 1_000 * MB
    assert found["peak"] <= 64 * MB, found


def test_directories_that_do_not_fit_are_refused_before_they_take_memory(core: str, scratch: Path) -> None:
    """Paths of 4 kB each name 2,000 directories; there is room for some 15,000 of 4096 + 256 bytes."""
    found = peak_of("deep_paths(500, 2000)", core, scratch / "deep.img", maximum=64 << 20)
    assert found["error"].endswith(": the image exceeds the maximum disk size of 67108864 bytes"), found
    assert found["peak"] - found["before"] <= 40 * MB, found


@pytest.mark.parametrize("version", ["0.1", "1.0"])
def test_sparse_file_of_60_gb_takes_little_disk(core: str, scratch: Path, version: str) -> None:
    size = 60_000_000_000
    tar = archive(pax_sparse("sparse", size, [(size // 2, b"middle"), (size - 3, b"end")], version=version))
    assert len(tar) < 6000
    image = scratch / "sparse.img"
    ours = attempt(tar, image, core=core, maximum_disk_size=128 * GIB)
    assert ours.result is not None, repr(ours.error)
    info = image.stat()
    image.unlink()
    assert info.st_size > size
    assert info.st_blocks * 512 < 4 * MB
