"""Layers to measure with: seeded generators and real trees, each as tar, tar.gz and tar.zst, made once and cached.

The same seed gives the same bytes. Real layers are made with the scripts that the oracle tests use; a wheel is taken
from the package index that pip is configured with.
"""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "bench"
REAL_CACHE = ROOT / ".cache" / "real"  # shared with the oracle tests
ORACLE_SCRIPTS = ROOT / "tests" / "oracle"
# 1 GB in 12000 files, one of them of 0.8 GB
WHEEL = (
    "tensorflow-cpu",
    "2.18.0",
    "3.11",
    "manylinux_2_17_x86_64",
)

FORMATS = ("tar", "tar.gz", "tar.zst")
GZIP_LEVEL = 6  # what builders use
ZSTD_LEVEL = 3

_BLOCK = 512
_END = bytes(2 * _BLOCK)
_SEED = 20240229
_PIECE = 1 << 20


@dataclass(frozen=True)
class Workload:
    """A layer.

    Attributes:
        name: of the cached file.
        title: for people.
        make: writes the plain tar to a path.
        group: "real", "synthetic", or "count" (many files of 100 bytes).
        formats: that are measured.
        pure: whether the pure core is measured too.
    """

    name: str
    title: str
    make: Callable[[Path], None]
    group: str
    formats: tuple[str, ...] = FORMATS
    pure: bool = False

    def path(self, form: str = "tar") -> Path:
        """Give the cached file in a format, made now if it is not there."""
        if self.name in _REAL and form == "tar":
            directory, lock_name = REAL_CACHE, f"{self.name}.lock"
        else:
            directory, lock_name = CACHE, f"{self.name}.{form}.lock"
        path = directory / f"{self.name}.{form}"
        directory.mkdir(parents=True, exist_ok=True)
        with open(directory / lock_name, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                part = path.with_suffix(".part")
                if form == "tar":
                    self.make(part)
                else:
                    _compress(self.path("tar"), part, form)
                part.rename(path)
        return path


# Tar entries, written by hand: the standard library's tarfile takes minutes for a million of them.


def header(name: bytes, *, size: int = 0, kind: bytes = b"0", link: bytes = b"", mode: int = 0o644) -> bytes:
    """Give the ustar header block of an entry; its name and link have at most 100 bytes."""
    if len(name) > 100 or len(link) > 100:
        raise ValueError(f"{name!r} or {link!r} is longer than 100 bytes")
    start = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, 0, 0, size, 1700000000)
    end = kind + link.ljust(100, b"\0") + b"ustar\x0000" + bytes(247)
    checksum = sum(start) + 8 * 32 + sum(end)
    return start + b"%06o\0 " % checksum + end


def entry(name: bytes, data: bytes = b"", **fields: Any) -> bytes:
    """Give header, data and padding of an entry; a name that is too long goes into a pax record."""
    records = {}
    if len(name) > 100:
        records[b"path"] = name
        name = name[-100:]
    start = pax(records) if records else b""
    return start + header(name, size=len(data), **fields) + data + bytes(-len(data) % _BLOCK)


def pax(records: dict[bytes, bytes]) -> bytes:
    """Give an extended header with its records."""
    body = b""
    for key, value in records.items():
        rest = b" " + key + b"=" + value + b"\n"
        length = len(rest) + 1
        while length != len(b"%d" % length) + len(rest):
            length = len(b"%d" % length) + len(rest)
        body += b"%d" % length + rest
    return entry(b"PaxHeader", body, kind=b"x")


