"""What media types say, by containerd's table."""

from __future__ import annotations

import pytest
from layerdisk import errdefs, media_types
from layerdisk.media_types import diff_compression, parse

DOCKER = "application/vnd.docker.image.rootfs"
OCI = "application/vnd.oci.image.layer"


@pytest.mark.parametrize(
    ("media_type", "compression"),
    [
        (f"{DOCKER}.diff.tar", "unknown"),
        (f"{DOCKER}.foreign.diff.tar", "unknown"),
        (f"{DOCKER}.diff.tar.gzip", "gzip"),
        (f"{DOCKER}.foreign.diff.tar.gzip", "gzip"),
        (f"{DOCKER}.diff.tar.zstd", "zstd"),
        (f"{DOCKER}.diff.tar+gzip", ""),
        (f"{DOCKER}.diff.tar.gzip+encrypted", ""),
        (f"{OCI}.v1.tar", ""),
        (f"{OCI}.v1.tar+gzip", "gzip"),
        (f"{OCI}.v1.tar+zstd", "zstd"),
        (f"{OCI}.v1.tar+encrypted", ""),
        (f"{OCI}.v1.tar+gzip+encrypted", "gzip"),
        (f"{OCI}.v1.tar+gzip+unknown", ""),
        (f"{OCI}.nondistributable.v1.tar", ""),
        (f"{OCI}.nondistributable.v1.tar+gzip", "gzip"),
    ],
)
def test_compression(media_type: str, compression: str) -> None:
    assert diff_compression(media_type) == compression


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", media_types.OCI_MANIFEST, f"{OCI}.v2.tar", f"{DOCKER}.foreign.diff.tar.zstd"],
)
def test_what_containerd_cannot_apply_is_not_implemented(media_type: str) -> None:
    with pytest.raises(errdefs.NotImplemented) as caught:
        diff_compression(media_type)
    assert str(caught.value) == f'media type "{media_type}" is not a layer that can be applied'


def test_suffixes_are_sorted() -> None:
    assert parse(f"{OCI}.v1.tar+zstd+encrypted") == (f"{OCI}.v1.tar", ("encrypted", "zstd"))


@pytest.mark.parametrize(
    ("media_type", "layer", "non_distributable"),
    [
        (f"{OCI}.v1.tar+gzip", True, False),
        (f"{OCI}.nondistributable.v1.tar+zstd", True, True),
        (f"{DOCKER}.diff.tar.gzip", True, False),
        (f"{DOCKER}.foreign.diff.tar.gzip", True, True),
        (media_types.OCI_CONFIG, False, False),
    ],
)
def test_kinds_of_layers(media_type: str, layer: bool, non_distributable: bool) -> None:
    assert media_types.is_layer(media_type) is layer
    assert media_types.is_non_distributable(media_type) is non_distributable


def test_encryption_is_told_by_the_suffix() -> None:
    assert media_types.is_encrypted(f"{OCI}.v1.tar+gzip+encrypted")
    assert not media_types.is_encrypted(f"{OCI}.v1.tar+gzip")
