"""OCI image layouts built piece by piece, right or wrong."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from layerdisk import media_types
from tarfiles import archive, regular

REF = "org.opencontainers.image.ref.name"
FULL = "io.containerd.image.name"


class Layout:
    """A layout in a directory; what is made is written at once, but for `index`, which takes the whole index."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def path(self, digest: str) -> Path:
        return self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def blob(self, content: bytes, media_type: str = "", **fields: Any) -> dict[str, Any]:
        """Write a blob; gives its descriptor."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.path(digest).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)} | fields

    def document(self, value: Any, media_type: str, **fields: Any) -> dict[str, Any]:
        return self.blob(json.dumps(value).encode(), media_type, **fields)

    def layer(self, tar: bytes) -> tuple[dict[str, Any], str]:
        """Write a gzip layer; gives its descriptor and diffID."""
        blob = self.blob(gzip.compress(tar, mtime=0), media_types.OCI_LAYER_GZIP)
        return blob, "sha256:" + hashlib.sha256(tar).hexdigest()

    def image(
        self,
        name: str = "f",
        platform: str = "linux/amd64",
        *,
        stated: bool = False,
        layers: int = 1,
        config: dict[str, Any] | None = None,
        manifest: dict[str, Any] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Write an image whose layers have one file each.

        Args:
            name: of the files, which makes the image another one than others.
            platform: that the config names.
            stated: the descriptor names it too.
            layers: how many.
            config: further fields of the config.
            manifest: of the manifest.
            fields: of the descriptor.
        """
        made = [self.layer(archive(regular(f"{name}{number}", b"x"))) for number in range(layers)]
        rootfs = {"type": "layers", "diff_ids": [diff_id for _, diff_id in made]}
        value = as_json(platform) | {"rootfs": rootfs} | (config or {})
        content = {
            "schemaVersion": 2,
            "mediaType": media_types.OCI_MANIFEST,
            "config": self.document(value, media_types.OCI_CONFIG),
            "layers": [blob for blob, _ in made],
        }
        descriptor = self.document(content | (manifest or {}), media_types.OCI_MANIFEST)
        return descriptor | ({"platform": as_json(platform)} if stated else {}) | fields

    def inner(self, *entries: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Write an index as a blob."""
        value = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries}
        return self.document(value, media_types.OCI_INDEX, **fields)

    def index(self, *entries: dict[str, Any], **fields: Any) -> Path:
        """Write the layout's own index; gives the directory."""
        value = {"schemaVersion": 2, "manifests": entries} | fields
        (self.root / "index.json").write_text(json.dumps(value))
        return self.root


def as_json(platform: str) -> dict[str, str]:
    """The fields of "os/architecture/variant"."""
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
