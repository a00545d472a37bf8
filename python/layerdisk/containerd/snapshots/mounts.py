"""Layer disks as mounted directories: each loop-mounted read-only by mount(8), which looks after the loop device.

The kernel's table of mounts is the only record, so that a service that starts again finds what is there.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator

from ...errdefs import FailedPrecondition, Internal, NotFound

_MOUNT_SECONDS = 60
_MOUNTINFO = "/proc/self/mountinfo"


def mount_disk(disk: str, directory: str) -> None:
    """Mount the ext4 file system at the start of a disk file, read-only.

    Args:
        disk: a file that starts with an ext4 image; what follows it does not matter.
        directory: an existing one.

    Raises:
        NotFound: there is no such file or directory.
        FailedPrecondition: mount(8) or the kernel refuses.
    """
    for path in (disk, directory):
        if not os.path.exists(path):
            raise NotFound(f"{os.path.basename(path)} of the snapshot does not exist")
    _run(["mount", "-t", "ext4", "-o", "ro,loop", "--", disk, directory])


def unmount(directory: str) -> None:
    """Unmount what is mounted there, however often; nothing happens where nothing is.

    An overlay holds the file systems that it is made of, so that it goes on without this mount.
    """
    while directory in set(mounts_below(directory)):
        _run(["umount", "--", directory])


def mounts_below(root: str) -> Iterator[str]:
    """Return the mount points at or below a directory, the newest first.

    Args:
        root: absolute, without symlinks.
    """
    with open(_MOUNTINFO, "rb") as table:
        points = [_unescaped(line.split(b" ")[4]) for line in table]
    for point in reversed(points):
        if point == root or point.startswith(root.rstrip("/") + "/"):
            yield point


def _unescaped(field: bytes) -> str:
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), field))


def _run(command: list[str]) -> None:
    environment = {**os.environ, "LC_ALL": "C"}
    with contextlib.suppress(KeyError):
        environment["PATH"] += ":/usr/sbin:/sbin"
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_MOUNT_SECONDS,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        raise Internal(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise FailedPrecondition(f"{command[0]} did not end within {_MOUNT_SECONDS} seconds") from None
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise FailedPrecondition(f"{command[0]} failed: {reason[-1] if reason else done.returncode}")
