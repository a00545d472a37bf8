"""An overlay of the kernel over an image: every node of the layer can be looked at, chowned and renamed in it.

What a guest does with a layer: xattrs that the kernel refuses, or that steer the overlay, show only there.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import layers
import pytest
from comparison import attempt
from layers import Layer
from tarfiles import archive, directory, regular, symlink

Mount = Callable[[Path], Path]
# Layers whose nodes have xattrs, and one for each kind of fault of theirs.
CODES = ("B2", "B5", "B6", "B8", "N1", "N6", "N7", "N12", "N13", "N14", "N15")
WITH_XATTRS = [
    one
    for one in layers.SMALL
    if one.refusal is None and (one.name.split("-")[0] in CODES or "xattr" in one.name)
]
METACOPY = archive(
    directory("d", xattrs={"trusted.overlay.redirect": b"/elsewhere"}),
    regular("f", b"data", xattrs={"trusted.overlay.metacopy": b"", "trusted.overlay.origin": b"x"}),
    symlink("s", "f", xattrs={"user.a": b"1"}),
)


@pytest.fixture
def overlay(tmp_path: Path, mounted: Mount) -> Iterator[Callable[[Path], Path]]:
    """Gives a function that mounts an overlay, with an empty upper directory, over an image."""
    points: list[Path] = []

    def mount(image: Path) -> Path:
        lower = mounted(image)
        base = tmp_path / f"overlay{len(points)}"
        for name in ("tmpfs", "merged"):
            (base / name).mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", base / "tmpfs"], check=True)
        points.append(base / "tmpfs")
        for name in ("upper", "work"):
            (base / "tmpfs" / name).mkdir()
        options = f"lowerdir={lower},upperdir={base}/tmpfs/upper,workdir={base}/tmpfs/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, base / "merged"], check=True)
        points.append(base / "merged")
        return base / "merged"

    yield mount
    for point in reversed(points):
        subprocess.run(["umount", point], check=True)


def use_every_node(top: Path) -> int:
    """Look at, chown and rename all that is there, what is in a directory before the directory; returns how many."""
    used = 0
    for above, directories, files in os.walk(top, topdown=False):
        for name in [*files, *directories]:
            path = Path(above, name)
            os.lstat(path)
            os.listxattr(path, follow_symlinks=False)
            os.chown(path, 1234, 5678, follow_symlinks=False)
            if (
                not path.is_dir() or path.is_symlink()
            ):  # a directory of a lower layer is copied by mv, not renamed
                os.rename(path, path.with_name("renamed"))
                os.rename(path.with_name("renamed"), path)
            assert os.lstat(path).st_uid == 1234
            used += 1
    return used


@pytest.mark.parametrize("layer", WITH_XATTRS, ids=lambda layer: layer.name)
def test_nodes_with_xattrs_can_be_used_in_an_overlay(
    core: str, scratch: Path, overlay: Mount, layer: Layer
) -> None:
    image = scratch / "overlay.img"
    assert attempt(layer.tar, image, core=core, convert_whiteout=True).error is None
    assert use_every_node(overlay(image)) > 0


def test_what_steers_the_overlay_is_left_out(core: str, scratch: Path, overlay: Mount) -> None:
    image = scratch / "overlay.img"
    done = attempt(METACOPY, image, core=core, convert_whiteout=True)
    assert done.error is None
    merged = overlay(image)
    assert (merged / "f").read_bytes() == b"data"
    assert use_every_node(merged) == 4  # with lost+found


def test_hcsshims_bytes_are_not_usable_there(scratch: Path, overlay: Mount) -> None:
    """That the judge sees the difference."""
    image = scratch / "overlay.img"
    assert attempt(METACOPY, image, core="rust", convert_whiteout=True, reproduce_defects=True).error is None
    with pytest.raises(OSError):
        use_every_node(overlay(image))


def test_there_are_layers_of_each_kind() -> None:
    assert {"B5", "N12", "N14"} <= {layer.name.split("-")[0] for layer in WITH_XATTRS}
