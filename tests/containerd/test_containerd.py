"""Images through real containerds into snapshots of layerdisk, and containers that run on them."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import grpc
import pytest
import tarfiles
from layerdisk.containerd.api.services.diff.v1 import diff_pb2, diff_pb2_grpc
from layerdisk.containerd.api.services.snapshots.v1 import snapshots_pb2, snapshots_pb2_grpc
from layerdisk.containerd.api.types import descriptor_pb2
from layerdisk.content import LocalStore
from layerdisk.errdefs import NotFound
from layerdisk.image import apply_image, read_image
from layerdisk.lcow import LcowDiffer
from layerdisk.sources import open_image
from oci import oci_archive
from stack import Stack, running

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
    started = stack(mode)
    arguments = ["--local"] if local else ["--local=false"]
    started.ctr("image", "import", *arguments, "--snapshotter", "layerdisk", image(suffix))
    assert len(started.snapshots()) == 3
    disks = sorted(started.root.glob("snapshots/*/layer.vhd"))
    assert len(disks) == 3
    assert all(disk.stat().st_nlink == 2 for disk in disks)  # in the pool and in the snapshot
    started.ctr("image", "rm", "--sync", IMAGE)
    started.wait_until(lambda: not started.files() and not started.mounts())
    assert started.loops() == []
    assert list(started.root.glob("snapshots/*")) == []


def test_containers_see_what_they_see_on_containerds_own_overlayfs(
    stack: Start, image: Callable[[str], Path]
) -> None:
    started = stack("overlay")
    for snapshotter in ("layerdisk", "overlayfs"):
        started.ctr("image", "import", "--local", "--snapshotter", snapshotter, image("+gzip"))
    own = seen_in(started, "layerdisk", SCRIPT)
    assert own == seen_in(started, "overlayfs", SCRIPT)
    names = {line.split(" ")[0] for line in own}
    assert {"/etc/b", "/etc/d/z", "/etc/top", "/bin/suid"} <= names
    assert not {"/etc/a", "/etc/d/x", "/gone"} & names


def test_a_changed_container_becomes_a_layer(
    stack: Start, image: Callable[[str], Path], tmp_path: Path
) -> None:
    started = stack("overlay")
    layers = {}
    for snapshotter in ("layerdisk", "overlayfs"):
        started.ctr("image", "import", "--local", "--snapshotter", snapshotter, image("+gzip"))
        started.ctr("run", "--snapshotter", snapshotter, IMAGE, f"k-{snapshotter}", "/bin/sh", "-c", CHANGE)
        plain = ["--media-type", "application/vnd.oci.image.layer.v1.tar"]
        diff = started.ctr(
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
    started = stack("overlay")
    started.ctr("image", "import", "--local", "--snapshotter", "layerdisk", image("+gzip"))
    started.ctr("run", "--snapshotter", "layerdisk", IMAGE, "k", "/bin/sh", "-c", CHANGE)
    started.ctr("snapshots", "--snapshotter", "layerdisk", "commit", "committed", "k")
    started.ctr("snapshots", "--snapshotter", "layerdisk", "prepare", "again", "committed")
    mount = str(started.ctr("snapshots", "--snapshotter", "layerdisk", "mounts", "/mnt", "again").stdout)
    assert "upperdir=" in mount
    lower = mount.partition("lowerdir=")[2].split(":")[0]
    assert Path(lower, "etc/d/q").read_text() == "q\n"
    assert Path(lower, "tmp").stat().st_mode & 0o7777 == 0o700
    assert Path(lower, "etc/b").is_char_device()


def test_the_same_layers_in_another_namespace_are_linked(stack: Start, image: Callable[[str], Path]) -> None:
    started = stack("overlay")
    for namespace in ("default", "other"):
        started.ctr(
            "-n", namespace, "image", "import", "--local", "--snapshotter", "layerdisk", image("+gzip")
        )
    disks = sorted(started.root.glob("snapshots/*/layer.vhd"))
    assert len(disks) == 6
    assert len({disk.stat().st_ino for disk in disks}) == 3
    assert started.service_log().count(b"how=linked") == 3


def test_the_disks_are_those_of_layerdisk_apply(
    stack: Start, image: Callable[[str], Path], tmp_path: Path
) -> None:
    started = stack("lcow")
    started.ctr("image", "import", "--local", "--snapshotter", "layerdisk", image("+gzip"))
    layout = tmp_path / "layout"
    with tarfile.open(image("+gzip")) as archive:
        archive.extractall(layout, filter="data")
    applied = apply_image(read_image(layout), tmp_path / "disks", lambda: LcowDiffer(LocalStore(layout)))
    own = {Path(layer.path).read_bytes() for layer in applied}
    assert {disk.read_bytes() for disk in started.root.glob("snapshots/*/layer.vhd")} == own


def test_an_image_of_a_containerd_is_a_source(
    stack: Start, image: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = stack("lcow")
    started.ctr("image", "import", "--local", "--snapshotter", "layerdisk", image("+gzip"))
    monkeypatch.setenv("CONTAINERD_ADDRESS", str(started.directory / "c.sock"))
    with open_image(f"containerd://default/{IMAGE}") as opened:
        apply_image(opened.image, tmp_path, lambda: LcowDiffer(opened.source))
    own = {path.read_bytes() for path in tmp_path.rglob("layer.vhd")}
    assert {disk.read_bytes() for disk in started.root.glob("snapshots/*/layer.vhd")} == own
    with pytest.raises(NotFound):
        open_image("containerd://default/no/such:1")


def test_a_namespace_gets_no_disk_of_a_blob_that_it_does_not_have(
    newest_programs: Path, image: Callable[[str], Path]
) -> None:
    with running(Stack(newest_programs, "lcow")) as stack:
        stack.ctr("image", "import", "--local", "--snapshotter", "layerdisk", image("+gzip"))
        blob = next(
            line.split()[0]
            for line in str(stack.ctr("content", "ls").stdout).splitlines()
            if "uncompressed" in line
        )
        with grpc.insecure_channel(f"unix:{stack.directory / 'l.sock'}") as channel:
            snapshots = snapshots_pb2_grpc.SnapshotsStub(channel)  # type: ignore[no-untyped-call]
            mounts = snapshots.Prepare(snapshots_pb2.PrepareSnapshotRequest(key="x")).mounts
            layer = "application/vnd.oci.image.layer.v1.tar+gzip"
            request = diff_pb2.ApplyRequest(
                diff=descriptor_pb2.Descriptor(media_type=layer, digest=blob, size=1), mounts=mounts
            )
            apply = diff_pb2_grpc.DiffStub(channel).Apply  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.RpcError) as caught:
                apply(request, metadata=[("containerd-namespace", "elsewhere")])
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            assert os.listdir(mounts[0].source) == []
            apply(request, metadata=[("containerd-namespace", "default")])
            assert os.listdir(mounts[0].source) == ["layer.vhd"]


def test_findings_are_logged_and_counted(newest_programs: Path, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    oci_archive(archive, IMAGE, [tarfiles.archive(tarfiles.regular("a/b/c"), tarfiles.regular("d/e"))])
    with running(Stack(newest_programs, "lcow")) as stack:
        stack.ctr("image", "import", "--local", "--snapshotter", "layerdisk", archive)
        assert b"findings=B13:2" in stack.service_log()
