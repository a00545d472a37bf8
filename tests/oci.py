"""Images for a containerd: OCI archives made here, layer by layer."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tarfiles
import zstandard

LAYER = "application/vnd.oci.image.layer.v1.tar"
COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "+gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "+zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}
APPLETS = [
    "sh",
    "ls",
    "cat",
    "echo",
    "touch",
    "rm",
    "mkdir",
    "chmod",
    "stat",
    "id",
    "ln",
    "find",
    "sort",
    "readlink",
    "sleep",
    "mv",
    "cp",
    "grep",
]


def oci_archive(path: Path, name: str, layers: Sequence[bytes], suffix: str = "+gzip") -> list[str]:
    """Write an archive of one image; returns the diffIDs."""
    blobs: dict[str, bytes] = {}

    def descriptor(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data), **more}

    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    platform = {"os": "linux", "architecture": "amd64"}
    config = {**platform, "config": {"Cmd": ["/bin/sh"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(COMPRESSED[suffix](layer), LAYER + suffix) for layer in layers],
    }
    top = descriptor(
        json.dumps(manifest).encode(),
        manifest["mediaType"],
        platform=platform,
        annotations={
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        },
    )
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [top]}).encode()
    files |= {f"blobs/sha256/{digest}": data for digest, data in blobs.items()}
    with tarfile.open(path, "w") as archive:
        for file, data in files.items():
            info = tarfile.TarInfo(file)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return diff_ids


def busybox_layers(busybox: Path) -> list[bytes]:
    """Return the three layers of an image that shows what may go wrong."""
    capability = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep
    base = tarfiles.archive(
        *(tarfiles.directory(name) for name in ["bin", "etc", "etc/d", "proc", "sys", "dev", "gone"]),
        tarfiles.directory("tmp", mode=0o1777),
        tarfiles.regular("bin/busybox", busybox.read_bytes(), mode=0o755),
        *(tarfiles.symlink(f"bin/{name}", "busybox") for name in APPLETS),
        tarfiles.regular("etc/a", b"one\n"),
        tarfiles.regular("etc/b", b"two\n"),
        tarfiles.regular("etc/d/x", b"x"),
        tarfiles.regular("gone/file", b"g"),
        tarfiles.regular("bin/suid", b"#!/bin/sh\n", mode=0o4755),
        tarfiles.pax({"SCHILY.xattr.security.capability": capability}),
        tarfiles.regular("bin/capable", b"#!/bin/sh\n", mode=0o755),
        tarfiles.regular("etc/owned", b"o", uid=1234, gid=5678, mode=0o640),
        tarfiles.hardlink("etc/same", "etc/b"),
    )
    middle = tarfiles.archive(
        tarfiles.directory("etc"),
        tarfiles.regular("etc/.wh.a"),
        tarfiles.directory("etc/d"),
        tarfiles.regular("etc/d/.wh..wh..opq"),
        tarfiles.regular("etc/d/z", b"z"),
        tarfiles.regular(".wh.gone"),
    )
    top = tarfiles.archive(tarfiles.regular("etc/b", b"TWO\n"), tarfiles.regular("etc/top", b"t" * 100_000))
    return [base, middle, top]
