"""Images through real containerds into snapshots of layerdisk, and containers that run on them."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from layerdisk.content import LocalStore
from layerdisk.errdefs import NotFound
from layerdisk.image import apply_image, read_image
from layerdisk.lcow import LcowDiffer
from layerdisk.sources import open_image
from stack import Stack

IMAGE = "example.test/busybox:1"
SCRIPT = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /lost+found \) -prune -o -print |
    sort | while read f; do echo "$f $(stat -c '%A %u:%g %s %h' "$f") $(readlink "$f")"; done
cat /etc/b /etc/same
"""
CHANGE = (
    "echo new > /etc/new; rm /etc/b; rm -r /etc/d; mkdir /etc/d; echo q > /etc/d/q;"
    " chmod 700 /tmp; ln /etc/new /etc/new2"
)

Start = Callable[..., Stack]


def members(layer: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=BytesIO(layer)) as archive:
        return {member.name: member for member in archive}


def seen_in(stack: Stack, snapshotter: str, script: str) -> list[str]:
    done = stack.ctr(
        "run", "--rm", "--snapshotter", snapshotter, IMAGE, f"c-{snapshotter}", "/bin/sh", "-c", script
    )
    lines = str(done.stdout).splitlines()
    return [
        line.rsplit(" ", 3)[0] if line.split(" ")[1:2] and line.split(" ")[1][:1] == "d" else line
        for line in lines
    ]


@pytest.mark.parametrize(
    ("mode", "local", "suffix"),
    [
        ("lcow", False, "+gzip"),
        ("lcow", True, ""),
        ("overlay", False, "+zstd"),
        ("overlay", True, "+gzip"),
    ],
    ids=["lcow-transfer-gzip", "lcow-local-plain", "overlay-transfer-zstd", "overlay-local-gzip"],
)
def test_an_image_is_imported_and_removed_without_a_trace(
    stack: Start, image: Callable[[str], Path], mode: str, local: bool, suffix: str
) -> None:
    running = stack(mode)
    arguments = ["--local"] if local else ["--local=false"]
    running.ctr("image", "import", *arguments, "--snapshotter", "layerdisk", image(suffix))
    assert len(running.snapshots()) == 3
    disks = sorted(running.root.glob("snapshots/*/layer.vhd"))
    assert len(disks) == 3
    assert all(disk.stat().st_nlink == 2 for disk in disks)  # in the pool and in the snapshot
    running.ctr("image", "rm", "--sync", IMAGE)
    running.wait_until(lambda: not running.files() and not running.mounts())
    assert running.loops() == []
    assert list(running.root.glob("snapshots/*")) == []


def test_containers_see_what_they_see_on_containerds_own_overlayfs(
    stack: Start, image: Callable[[str], Path]
) -> None:
    running = stack("overlay")
    for snapshotter in ("layerdisk", "overlayfs"):
        running.ctr("image", "import", "--local", "--snapshotter", snapshotter, image("+gzip"))
    own = seen_in(running, "layerdisk", SCRIPT)
    assert own == seen_in(running, "overlayfs", SCRIPT)
    names = {line.split(" ")[0] for line in own}
    assert {"/etc/b", "/etc/d/z", "/etc/top", "/bin/suid"} <= names
    assert not {"/etc/a", "/etc/d/x", "/gone"} & names


