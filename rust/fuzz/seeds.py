#!/usr/bin/env python3
"""Writes the layers of tests/layers as seeds: `seeds.py CORPUS MAX_LEN`.

A target's input is a few bytes of options, as its source says, and a tar.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "python"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from layers import BY_NAME, SMALL, layer, pattern
from tarfiles import regular

LAYERS = [
    *SMALL,
    # Large files with little in them.
    *(BY_NAME[name] for name in ["two-extents", "extent-index", "B1-340-extents", "B1-341-extents"]),
    # A file of which a piece can go to the sink without being gathered, wherever the piece starts.
    layer("file-of-100-kib", regular("f", pattern(100 << 10))),
]

CHUNKS = 9  # of at most 2^9 bytes
WHITEOUT, BACKSLASH, INLINE, REPRODUCE, FOOTER = 1, 2, 4, 8, 1 << 4
DISK_4_MIB, DISK_1_GIB, DISK_48_GIB = 0, 2 << 6, 3 << 6

# Target -> what makes a seed's name another -> options.
VARIANTS: dict[str, dict[str, bytes]] = {
    "tar_reader": {"": bytes([CHUNKS])},
    "convert": {
        "": bytes([WHITEOUT | DISK_1_GIB, CHUNKS]),
        "-reproduce": bytes([WHITEOUT | REPRODUCE | DISK_48_GIB, CHUNKS]),
        "-inline": bytes([WHITEOUT | BACKSLASH | INLINE | FOOTER | DISK_1_GIB, CHUNKS]),
        "-plain": bytes([DISK_4_MIB, CHUNKS]),
    },
}


def main(corpus: Path, max_len: int) -> None:
    """Write every seed that is not too long."""
    for target in VARIANTS:
        (corpus / target).mkdir(parents=True, exist_ok=True)
    for one in LAYERS:
        tar = one.tar
        for target, variants in VARIANTS.items():
            for suffix, options in variants.items():
                if len(options) + len(tar) <= max_len:
                    (corpus / target / (one.name + suffix)).write_bytes(options + tar)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
