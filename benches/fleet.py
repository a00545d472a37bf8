"""Many images: measured on this machine with 1, 2 and 4 workers, and simulated with up to 1,000.

    python -m benches.fleet measure
    python -m benches.fleet simulate

The simulation is of 10,000 images (see `catalog`) with the figures in `Figures`: what `measure` gives for one worker,
and assumed bandwidths. Each worker takes the next image when it is free and goes through its layers in order: one that
the destination has costs nothing, one that another worker is converting is waited for, any other is read from the
registry, which all share, and converted as it comes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import heapq
import json
import os
import random
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

WORKERS = (1, 2, 4, 10, 30, 100, 300, 1000)
MB = 1_000_000


@dataclass(frozen=True)
class Figures:
    """What the simulation stands on; rates are in bytes of the compressed layer a second."""

    convert: float  # by one worker on one core
    image_seconds: float  # for each image, whatever is in it: manifest, config, the job's way
    worker: float = 125 * MB  # from the registry to one worker: 1 Gbit/s
    registry: float = 1250 * MB  # from the registry to all together: 10 Gbit/s


@dataclass(frozen=True)
class Run:
    """What came out: how long it took, and the bounds that no number of workers gets below."""

    seconds: float
    registry_seconds: float
    slowest_seconds: float
    busy: float  # share of the workers' time in which they converted


def catalog(images: int = 10_000, seed: int = 18) -> list[list[tuple[str, float]]]:
    """Return images as the names and compressed sizes of their layers.

    Each stands on one of 20 bases (popular ones far more often) of 1 to 5 layers, has one of 300 runtimes with 2 more,
    and 1 to 4 of its own with a median of 4 MB; one in 1,000 has a layer of 2 to 4 GB, as models and toolkits do.
    """
    chance = random.Random(seed)
    bases = [
        [(f"base{n}-{k}", chance.lognormvariate(2.5, 1) * MB) for k in range(chance.randint(1, 5))]
        for n in range(20)
    ]
    runtimes = [
        bases[_popular(chance, 20)]
        + [(f"runtime{n}-{k}", chance.lognormvariate(2.5, 1.2) * MB) for k in (0, 1)]
        for n in range(300)
    ]
    made = []
    for n in range(images):
        own = [(f"own{n}-{k}", chance.lognormvariate(1.4, 1.5) * MB) for k in range(chance.randint(1, 4))]
        if n % 1000 == 500:
            own.append((f"own{n}-large", chance.uniform(2000, 4000) * MB))
        made.append(runtimes[_popular(chance, 300)] + own)
    return made


def _popular(chance: random.Random, count: int) -> int:
    """Return a number below `count`, the first ones more often, as names follow Zipf's law."""
    return chance.choices(range(count), [1 / (n + 1) for n in range(count)])[0]


def simulate(images: list[list[tuple[str, float]]], workers: int, figures: Figures) -> Run:
    """Return how long a number of workers takes, step by step in the order of time."""
    done: dict[str, float] = {}  # when each layer is there
    queue = iter(images)
    registry_free = busy = end = 0.0
    steps = [(0.0, number, iter(())) for number in range(workers)]  # when, who, what is left of its image
    heapq.heapify(steps)
    while steps:
        now, number, left = heapq.heappop(steps)
        layer = next(left, None)
        if layer is None:
            end = max(end, now)
            if (image := next(queue, None)) is not None:
                heapq.heappush(steps, (now + figures.image_seconds, number, iter(image)))
            continue
        name, size = layer
        if name not in done:
            # The registry gives out what is asked for in turn, as fast as it can; a worker takes it as fast as it can.
            registry_free = max(registry_free, now) + size / figures.registry
            done[name] = max(now + size / min(figures.worker, figures.convert), registry_free)
            busy += size / figures.convert
        heapq.heappush(steps, (max(now, done[name]), number, left))
    distinct = {name: size for image in images for name, size in image}
    rate = min(figures.worker, figures.convert)
    return Run(
        end,
        sum(distinct.values()) / figures.registry,
        max(sum(size for _, size in image) for image in images) / rate,
        busy / (end * workers),
    )