def test_a_changed_container_becomes_a_layer(
    stack: Start, image: Callable[[str], Path], tmp_path: Path
) -> None:
    running = stack("overlay")
    layers = {}
    for snapshotter in ("layerdisk", "overlayfs"):
        running.ctr("image", "import", "--local", "--snapshotter", snapshotter, image("+gzip"))
        running.ctr("run", "--snapshotter", snapshotter, IMAGE, f"k-{snapshotter}", "/bin/sh", "-c", CHANGE)
        plain = ["--media-type", "application/vnd.oci.image.layer.v1.tar"]
        diff = running.ctr(
            "snapshots", "--snapshotter", snapshotter, "diff", *plain, f"k-{snapshotter}", text=False
        )
        layers[snapshotter] = members(diff.stdout)
    ours, theirs = layers.values()
    assert {"etc/new", "etc/.wh.b", "etc/d/q", "tmp"} <= set(ours)
    # containerd compares file by file and hides each name that went; the overlay's own marker hides them all.
    assert set(theirs) - set(ours) == {"etc/d/.wh.z"}
    assert set(ours) - set(theirs) <= {"etc/d/.wh..wh..opq", "run", "dev", "proc", "sys"}
    for name in set(ours) & set(theirs):
        one, other = ours[name], theirs[name]
        assert (one.type, one.mode, one.uid, one.size) == (other.type, other.mode, other.uid, other.size), (
            name
        )
    assert {ours["etc/new"].linkname, ours["etc/new2"].linkname} == {"", "etc/new"}


def test_a_commit_of_a_changed_snapshot_can_be_run_on(stack: Start, image: Callable[[str], Path]) -> None:
    running = stack("overlay")
    running.ctr("image", "import", "--local", "--snapshotter", "layerdisk", image("+gzip"))
    running.ctr("run", "--snapshotter", "layerdisk", IMAGE, "k", "/bin/sh", "-c", CHANGE)
    running.ctr("containers", "rm", "--keep-snapshot", "k")
    running.ctr("snapshots", "--snapshotter", "layerdisk", "commit", "committed", "k")
    running.ctr("snapshots", "--snapshotter", "layerdisk", "prepare", "again", "committed")
    mount = str(running.ctr("snapshots", "--snapshotter", "layerdisk", "mounts", "/mnt", "again").stdout)
    assert "upperdir=" in mount
    lower = mount.partition("lowerdir=")[2].split(":")[0]
    assert Path(lower, "etc/d/q").read_text() == "q\n"
    assert Path(lower, "tmp").stat().st_mode & 0o7777 == 0o700
    assert Path(lower, "etc/b").is_char_device()


def test_the_same_layers_in_another_namespace_are_linked(stack: Start, image: Callable[[str], Path]) -> None:
    running = stack("overlay")
    for namespace in ("default", "other"):
        running.ctr(
            "-n", namespace, "image", "import", "--local", "--snapshotter", "layerdisk", image("+gzip")
        )
    disks = sorted(running.root.glob("snapshots/*/layer.vhd"))
    assert len(disks) == 6
    assert len({disk.stat().st_ino for disk in disks}) == 3
    assert running.service_log().count(b"how=linked") == 3


def test_the_disks_are_those_of_layerdisk_apply(
    stack: Start, image: Callable[[str], Path], tmp_path: Path
) -> None:
    running = stack("lcow")
    running.ctr("image", "import", "--local", "--snapshotter", "layerdisk", image("+gzip"))
    layout = tmp_path / "layout"
    with tarfile.open(image("+gzip")) as archive:
        archive.extractall(layout, filter="data")
    applied = apply_image(read_image(layout), tmp_path / "disks", lambda: LcowDiffer(LocalStore(layout)))
    own = {Path(layer.path).read_bytes() for layer in applied}
    assert {disk.read_bytes() for disk in running.root.glob("snapshots/*/layer.vhd")} == own


def test_an_image_of_a_containerd_is_a_source(
    stack: Start, image: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = stack("lcow")
    running.ctr("image", "import", "--local", "--snapshotter", "layerdisk", image("+gzip"))
    monkeypatch.setenv("CONTAINERD_ADDRESS", str(running.directory / "c.sock"))
    with open_image(f"containerd://default/{IMAGE}") as opened:
        apply_image(opened.image, tmp_path, lambda: LcowDiffer(opened.source))
    own = {path.read_bytes() for path in tmp_path.rglob("layer.vhd")}
    assert {disk.read_bytes() for disk in running.root.glob("snapshots/*/layer.vhd")} == own
    with pytest.raises(NotFound):
        open_image("containerd://default/no/such:1")
