"""Layers of images that real tools make: skopeo, umoci, and the decoder of containerd's imgcrypt.

Every layer's descriptor must be what the image's config says, and its disk what hcsshim writes.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard
from comparison import assert_same
from debian import ctd_decoder
from layerdisk import errdefs, media_types
from layerdisk.cli import main
from layerdisk.content import LocalStore
from layerdisk.descriptor import Descriptor
from layerdisk.diff import Processor, ocicrypt_decoders, with_decryption, with_payloads
from layerdisk.image import AppliedLayer, Image, apply_image, read_image
from layerdisk.lcow import LcowDiffer
from layerdisk.mount import Mount
from machine import missing
from oracle_client import Oracle

SMALL = Path(__file__).parents[1] / "data" / "oci"
LCOW_OPTIONS = {"convert_whiteout": True, "append_vhd_footer": True, "maximum_disk_size": 128 << 30}
Tool = Callable[..., str]


@pytest.fixture(scope="session")
def tool() -> Tool:
    """Runs a program of the machine."""

    def run(name: str, *arguments: object) -> str:
        path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if path is None:
            missing(f"{name} is not installed")
        done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, (name, arguments, done.stderr)
        return done.stdout

    return run


def layout_of(directory: Path, layout: Path) -> Path:
    """Make an OCI image layout of what skopeo's `dir:` has."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for path in directory.iterdir():
        if path.name not in ("version", "manifest.json"):
            shutil.copy(path, blobs / path.name)
    manifest = (directory / "manifest.json").read_bytes()
    store = LocalStore(layout)
    with store.writer("manifest") as writer:
        writer.write(manifest)
        digest = writer.digest()
        writer.commit()
    media_type = json.loads(manifest).get("mediaType", media_types.OCI_MANIFEST)
    descriptor = Descriptor(media_type, digest, len(manifest))
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor.to_json()]}))
    return layout


