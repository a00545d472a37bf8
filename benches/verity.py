"""dm-verity side by side: root hashes with hcsshim's, appended trees with conversions without, hashing with one stream.

    python -m benches.verity [--only NAME ...] [--rounds N]

Whole processes take turns, round after round, and the median counts; benches/README.md has the table.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .run import MAXIMUM_DISK_SIZE, Cost, _build_oracle, _memory, run
from .workloads import ROOT, WORKLOADS

_LAYERS = ("debian", "npm")
_SPARSE_BYTES = 100_000_000_000
_HASHED_BYTES = 256 << 20
_LAYERDISK = [sys.executable, str(Path(sys.executable).with_name("layerdisk"))]


@dataclass(frozen=True)
class Part:
    """Two ways to do something: the first is held against the second."""

    title: str
    ours: Callable[[Path, Path], list[str]]
    theirs: Callable[[Path, Path], list[str]]
    limit: float


def _convert(source: Path, target: Path, *options: str) -> list[str]:
    sizes = ["--convert-whiteout", "--maximum-disk-size", str(MAXIMUM_DISK_SIZE)]
    return [*_LAYERDISK, "convert", str(source), str(target), *sizes, *options]


def _parts(oracle: str) -> list[Part]:
    return [
        Part(
            "root hash, against hcsshim",
            lambda source, _: [*_LAYERDISK, "roothash", str(source)],
            lambda source, _: [oracle, "roothash", str(source)],
            0.33,
        ),
        Part(
            "append_dm_verity, against without",
            lambda source, target: _convert(source, target, "--append-dm-verity"),
            _convert,
            1.35,
        ),
        Part(
            "verify, against veritysetup",
            lambda source, target: [*_LAYERDISK, "verity", "verify", str(_image(source, target))],
            lambda source, target: ["veritysetup", "verify", *_of(_image(source, target))],
            1.0,
        ),
    ]


_IMAGES: dict[Path, tuple[Path, list[str]]] = {}


def _image(source: Path, target: Path) -> Path:
    """Return a verity image of a layer, made once."""
    if source not in _IMAGES:
        from layerdisk.dmverity import read_dm_verity_info

        image = target.with_name(f"{source.name}.image")
        subprocess.run(_convert(source, image, "--append-dm-verity"), check=True, stdout=subprocess.DEVNULL)
        info = read_dm_verity_info(image)
        _IMAGES[source] = (
            image,
            [str(image), str(image), info.root_digest, f"--hash-offset={info.hash_offset}"],
        )
    return _IMAGES[source][0]


def _of(image: Path) -> list[str]:
    return next(arguments for path, arguments in _IMAGES.values() if path == image)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.verity", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="NAME", default=_LAYERS)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    print(
        "| what | layer | ours | CPU | peak | other | CPU | peak | ratio | wanted |\n"
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    with tempfile.TemporaryDirectory(dir=_memory(), prefix="layerdisk-bench-") as scratch:
        for name in options.only:
            _measure(WORKLOADS[name].path("tar.gz"), name, Path(scratch), options.rounds)
        _measure_sparse(Path(scratch))
    _measure_hashing(options.rounds)


def _measure(blob: Path, name: str, scratch: Path, rounds: int) -> None:
    make = [sys.executable, "-m", "benches.workloads", name]
    subprocess.run(make, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    layer, target = scratch / f"{name}.tar.gz", scratch / "out"
    shutil.copyfile(blob, layer)
    for part in _parts(_build_oracle()):
        costs: dict[str, list[Cost]] = {"ours": [], "theirs": []}
        for turn in range(rounds):
            for who in ["ours", "theirs"] if turn % 2 else ["theirs", "ours"]:
                command = (part.ours if who == "ours" else part.theirs)(layer, target)
                command[0] = shutil.which(command[0]) or command[0]
                costs[who].append(run(command))
                target.unlink(missing_ok=True)
        ours, theirs = (_middle(costs[who]) for who in ("ours", "theirs"))
        _print(part.title, f"{name}, tar.gz", ours, theirs, part.limit)


def _middle(costs: Sequence[Cost]) -> Cost:
    return Cost(median(c.wall for c in costs), median(c.cpu for c in costs), max(c.rss for c in costs))


def _print(title: str, layer: str, ours: Cost, theirs: Cost, limit: float) -> None:
    cells = [
        cell
        for cost in (ours, theirs)
        for cell in (f"{cost.wall:.2f} s", f"{cost.cpu:.2f} s", f"{cost.rss / 1e6:.0f} MB")
    ]
    print(
        "|",
        " | ".join([title, layer, *cells, f"{ours.wall / theirs.wall:.2f}", f"{limit:.2f}"]),
        "|",
        flush=True,
    )


def _measure_sparse(scratch: Path) -> None:
    """The root hash of a layer that would be 100 GB: time and memory of ours alone."""
    sys.path.insert(0, str(ROOT / "tests"))
    from tarfiles import archive, pax_sparse  # type: ignore[import-not-found]

    layer = scratch / "sparse.tar"
    layer.write_bytes(
        archive(pax_sparse("sparse", _SPARSE_BYTES, [(_SPARSE_BYTES // 2, b"middle")], version="1.0"))
    )
    cost = run([*_LAYERDISK, "roothash", str(layer)])
    cells = f"{cost.wall:.2f} s | {cost.cpu:.2f} s | {cost.rss / 1e6:.0f} MB"
    print(f"| root hash | sparse, 100 GB | {cells} |  |  |  |  |  |")


def _measure_hashing(rounds: int) -> None:
    """Leaves of 4 KiB on one core, against one stream of sha256, both in this process."""
    import hashlib
    import os
    import time

    from layerdisk import _rust
    from layerdisk.options import VerityOptions

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one worker, and no reading beside it
    data = os.urandom(_HASHED_BYTES)

    file = tempfile.TemporaryFile(dir=_memory(), buffering=0)  # noqa: SIM115
    file.write(data)

    def leaves() -> None:
        _rust.verity_build(file.fileno(), len(data), [(0, len(data))], VerityOptions(), 0, None)

    seconds: dict[str, list[float]] = {"leaves": [], "stream": []}
    for _ in range(max(rounds, 5) * 2):
        for name, work in [("leaves", leaves), ("stream", lambda: hashlib.sha256(data).digest())]:
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    rates = {name: len(data) / min(values) / 1e6 for name, values in seconds.items()}
    ratio = rates["leaves"] / rates["stream"]
    print(
        f"| leaves of 4 KiB, one core, against one stream | 256 MiB | {rates['leaves']:.0f} MB/s |  |  "
        f"| {rates['stream']:.0f} MB/s |  |  | {ratio:.2f} | 1.60 |"
    )


if __name__ == "__main__":
    main()
