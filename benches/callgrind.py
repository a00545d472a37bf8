"""Instruction counts of the Rust core under valgrind, against a recorded baseline; run by benches/callgrind.sh."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .workloads import CACHE, write_tar
from .workloads import small_files as _small_files

BASELINE = Path(__file__).with_name("callgrind-baseline.json")
TOLERANCE = 0.02  # hash seeds differ from run to run, by less than a thousandth
LAYERS = {  # small ones: valgrind is about 50 times slower; what they lack in size the counts have in precision
    "4000 files of 100 bytes": (4000, 100),
    "400 files of 20000 bytes": (400, 20_000),
}


def main() -> int:
    """Count, compare and print; 1 if a count is more than the tolerance above its baseline."""
    program, *flags = sys.argv[1:]
    counts = {name: _count(program, *shape) for name, shape in LAYERS.items()}
    if flags == ["--record"]:
        BASELINE.write_text(json.dumps(counts, indent=2) + "\n")
    baseline = json.loads(BASELINE.read_text())
    worse = False
    for name, count in counts.items():
        before = baseline[name]
        change = count / before - 1
        verdict = "as before" if abs(change) <= TOLERANCE else "worse" if change > 0 else "better: record it"
        worse |= change > TOLERANCE
        print(f"{name:<26} {count:>14,} instructions, baseline {before:>14,}, {change:+.2%}: {verdict}")
    return int(worse)


def _count(program: str, files: int, length: int) -> int:
    """Convert a layer of so many files of that length, into memory."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        layer, profile = Path(scratch) / "layer.tar", Path(scratch) / "profile"
        write_tar(layer, _small_files(files, data=lambda rng: rng.randbytes(length)))
        valgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={profile}"]
        subprocess.run([*valgrind, program, str(layer)], check=True, stdout=subprocess.DEVNULL)
        # A thread each for source, digest and conversion: the last line sums them up.
        totals = re.findall(r"^(?:summary|totals): (\d+)", profile.read_text(), re.MULTILINE)
    return int(totals[-1])


if __name__ == "__main__":
    sys.exit(main())