@pytest.fixture(scope="session")
def large(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of three layers by umoci: files of this machine, then changes with whiteouts, then nothing."""
    root = tmp_path_factory.mktemp("umoci")
    layout, bundle = root / "layout", root / "bundle"
    files = bundle / "rootfs"
    if os.geteuid() != 0:
        missing("umoci needs root to unpack every kind of file")
    tool("umoci", "init", "--layout", layout)
    tool("umoci", "new", "--image", f"{layout}:test")
    tool("umoci", "unpack", "--image", f"{layout}:test", bundle)
    documents = files / "usr/share/doc"
    for path in sorted(Path("/usr/share/doc").iterdir())[:200]:
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, documents / path.name, symlinks=True)
    tool("umoci", "repack", "--image", f"{layout}:test", bundle)
    shutil.rmtree(bundle)
    tool("umoci", "unpack", "--image", f"{layout}:test", bundle)
    for number, path in enumerate(sorted(documents.iterdir())):
        if number % 3 == 0 and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif number % 3 == 1 and path.is_dir() and not path.is_symlink():
            (path / "added").write_text(path.name)
    tool("umoci", "repack", "--image", f"{layout}:test", bundle)
    shutil.rmtree(bundle)
    tool("umoci", "unpack", "--image", f"{layout}:test", bundle)
    (files / "empty").touch()
    tool("umoci", "repack", "--image", f"{layout}:test", bundle)
    return layout


# How skopeo is asked for each kind of image, and the media type that the layers then have.
KINDS = {
    "gzip": (("--dest-compress", "--dest-compress-format=gzip", "--format=oci"), media_types.OCI_LAYER_GZIP),
    "zstd": (("--dest-compress", "--dest-compress-format=zstd", "--format=oci"), media_types.OCI_LAYER_ZSTD),
    "uncompressed": (("--dest-decompress", "--format=oci"), media_types.OCI_LAYER),
    "docker": (
        ("--dest-compress", "--dest-compress-format=gzip", "--format=v2s2"),
        media_types.DOCKER_LAYER_GZIP,
    ),
    "docker, uncompressed": (("--dest-decompress", "--format=v2s2"), media_types.DOCKER_LAYER),
}


@pytest.fixture(scope="session", params=KINDS)
def image_layout(
    request: pytest.FixtureRequest, tool: Tool, large: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    options, media_type = KINDS[request.param]
    root = tmp_path_factory.mktemp("skopeo")
    tool("skopeo", "copy", "--quiet", *options, f"oci:{large}:test", f"dir:{root / 'dir'}")
    return layout_of(root / "dir", root / "layout"), media_type


def apply(
    layout: Path, image: Image, to: Path, processors: Sequence[Processor] = (), **options: Any
) -> tuple[AppliedLayer, ...]:
    store = LocalStore(layout)
    return apply_image(image, to, lambda: LcowDiffer(store, processors=processors), **options)


def plain_tar(store: LocalStore, descriptor: Descriptor) -> bytes:
    blob = Path(store.blob_path(descriptor.digest)).read_bytes()
    if blob.startswith(b"\x1f\x8b"):
        return gzip.decompress(blob)
    if blob.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(blob)
    return blob


def assert_hcsshims(
    layers: Sequence[AppliedLayer], tars: Sequence[bytes], oracle: Oracle, scratch: Path
) -> None:
    for layer, tar in zip(layers, tars, strict=True):
        theirs, source = scratch / "theirs.vhd", scratch / "layer.tar"
        source.write_bytes(tar)
        answer = oracle.convert(source, theirs, sparse=True, **LCOW_OPTIONS)
        assert answer.ok, answer
        assert_same(theirs, Path(layer.path), vhd=True)


def test_layers_of_every_kind(
    image_layout: tuple[Path, str], tmp_path: Path, oracle: Oracle, scratch: Path
) -> None:
    layout, media_type = image_layout
    image = read_image(layout)
    assert {layer.descriptor.media_type for layer in image.layers} == {media_type}
    layers = apply(layout, image, tmp_path / "disks")
    tars = [plain_tar(LocalStore(layout), layer.descriptor) for layer in image.layers]
    assert [layer.applied for layer in layers] == [
        Descriptor(media_types.OCI_LAYER, layer.diff_id, len(tar))
        for layer, tar in zip(image.layers, tars, strict=True)
    ]
    names = {layer.diff_id.replace(":", "-") for layer in image.layers}
    assert {path.name for path in (tmp_path / "disks").iterdir()} == names
    assert {path.name for path in (tmp_path / "disks").glob("*/*")} == {"layer.vhd"}
    assert_hcsshims(layers, tars, oracle, scratch)


def test_the_small_image_of_gzip_and_zstd(tmp_path: Path, oracle: Oracle, scratch: Path) -> None:
    image = read_image(SMALL, "hello")
    tars = [plain_tar(LocalStore(SMALL), layer.descriptor) for layer in image.layers]
    layers = apply(SMALL, image, tmp_path)
    assert [layer.applied.digest for layer in layers] == [layer.diff_id for layer in image.layers]
    assert_hcsshims(layers, tars, oracle, scratch)


# --- encrypted images


@pytest.fixture(scope="session")
def decoder() -> str:
    """The path of ctd-decoder."""
    return ctd_decoder()


@pytest.fixture(scope="session")
def keys(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories `right` and `wrong` with a private key each, and `public.pem` of the right one."""
    root = tmp_path_factory.mktemp("keys")
    for name in ("right", "wrong"):
        (root / name).mkdir()
        tool("openssl", "genrsa", "-out", root / name / "key.pem", 2048)
    tool("openssl", "rsa", "-in", root / "right/key.pem", "-pubout", "-out", root / "public.pem")
    return root


@pytest.fixture(scope="session", params=["gzip", "uncompressed"])
def encrypted(
    request: pytest.FixtureRequest,
    tool: Tool,
    large: Path,
    keys: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """An image encrypted by skopeo."""
    root = tmp_path_factory.mktemp("encrypted")
    options, _ = KINDS[request.param]
    tool("skopeo", "copy", "--quiet", *options, f"oci:{large}:test", f"dir:{root / 'dir'}")
    key = f"--encryption-key=jwe:{keys / 'public.pem'}"
    keep = ["--dest-oci-accept-uncompressed-layers"]
    tool("skopeo", "copy", "--quiet", key, *keep, f"dir:{root / 'dir'}", f"oci:{root / 'layout'}:test")
    return root / "layout"


def test_encrypted_layers_with_the_right_key(
    encrypted: Path,
    large: Path,
    decoder: str,
    keys: Path,
    tmp_path: Path,
    oracle: Oracle,
    scratch: Path,
) -> None:
    image = read_image(encrypted)
    assert all(media_types.is_encrypted(layer.descriptor.media_type) for layer in image.layers)
    layers = apply(
        encrypted,
        image,
        tmp_path,
        ocicrypt_decoders(str(keys / "right"), path=decoder, env=()),
        options=lambda blob: [with_decryption(blob)],
    )
    assert [layer.applied.digest for layer in layers] == [layer.diff_id for layer in image.layers]
    original = read_image(large)
    tars = [plain_tar(LocalStore(large), layer.descriptor) for layer in original.layers]
    assert_hcsshims(layers, tars, oracle, scratch)


def test_the_key_may_come_with_the_payload(encrypted: Path, decoder: str, keys: Path, tmp_path: Path) -> None:
    key = (keys / "right/key.pem").read_bytes()
    (tmp_path / "no keys").mkdir()
    layers = apply(
        encrypted,
        read_image(encrypted),
        tmp_path / "disks",
        ocicrypt_decoders(str(tmp_path / "no keys"), path=decoder, env=()),
        options=lambda blob: [with_decryption(blob, [key])],
    )
    assert len(layers) == 3


def test_the_command_line_decrypts(
    encrypted: Path, decoder: str, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(decoder).parent}{os.pathsep}{os.environ['PATH']}")
    command = ["apply", str(encrypted), "--to", str(tmp_path), "--decryption-keys-path"]
    assert main([*command, str(keys / "wrong")]) == 1
    assert list(tmp_path.glob("*/*")) == []
    assert main([*command, str(keys / "right")]) == 0
    assert len(list(tmp_path.glob("*/layer.vhd"))) == 3


@pytest.mark.parametrize("reason", ["wrong key", "no key", "no payload", "no decoder", "missing decoder"])
def test_encrypted_layers_that_cannot_be_read(
    encrypted: Path, decoder: str, keys: Path, tmp_path: Path, reason: str
) -> None:
    layer = read_image(encrypted).layers[0].descriptor
    (tmp_path / "layer.vhd").write_bytes(b"old")
    (tmp_path / "empty").mkdir()
    path = "/no/such/decoder" if reason == "missing decoder" else decoder
    key_path = keys / "wrong" if reason == "wrong key" else tmp_path / "empty"
    processors = () if reason == "no decoder" else ocicrypt_decoders(str(key_path), path=path, env=())
    option = with_payloads({}) if reason == "no payload" else with_decryption(layer)
    differ = LcowDiffer(LocalStore(encrypted), processors=processors)
    expected = {
        "no decoder": (errdefs.NoProcessor, "no processor for media type"),
        "missing decoder": (errdefs.NotFound, "/no/such/decoder: program not found"),
    }
    cls, message = expected.get(reason, (errdefs.DataLoss, "stream processor io.containerd.ocicrypt.decoder"))
    with pytest.raises(cls, match=message):
        differ.apply(layer, [Mount("lcow-layer", str(tmp_path))], option)
    assert sorted(os.listdir(tmp_path)) == ["empty", "layer.vhd"]
    assert (tmp_path / "layer.vhd").read_bytes() == b"old"


def test_encrypted_data_cut_short_is_an_error(
    encrypted: Path, decoder: str, keys: Path, tmp_path: Path
) -> None:
    """The blob's check is off: the decoder itself must see it, by the authentication code at the end."""
    from layerdisk.diff import with_blob_check

    layer = read_image(encrypted).layers[0].descriptor
    layout = tmp_path / "layout"
    store = LocalStore(layout)
    path = Path(store.blob_path(layer.digest))
    path.parent.mkdir(parents=True)
    path.write_bytes(Path(LocalStore(encrypted).blob_path(layer.digest)).read_bytes()[:-100_000])
    differ = LcowDiffer(store, processors=ocicrypt_decoders(str(keys / "right"), path=decoder, env=()))
    with pytest.raises(errdefs.LayerdiskError):
        differ.apply(
            layer, [Mount("lcow-layer", str(tmp_path))], with_decryption(layer), with_blob_check(False)
        )
    assert os.listdir(tmp_path) == ["layout"]


# --- images that are not as they should be


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A copy of the small image that may be changed."""
    shutil.copytree(SMALL, tmp_path / "oci")
    return tmp_path / "oci"


def change(layout: Path, **changes: Any) -> None:
    """Change the manifest or the config of an image, digests and all."""
    store = LocalStore(layout)
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads(Path(store.blob_path(index["manifests"][0]["digest"])).read_text())
    config = json.loads(Path(store.blob_path(manifest["config"]["digest"])).read_text())

    def put(value: Any, descriptor: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        with store.writer("change") as writer:
            writer.write(data)
            descriptor |= {"digest": writer.digest(), "size": len(data)}
            writer.commit()

    config |= changes.get("config", {})
    put(config, manifest["config"])
    manifest |= changes.get("manifest", {})
    put(manifest, index["manifests"][0])
    index |= changes.get("index", {})
    (layout / "index.json").write_text(json.dumps(index))


def test_a_diff_id_that_is_another_is_refused(small: Path, tmp_path: Path) -> None:
    diff_ids = [layer.diff_id for layer in read_image(small).layers]
    change(small, config={"rootfs": {"type": "layers", "diff_ids": diff_ids[::-1]}})
    with pytest.raises(errdefs.FailedPrecondition, match="wrong diff id"):
        apply(small, read_image(small), tmp_path / "disks")
    assert list((tmp_path / "disks").glob("*/*")) == []


def test_a_layer_that_is_there_twice_is_applied_once(small: Path, tmp_path: Path) -> None:
    first = read_image(small).layers[0]
    change(
        small,
        config={"rootfs": {"type": "layers", "diff_ids": [first.diff_id] * 3}},
        manifest={"layers": [first.descriptor.to_json()] * 3},
    )
    layers = apply(small, read_image(small), tmp_path / "disks")
    assert [layer.applied.digest for layer in layers] == [first.diff_id] * 3
    assert len(list((tmp_path / "disks").iterdir())) == 1


def test_one_bad_layer_fails_the_image(small: Path, tmp_path: Path) -> None:
    image = read_image(small)
    Path(LocalStore(small).blob_path(image.layers[1].descriptor.digest)).write_bytes(b"")
    with pytest.raises(errdefs.TruncatedStream, match="ends at byte 0 of"):
        apply(small, image, tmp_path / "disks", workers=1)


def test_progress_is_that_of_all_layers(small: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    layers = apply(small, read_image(small), tmp_path, progress=seen.append)
    assert seen[-1] == sum(layer.applied.size for layer in layers)


DIGEST = "sha256:" + "0" * 64
BROKEN: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "layers than diff_ids": (
        {"manifest": {"layers": []}},
        errdefs.InvalidArgument,
        "has 0 layers and its config 2 diff_ids",
    ),
    "a diff_id that leads elsewhere": (
        {"config": {"rootfs": {"diff_ids": ["../../x", "sha256:.."]}}},
        errdefs.InvalidArgument,
        'digest "../../x"',
    ),
    "no manifests": ({"index": {"manifests": []}}, errdefs.NotFound, "no image in"),
    "a missing manifest": (
        {"index": {"manifests": [{"mediaType": media_types.OCI_MANIFEST, "digest": DIGEST, "size": 1}]}},
        errdefs.NotFound,
        "blob not found",
    ),
    "manifests that are text": ({"index": {"manifests": "x"}}, errdefs.InvalidArgument, "not a JSON array"),
}


@pytest.mark.parametrize(("changes", "cls", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_layouts_are_refused(
    small: Path, changes: dict[str, Any], cls: type[Exception], message: str
) -> None:
    change(small, **changes)
    with pytest.raises(cls, match=message):
        read_image(small)


def test_a_corrupt_manifest_is_data_loss(small: Path) -> None:
    path = Path(LocalStore(small).blob_path(read_image(small).manifest.digest))
    path.write_bytes(path.read_bytes().replace(b"layers", b"layerz"))
    with pytest.raises(errdefs.DataLoss, match="has the digest"):
        read_image(small)


def test_what_is_no_layout_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(errdefs.NotFound, match=r"it has no index\.json"):
        read_image(tmp_path)