def print_simulation(figures: Figures) -> None:
    images = catalog()
    distinct = {name: size for image in images for name, size in image}
    together = sum(size for image in images for _, size in image)
    print(
        f"{len(images):,} images of {sum(map(len, images)):,} layers, {together / 1e12:.1f} TB; "
        f"{len(distinct):,} distinct, {sum(distinct.values()) / 1e12:.2f} TB\n"
        f"one core converts {figures.convert / MB:.0f} MB/s, {figures.image_seconds * 1000:.0f} ms for each image\n"
    )
    wide = replace(figures, registry=figures.registry * 10)
    print("| workers | registry of 10 Gbit/s | busy | registry of 100 Gbit/s | busy |")
    print("|--:|--:|--:|--:|--:|")
    for workers in WORKERS:
        runs = [simulate(images, workers, each) for each in (figures, wide)]
        cells = " | ".join(f"{_time(run.seconds)} | {run.busy * 100:.0f} %" for run in runs)
        print(f"| {workers:,} | {cells} |")
    bounds = " and ".join(_time(run.registry_seconds) for run in runs)
    print(f"\nthe registry alone takes {bounds}; the slowest image {runs[0].slowest_seconds:.0f} s")


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def measure(layer_bytes: int = 24 * MB) -> None:
    """Convert 40 images of 12 distinct layers with 1, 2 and 4 processes of dask, and print what that took."""
    from distributed import Client, LocalCluster
    from layerdisk.fleet import Job, convert_many

    with tempfile.TemporaryDirectory(prefix="layerdisk-bench-") as name:
        folder = Path(name)
        size = _write_layout(folder / "layout", layer_bytes)
        print(
            f"40 images of 4 layers, 12 distinct, {size / MB:.0f} MB compressed; {os.cpu_count()} processors"
        )
        for workers in (1, 2, 4):
            with (
                LocalCluster(workers, threads_per_worker=1, dashboard_address=None) as cluster,
                Client(cluster) as client,
            ):
                warm = [Job(f"oci:{folder}/layout", f"{folder}/warm{workers}", f"i{n}") for n in (0, 5)]
                list(convert_many(warm, executor=client.get_executor()))
                jobs = [Job(f"oci:{folder}/layout", f"{folder}/to{workers}", f"i{n}") for n in range(40)]
                started = time.monotonic()
                results = list(
                    convert_many(jobs, executor=client.get_executor(), cache=folder / f"cache{workers}")
                )
                seconds = time.monotonic() - started
                again = time.monotonic()
                list(convert_many(jobs, executor=client.get_executor()))
                again = time.monotonic() - again
            errors = [result.error for result in results if result.error is not None]
            converted = sum(layer.origin == "converted" for result in results for layer in result.layers)
            if errors or converted != 12:
                raise SystemExit(f"{converted} layers converted, errors: {errors}")
            print(
                f"{workers} workers: {seconds:.2f} s, {size / seconds / MB:.0f} MB/s; "
                f"with all layers there {again / 40 * 1000:.1f} ms an image"
            )


def _write_layout(root: Path, layer_bytes: int) -> int:
    """Write the images; returns the size of all blobs of layers."""
    import tarfile
    from io import BytesIO

    blobs = root / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    chance = random.Random(18)
    words = [chance.randbytes(chance.randint(3, 12)).hex().encode() for _ in range(5000)]

    def blob(content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    prefix = "application/vnd.oci.image."
    layers = []
    for number in range(12):
        tar = BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            for n in range(layer_bytes // 60_000):
                info = tarfile.TarInfo(f"usr/lib/{number}/{n}")
                content = b" ".join(chance.choices(words, k=3000))
                info.size = len(content)
                archive.addfile(info, BytesIO(content))
        diff_id = f"sha256:{hashlib.sha256(tar.getvalue()).hexdigest()}"
        layers.append((blob(gzip.compress(tar.getvalue(), 6), f"{prefix}layer.v1.tar+gzip"), diff_id))
    manifests = []
    for number in range(40):
        mine = [layers[(number + step) % 12] for step in (0, 1, 3, 6)]
        rootfs = {"type": "layers", "diff_ids": [diff_id for _, diff_id in mine]}
        config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": rootfs, "n": number}).encode()
        manifest = {
            "schemaVersion": 2,
            "config": blob(config, f"{prefix}config.v1+json"),
            "layers": [descriptor for descriptor, _ in mine],
        }
        described = blob(json.dumps(manifest).encode(), f"{prefix}manifest.v1+json")
        manifests.append(described | {"annotations": {"org.opencontainers.image.ref.name": f"i{number}"}})
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
    return sum(descriptor["size"] for descriptor, _ in layers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("measure", "simulate"))
    parser.add_argument("--convert", type=float, default=90, help="MB of compressed layers a second and core")
    parser.add_argument("--image-ms", type=float, default=17, help="milliseconds for each image")
    options = parser.parse_args()
    if options.what == "measure":
        measure()
    else:
        print_simulation(Figures(options.convert * MB, options.image_ms / 1000))


if __name__ == "__main__":
    main()
