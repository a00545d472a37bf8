"""What the modules that speak to other programs import: registries and containerd."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """What a module imports when it is loaded, what only once a function needs it, and what for its types only."""

    at_start: str
    late: str = ""
    for_types: str = ""


ARROWS_ABROAD = {
    "cli/serve": Row("cli/_options", late="containerd/config containerd/logs containerd/server"),
    "registry": Row("", for_types="registry/client registry/credentials registry/reference"),
    "registry/auth": Row("registry/credentials errdefs"),
    "registry/blob": Row("registry/client descriptor errdefs"),
    "registry/client": Row(
        "registry/auth registry/credentials registry/reference descriptor media_types errdefs"
    ),
    "registry/credentials": Row("errdefs"),
    "registry/push": Row("registry/client sources/layout descriptor errdefs"),
    "registry/reference": Row("descriptor errdefs"),
    "containerd": Row(""),
    "containerd/api": Row(""),
    "containerd/config": Row("containerd/snapshots/snapshotter descriptor diff errdefs"),
    "containerd/content": Row("containerd/api content descriptor errdefs"),
    "containerd/diff_service": Row(
        "containerd/api containerd/content containerd/metrics containerd/service containerd/snapshots/database "
        "containerd/snapshots/snapshotter containerd/upper cancel descriptor diff errdefs lcow media_types mount "
        "tar2ext4"
    ),
    "containerd/logs": Row(""),
    "containerd/metrics": Row("errdefs"),
    "containerd/server": Row(
        "containerd/api containerd/config containerd/content containerd/diff_service containerd/metrics "
        "containerd/snapshot_service containerd/snapshots/snapshotter containerd/upper content errdefs",
        late="lcow tar2ext4 dmverity",
    ),
    "containerd/service": Row("containerd/content containerd/metrics errdefs"),
    "containerd/snapshot_service": Row(
        "containerd/api containerd/metrics containerd/service containerd/snapshots/database "
        "containerd/snapshots/filters containerd/snapshots/snapshotter errdefs mount"
    ),
    "containerd/snapshots": Row(
        "containerd/snapshots/database containerd/snapshots/filters containerd/snapshots/snapshotter"
    ),
    "containerd/snapshots/database": Row("errdefs"),
    "containerd/snapshots/disks": Row("containerd/snapshots/database descriptor io"),
    "containerd/snapshots/filters": Row("containerd/snapshots/database errdefs"),
    "containerd/snapshots/mounts": Row("errdefs"),
    "containerd/snapshots/snapshotter": Row(
        "containerd/snapshots/database containerd/snapshots/disks containerd/snapshots/mounts errdefs io lcow mount"
    ),
    "containerd/upper": Row("errdefs media_types"),
}
