"""Images from a registry and from a containerd are the images that they are in a directory."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tarfiles
from layerdisk.errdefs import DataLoss, NotFound
from layerdisk.image import apply_image
from layerdisk.lcow import LcowDiffer
from layerdisk.registry import CredentialStore, RegistryOptions
from layerdisk.sources import open_image
from oci import oci_archive
from servers import Answer, OddRegistry, Request, docker_registry

Program = Callable[[str], str]
OPTIONS = RegistryOptions(credentials=CredentialStore([]), sleep=lambda _: None)
LAYERS = [
    tarfiles.archive(tarfiles.directory("d"), tarfiles.regular("d/a", b"a" * 300_000)),
    tarfiles.archive(tarfiles.regular("d/.wh.a"), tarfiles.regular("b", b"b")),
]


def disks(what: str, directory: Path) -> dict[str, bytes]:
    """Apply an image of a source; returns the disks by diffID."""
    with open_image(what, platform="linux/amd64", registry=OPTIONS) as opened:
        applied = apply_image(opened.image, directory, lambda: LcowDiffer(opened.source))
        return {layer.applied.digest: Path(layer.path).read_bytes() for layer in applied}


@pytest.fixture
def registry(program: Program, tmp_path: Path) -> Iterator[str]:
    with docker_registry(program("docker-registry"), tmp_path) as address:
        yield address


@pytest.mark.parametrize("suffix", ["+gzip", "+zstd"])
def test_a_registrys_image_gives_the_disks_of_the_archive(
    suffix: str, registry: str, program: Program, tmp_path: Path
) -> None:
    archive = tmp_path / "image.tar"
    diff_ids = oci_archive(archive, "example.test/a:1", LAYERS, suffix)
    name = f"{registry}/some/where:1"
    copy = ["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]
    subprocess.run([program("skopeo"), *copy, f"oci-archive:{archive}", f"docker://{name}"], check=True)
    found = disks(f"docker://{name}", tmp_path / "one")
    assert list(found) == diff_ids
    assert found == disks(f"oci-archive:{archive}", tmp_path / "other")
    with open_image(f"docker://{name}", registry=OPTIONS) as opened:
        digest = opened.image.manifest.digest
    assert disks(f"docker://{registry}/some/where@{digest}", tmp_path / "by-digest") == found


def test_an_image_that_is_not_there(registry: str) -> None:
    with pytest.raises(NotFound, match="GET nothing/manifests/1: status 404, MANIFEST_UNKNOWN"):
        open_image(f"docker://{registry}/nothing:1", registry=OPTIONS)


def test_wrong_bytes_of_a_blob_are_found_and_leave_nothing(
    registry: str, program: Program, tmp_path: Path
) -> None:
    archive = tmp_path / "image.tar"
    oci_archive(archive, "example.test/a:1", LAYERS)
    copy = ["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]
    name = f"docker://{registry}/a:1"
    subprocess.run([program("skopeo"), *copy, f"oci-archive:{archive}", name], check=True)

    def respond(request: Request) -> Answer:
        headers = {"Accept": request.headers.get("accept", "*/*")}
        with urllib.request.urlopen(
            urllib.request.Request(f"http://{registry}{request.path}", headers=headers)
        ) as answer:
            body, kind = answer.read(), answer.headers["Content-Type"]
        if "/blobs/" in request.path and kind != "application/json" and len(body) > 150:
            body = body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]
        return Answer(body=body, Content_Type=kind)

    with OddRegistry(respond) as odd, pytest.raises(DataLoss):
        disks(f"docker://{odd.address}/a:1", tmp_path / "out")
    assert list((tmp_path / "out").rglob("*.vhd")) == []