def small_files(count: int, *, data: Callable[[random.Random], bytes]) -> Iterator[bytes]:
    """Give the parts of an archive of many files, 250 to a directory."""
    rng = random.Random(_SEED)
    yield entry(b"srv/", kind=b"5", mode=0o755)
    for number in range(count):
        if number % 250 == 0:
            directory = b"srv/d%05d/" % (number // 250)
            yield entry(directory, kind=b"5", mode=0o755)
        yield entry(b"%sfile-%07d.txt" % (directory, number), data(rng))
    yield _END


def _many_small(path: Path) -> None:
    pool = random.Random(_SEED).randbytes(1 << 16)
    write_tar(path, small_files(20_000, data=lambda rng: pool[: int(rng.paretovariate(0.6) * 100) % 16_384]))


def _hundred_bytes(count: int) -> Callable[[Path], None]:
    pool = random.Random(_SEED).randbytes(1 << 12)

    def data(rng: random.Random) -> bytes:
        at = rng.getrandbits(11)
        return pool[at : at + 100]

    return lambda path: write_tar(path, small_files(count, data=data))


def _few_large(path: Path) -> None:
    rng = random.Random(_SEED)
    words = [rng.randbytes(rng.randrange(3, 12)) for _ in range(4096)]  # compresses about as programs do
    text = b"".join(rng.choices(words, k=1 << 20))

    def parts() -> Iterator[bytes]:
        for number in range(8):
            size = (32 << 20) + rng.randrange(1 << 20)
            yield header(b"lib%d.so" % number, size=size, mode=0o755)
            left = size
            while left:
                at = rng.randrange(len(text) // 2)
                piece = text[at : at + min(left, 1 << 18)]
                left -= len(piece)
                yield piece
            yield bytes(-size % _BLOCK)
        yield _END

    write_tar(path, parts())


def _deep(path: Path) -> None:
    def parts() -> Iterator[bytes]:
        for tree in range(60):
            name = b"tree%02d/" % tree
            yield entry(name, kind=b"5", mode=0o755)
            for level in range(100):
                name += b"level%03d/" % level
                yield entry(name, kind=b"5", mode=0o755)
                yield entry(name + b"file", b"at level %d\n" % level)
        yield _END

    write_tar(path, parts())


def _hard_links(path: Path) -> None:
    def parts() -> Iterator[bytes]:
        for directory in (b"store/", *(b"view%d/" % link for link in range(9))):
            yield entry(directory, kind=b"5", mode=0o755)
        for number in range(2_000):
            yield entry(b"store/%04d/" % number, kind=b"5", mode=0o755)
            target = b"store/%04d/data" % number
            yield entry(target, b"%d\n" % number * 100)
            for link in range(9):
                yield entry(b"view%d/%04d" % (link, number), kind=b"1", link=target)
        yield _END

    write_tar(path, parts())


def _xattrs(path: Path) -> None:
    rng = random.Random(_SEED)

    def parts() -> Iterator[bytes]:
        yield entry(b"bin/", kind=b"5", mode=0o755)
        for number in range(10_000):
            records = {
                b"SCHILY.xattr.security.capability": bytes.fromhex(
                    "0100000200200000000000000000000000000000"
                ),
                b"SCHILY.xattr.user.checksum": rng.randbytes(16).hex().encode(),
            }
            if number % 3 == 0:  # more than fits into an inode
                records[b"SCHILY.xattr.user.comment"] = rng.randbytes(rng.randrange(50, 500)).hex().encode()
            yield pax(records)
            yield entry(b"bin/tool-%05d" % number, rng.randbytes(rng.randrange(1, 600)), mode=0o755)
        yield _END

    write_tar(path, parts())


def _sparse(path: Path) -> None:
    """pax sparse files of form 1.0: the map stands in front of the data."""
    rng = random.Random(_SEED)

    def parts() -> Iterator[bytes]:
        yield entry(b"var/", kind=b"5", mode=0o755)
        for number in range(40):
            fragments, at = [], 0
            for _ in range(200):
                at += rng.randrange(1, 64) * 4096
                length = rng.randrange(1, 8) * 4096
                fragments.append((at, length))
                at += length
            numbers = [len(fragments), *(value for fragment in fragments for value in fragment)]
            body = b"".join(b"%d\n" % value for value in numbers)
            body += bytes(-len(body) % _BLOCK)
            body += b"".join(rng.randbytes(length) for _, length in fragments)
            records = {
                b"GNU.sparse.major": b"1",
                b"GNU.sparse.minor": b"0",
                b"GNU.sparse.name": b"var/disk-%02d.img" % number,
                b"GNU.sparse.realsize": b"%d" % (at + 4096),
            }
            yield pax(records)
            yield entry(b"GNUSparseFile.0/disk-%02d.img" % number, body)
        yield _END

    write_tar(path, parts())


def write_tar(path: Path, parts: Iterator[bytes]) -> None:
    """Write the parts of an archive as they come."""
    with open(path, "wb", buffering=_PIECE) as file:
        file.writelines(parts)


def _by_script(name: str) -> Callable[[Path], None]:
    return lambda path: _run(ORACLE_SCRIPTS / f"{name}.sh", path)


def _wheel(path: Path) -> None:
    """A large wheel as a layer that `pip install` would make: unpacked and tarred."""
    package, version, python, platform = WHEEL
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        download = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", scratch]
        tags = ["--python-version", python, "--platform", platform]
        _run(sys.executable, "-m", "pip", *download, *tags, f"{package}=={version}")
        tree = Path(scratch) / "site-packages"
        for wheel in Path(scratch).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(tree)
            wheel.unlink()
        fixed = [
            "--format=pax",
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--mtime=@1700000000",
        ]
        fixed.append("--pax-option=delete=atime,delete=ctime")
        _run("tar", *fixed, "-C", scratch, "-cf", path, tree.name)


def _run(*command: str | os.PathLike[str]) -> None:
    subprocess.run(command, check=True)


def _compress(plain: Path, target: Path, form: str) -> None:
    with open(plain, "rb") as source, open(target, "wb") as sink:
        if form == "tar.gz":
            squeeze = zlib.compressobj(GZIP_LEVEL, wbits=16 + zlib.MAX_WBITS)
        else:
            import zstandard

            squeeze = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compressobj()
        while piece := source.read(_PIECE):
            sink.write(squeeze.compress(piece))
        sink.write(squeeze.flush())


_REAL = ("debian", "npm")

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("debian", "Debian root", _by_script("debian"), "real"),
        Workload("npm", "npm tree", _by_script("npm"), "real"),
        Workload("wheel", "large wheel", _wheel, "real"),
        Workload("many-small", "20k small files", _many_small, "synthetic", pure=True),
        Workload("few-large", "8 files of 32 MiB", _few_large, "synthetic", pure=True),
        Workload("deep", "60 trees of 100 levels", _deep, "synthetic", pure=True),
        Workload("hard-links", "18k hard links", _hard_links, "synthetic", pure=True),
        Workload("xattrs", "10k files with xattrs", _xattrs, "synthetic", pure=True),
        Workload("sparse", "40 sparse files", _sparse, "synthetic", pure=True),
        Workload("files-100k", "100k files of 100 B", _hundred_bytes(100_000), "count", ("tar",), pure=True),
        Workload("files-1m", "1M files of 100 B", _hundred_bytes(1_000_000), "count", ("tar",)),
    )
}


def make(names: Sequence[str]) -> None:
    """Make what is not there yet, as `python -m benches.workloads [NAME ...]` does."""
    for name in names:
        for form in WORKLOADS[name].formats:
            path = WORKLOADS[name].path(form)
            print(f"{path.name:<22} {path.stat().st_size:>12}", flush=True)


if __name__ == "__main__":
    make(sys.argv[1:] or list(WORKLOADS))
