"""Whole processes side by side: the Rust core, containerd's own path, the pure core, a pipeline without tar and ext4,
and the limit of the hardware.

    python -m benches.run [--quick] [--only NAME ...] [--formats FORMAT ...] [--rounds N] [--disk]

What is compared takes turns, round after round, and the median counts: a noisy machine is noisy for all. Results are
kept in .cache/bench; the tables in benches/README.md and the plots are made of all that are there.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from . import report
from .workloads import CACHE, ROOT, WORKLOADS, Workload

START_SECONDS = 0.05  # an interpreter and its imports
MAXIMUM_DISK_SIZE = 128 << 30  # of containerd's differ
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 11 << 30  # needed there for the largest workload
_PURE_LIMIT_BYTES = 500 << 20
_WARM_BYTES = 1 << 20  # at once
_QUICK = ("debian", "many-small", "files-100k")


@dataclass(frozen=True)
class Cost:
    """What a process took. `rss` is the largest of it and its children, in bytes."""

    wall: float
    cpu: float
    rss: float


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    names = options.only or (_QUICK if options.quick else WORKLOADS)
    rounds = options.rounds or (3 if options.quick else 5)
    place = CACHE if options.disk else _memory()
    kind = "disk" if options.disk else "memory"
    store = CACHE / f"results-{kind}.json"
    contenders = _contenders(options.skip)
    for name in names:
        for form in options.formats or WORKLOADS[name].formats:
            if form not in WORKLOADS[name].formats:
                continue
            with tempfile.TemporaryDirectory(dir=place, prefix="layerdisk-bench-") as scratch:
                row = _measure(WORKLOADS[name], form, contenders, Path(scratch), rounds, disk=options.disk)
            results = json.loads(store.read_text()) if store.exists() else {}
            old = results.get(f"{name}.{form}", {})
            if options.skip and set(options.skip) - {"pure"}:
                row = {**old, **row}  # only part of it was measured
            results[f"{name}.{form}"] = row
            store.write_text(json.dumps(results, indent=1))
            print(f"{name}.{form}: {report.line(row)}", flush=True)
    report.write(CACHE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benches.run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"three rounds of {', '.join(_QUICK)} only")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="NAME", help=", ".join(WORKLOADS))
    parser.add_argument("--formats", nargs="+", metavar="FORMAT", help="tar tar.gz tar.zst")
    parser.add_argument("--rounds", type=int, help="by default 5")
    parser.add_argument("--skip", nargs="+", choices=("peer", "pure", "bare", "limit"), default=[])
    parser.add_argument("--disk", action="store_true", help="onto the disk of .cache instead of memory")
    return parser


def _memory() -> Path:
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES:
        return _MEMORY
    raise SystemExit(f"benches: {_MEMORY} has less than {_MEMORY_BYTES >> 30} GiB free; use --disk")


def _contenders(skip: Sequence[str]) -> dict[str, Callable[[Path, Path], list[str]]]:
    """Give what runs, by name: input and output to a command line."""
    ours = [sys.executable, str(Path(sys.executable).with_name("layerdisk")), "convert"]
    options = ["--convert-whiteout", "--append-vhd-footer", "--maximum-disk-size", str(MAXIMUM_DISK_SIZE)]
    contenders: dict[str, Callable[[Path, Path], list[str]]] = {
        "rust": lambda source, target: [*ours, str(source), str(target), *options, "--core", "rust"],
        "pure": lambda source, target: [*ours, str(source), str(target), *options, "--core", "python"],
    }
    if "peer" not in skip:
        if shutil.which("igzip") is None:
            raise SystemExit("benches: igzip is not installed, with which the peer inflates; see README.md")
        oracle = _build_oracle()
        contenders["peer"] = lambda source, target: [oracle, "convert", "-o", str(target), str(source)]
    if "bare" not in skip:
        bare = [sys.executable, str(Path(__file__).with_name("bare.py"))]
        contenders["bare"] = lambda source, target: [*bare, str(source), str(target)]
    if "limit" not in skip:
        contenders["limit"] = lambda source, target: []
    return {name: command for name, command in contenders.items() if name not in skip}


def _build_oracle() -> str:
    sys.path.insert(0, str(ROOT / "tests"))
    from oracle_client import build  # type: ignore[import-not-found]

    return str(build())


def _measure(
    workload: Workload,
    form: str,
    contenders: dict[str, Callable[[Path, Path], list[str]]],
    scratch: Path,
    rounds: int,
    *,
    disk: bool,
) -> dict[str, object]:
    layer, target, image = (scratch / name for name in (form, "out", "image"))
    # Made in a process of its own: children start with the memory peak of their parent.
    make = [sys.executable, "-m", "benches.workloads", workload.name]
    subprocess.run(make, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    shutil.copyfile(workload.path(form), layer)
    plain = layer if form == "tar" else workload.path("tar")
    left_out = set() if workload.pure else {"pure"}
    if workload.group != "real":
        left_out.add("bare")  # padding makes the image larger than the tar
    if disk:
        left_out |= {"pure", "bare", "limit"}
    running = [name for name in contenders if name not in left_out]
    if not disk:
        run(contenders["rust"](layer, image))  # what the stage "write" writes
        written = image.stat().st_blocks * 512
    costs: dict[str, list[Cost]] = {name: [] for name in running if name != "limit"}
    stages: dict[str, list[float]] = {}
    for turn in range(rounds):
        for name in running[turn % len(running) :] + running[: turn % len(running)]:
            if name == "limit":
                for stage, command in _stages(form, layer, plain, image, target).items():
                    _warm(scratch / "warm", written)
                    stages.setdefault(stage, []).append(_seconds(command))
            else:
                if not disk:
                    _warm(scratch / "warm", written)
                costs[name].append(run(contenders[name](layer, target)))
                target.unlink()
                if disk:
                    os.sync()  # what one has deleted shall not cost the next
    row: dict[str, object] = {
        "title": workload.title,
        "group": workload.group,
        "format": form,
        "rounds": rounds,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "input": layer.stat().st_size,
    }
    for name, runs in costs.items():
        row[name] = asdict(
            Cost(median(c.wall for c in runs), median(c.cpu for c in runs), max(c.rss for c in runs))
        )
        row[f"{name}_walls"] = [round(c.wall, 4) for c in runs]
    if stages:
        row["stages"] = {stage: median(seconds) for stage, seconds in stages.items()}
        row["limit"] = limit(list(row["stages"].values()), _cores())  # type: ignore[attr-defined]
    return row


def limit(stages: Sequence[float], cores: int) -> float:
    """Give the seconds that no conversion on such a machine can go below, whatever overlaps."""
    return START_SECONDS + max(max(stages), sum(stages) / cores)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _stages(form: str, layer: Path, plain: Path, image: Path, target: Path) -> dict[str, list[object]]:
    """Give the arguments for benches.stages, by stage."""
    stages: dict[str, list[object]] = {}
    if form != "tar":
        stages["inflate"] = ["gzip" if form == "tar.gz" else "zstd", layer]
    return {**stages, "sha256": ["sha256", plain], "write": ["write", image, target]}


def _seconds(arguments: Sequence[object]) -> float:
    command = [sys.executable, "-m", "benches.stages", *map(str, arguments)]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def _warm(path: Path, length: int) -> None:
    """Make the machine have so many bytes of memory ready.

    A virtual machine gives memory that it does not use back to its host, seconds after it became free, and pays for
    it when it needs it again: up to five times what a write costs otherwise.
    """
    piece = bytes(_WARM_BYTES)
    with path.open("wb", buffering=0) as file:
        for _ in range(0, length, _WARM_BYTES):
            file.write(piece)
    path.unlink()


def run(command: Sequence[str]) -> Cost:
    """Run a process to its end and give its cost, that of its children included."""
    paths = [str(ROOT / "python"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode beside it
    # A process starts with the memory peak of the one that makes it: a small one does here.
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")), *command]
    done = subprocess.run(launcher, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return Cost(*map(float, done.stdout.split()[-3:]))


if __name__ == "__main__":
    main()
