"""A whole Debian beside containerd's own overlayfs, a changed container as an image, and a service that is stopped."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import tarfiles
from debian import debian_layer
from layerdisk.dmverity import read_dm_verity_info
from oci import busybox_layers, oci_archive
from stack import Stack, running

IMAGE = "example.test/image:1"
# The root's own time is that of its container.
LOOK = r"""
find / -xdev -mindepth 1 \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /lost+found \) -prune -o \
    \( -type d -printf '%p %M %U:%G %T@\n' -o -printf '%p %M %U:%G %s %n %l %T@\n' \) |
    grep -v '^/etc/resolv.conf ' | LC_ALL=C sort
getcap -r /usr 2>/dev/null | LC_ALL=C sort
sha256sum /etc/passwd /usr/bin/perl
"""
CHANGES = "rm -r /usr/share/doc; touch /new; chmod u+s /new; setcap cap_net_raw=ep /usr/bin/id; rm /etc/motd"


def see(stack: Stack, snapshotter: str, name: str, script: str) -> list[str]:
    done = stack.ctr(
        "run", "--rm", "--snapshotter", snapshotter, name, f"see-{snapshotter}", "/bin/sh", "-c", script
    )
    return str(done.stdout).splitlines()


def test_a_debian_is_seen_as_on_overlayfs_before_and_after_changes(
    newest_programs: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "image.tar"
    above = tarfiles.archive(
        tarfiles.directory("usr"), tarfiles.directory("usr/share"), tarfiles.regular("usr/share/.wh.perl5")
    )
    oci_archive(archive, IMAGE, [debian_layer().read_bytes(), above])
    seen: dict[str, list[str]] = {}
    changed: dict[str, list[str]] = {}
    with running(Stack(newest_programs, "overlay")) as stack:
        for snapshotter in ("layerdisk", "overlayfs"):
            stack.ctr("image", "import", "--local", "--snapshotter", snapshotter, archive)
            seen[snapshotter] = see(stack, snapshotter, IMAGE, LOOK)
            changed[snapshotter] = see(stack, snapshotter, IMAGE, f"{CHANGES}; {LOOK}")
    assert len(seen["layerdisk"]) > 5000
    assert any("cap_net_raw" in line for line in seen["layerdisk"])
    assert any(" -rwsr-xr-x " in line for line in seen["layerdisk"])
    assert not any(line.startswith("/usr/share/perl5 ") for line in seen["layerdisk"])
    assert [pair for pair in zip(*seen.values(), strict=True) if pair[0] != pair[1]] == []
    # Times of changes are those of now.
    untimed = [[line.rsplit(" ", 1)[0] for line in lines] for lines in changed.values()]
    assert [pair for pair in zip(*untimed, strict=True) if pair[0] != pair[1]] == []


def test_what_a_container_changed_runs_as_an_image(
    newest_programs: Path, image: Callable[[str], Path], busybox: Path, tmp_path: Path
) -> None:
    name = "example.test/busybox:1"
    script = "echo new > /etc/new; rm /etc/b; rm -r /etc/d; mkdir /etc/d; echo q > /etc/d/q"
    with running(Stack(newest_programs, "overlay")) as stack:
        stack.ctr("image", "import", "--local", "--snapshotter", "layerdisk", image("+gzip"))
        stack.ctr("run", "--snapshotter", "layerdisk", name, "k", "/bin/sh", "-c", script)
        plain = ["--media-type", "application/vnd.oci.image.layer.v1.tar"]
        diff = stack.ctr("snapshots", "--snapshotter", "layerdisk", "diff", *plain, "k", text=False)
        committed = tmp_path / "committed.tar"
        oci_archive(committed, "example.test/committed:1", [*busybox_layers(busybox), diff.stdout])
        stack.ctr("image", "import", "--local", "--snapshotter", "layerdisk", committed)
        look = "cat /etc/new /etc/d/*; ls /etc"
        assert see(stack, "layerdisk", "example.test/committed:1", look) == [
            "new", "q", "d", "new", "owned", "same", "top"
        ]  # fmt: skip


def test_blobs_may_come_from_containerds_directory(
    newest_programs: Path, image: Callable[[str], Path]
) -> None:
    stack = Stack(newest_programs, "lcow")
    content = stack.directory / "root" / "io.containerd.content.v1.content"
    stack._options += ["--content", f"local:{content}"]
    with running(stack):
        stack.ctr("image", "import", "--local", "--snapshotter", "layerdisk", image("+zstd"))
        assert len(stack.snapshots()) == 3


def test_a_service_that_is_stopped_lets_an_apply_end(newest_programs: Path, tmp_path: Path) -> None:
    archive = tmp_path / "large.tar"
    oci_archive(archive, IMAGE, [tarfiles.archive(tarfiles.regular("large", os.urandom(1 << 20) * 256))], "")
    with running(Stack(newest_programs, "lcow")) as stack:
        arguments = ("image", "import", "--local", "--snapshotter", "layerdisk", archive)
        importing = threading.Thread(target=stack.ctr, args=arguments, kwargs={"check": False})
        importing.start()
        stack.wait_until(lambda: any(stack.root.glob("snapshots/1")))
        time.sleep(0.1)
        stack.kill(stack.service, signal.SIGTERM)
        assert stack.service is not None
        assert stack.service.returncode == 0
        importing.join()
        applied = list(stack.root.glob("snapshots/1/*"))
        assert [path.name for path in applied] in (["layer.vhd"], [])
        if applied:
            assert b'msg="diff applied"' in stack.service_log()


def test_verity_disks_are_checked_before_they_are_mounted(
    newest_programs: Path, image: Callable[[str], Path]
) -> None:
    name = "example.test/busybox:1"
    with running(Stack(newest_programs, "overlay", "--verity")) as stack:
        stack.ctr("image", "import", "--local", "--snapshotter", "layerdisk", image("+gzip"))
        disks = sorted(stack.root.glob("snapshots/*/layer.vhd"))
        infos = [read_dm_verity_info(disk) for disk in disks]
        assert len({info.root_digest for info in infos}) == 3
        assert see(stack, "layerdisk", name, "cat /etc/b") == ["TWO"]
        stack.wait_until(lambda: not stack.mounts())
        with open(disks[0], "r+b") as disk:
            disk.seek(infos[0].hash_offset // 2)
            byte = disk.read(1)[0]
            disk.seek(-1, os.SEEK_CUR)
            disk.write(bytes([byte ^ 1]))
        arguments = ("run", "--rm", "--snapshotter", "layerdisk", name, "c", "/bin/true")
        refused = stack.ctr(*arguments, check=False)
        assert refused.returncode != 0
        assert b"code=DATA_LOSS" in stack.service_log()
        assert str(stack.root) not in refused.stderr
