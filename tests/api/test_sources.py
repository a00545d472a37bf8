"""Images from directories and archives: what skopeo, umoci and `docker save` write, and what is wrong.

An image is the same whichever way it comes: its layers' digests, and its disks byte for byte.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zstandard
from layerdisk.cli import main
from layerdisk.content import Verifier
from layerdisk.errdefs import (
    DataLoss,
    InvalidArgument,
    LayerdiskError,
    NotFound,
    ResourceExhausted,
    TruncatedStream,
)
from layerdisk.image import apply_image, read_image
from layerdisk.lcow import LcowDiffer
from layerdisk.sources import OpenedImage, SourceName, open_image, parse_source
from layouts import FULL, Layout, as_json
from machine import missing
from tarfiles import END, archive, directory, header, pax, regular

NAME = "example/hello:latest"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An image of two layers, with a name."""
    made = Layout(tmp_path / "layout")
    made.index(made.image("hello", layers=2, stated=True, annotations={FULL: NAME}))
    return made


def disks(opened: OpenedImage, to: Path) -> list[str]:
    """Apply an image; gives the digests of the disks."""
    layers = apply_image(opened.image, to, lambda: LcowDiffer(opened.source))
    return [hashlib.sha256(Path(layer.path).read_bytes()).hexdigest() for layer in layers]


def assert_same_image(what: str, layout: Layout, tmp_path: Path, ref: str | None = None) -> None:
    """The image of a source is that of the layout."""
    image = read_image(layout.root)
    with open_image(what, ref) as opened:
        assert [layer.diff_id for layer in opened.image.layers] == [layer.diff_id for layer in image.layers]
        assert opened.image.platform == image.platform
        ours = disks(opened, tmp_path / "ours")
    with open_image(f"oci:{layout.root}") as opened:
        assert ours == disks(opened, tmp_path / "theirs")


def tar_of(members: Mapping[str, bytes | str | None], path: Path) -> Path:
    """Write an archive: bytes are files, text is where a symbolic link leads, None is a directory."""
    with tarfile.open(path, "w") as made:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                made.addfile(member, io.BytesIO(content))
            else:
                member.type = tarfile.DIRTYPE if content is None else tarfile.SYMTYPE
                member.linkname = content or ""
                made.addfile(member)
    return path


def plain(layout: Layout, number: int) -> bytes:
    return gzip.decompress(layout.path(read_image(layout.root).layers[number].descriptor.digest).read_bytes())


def config(layout: Layout) -> bytes:
    manifest = json.loads(layout.path(read_image(layout.root).manifest.digest).read_text())
    return layout.path(manifest["config"]["digest"]).read_bytes()


def manifest_json(*images: dict[str, Any]) -> bytes:
    return json.dumps(images).encode()


# --- what `docker save` writes, built here


def old(layout: Layout, tmp_path: Path) -> Path:
    """Docker up to 24: `<id>/layer.tar`, where the second is a link to a third."""
    layers = ["1" * 64 + "/layer.tar", "2" * 64 + "/layer.tar"]
    members: dict[str, bytes | str | None] = {
        "1" * 64 + "/": None,
        layers[0]: plain(layout, 0),
        "3" * 64 + "/layer.tar": plain(layout, 1),
        layers[1]: "../" + "3" * 64 + "/layer.tar",
        "config.json": config(layout),
        "manifest.json": manifest_json({"Config": "config.json", "RepoTags": [NAME], "Layers": layers}),
    }
    return tar_of(members, tmp_path / "old.tar")


def new(layout: Layout, tmp_path: Path) -> Path:
    """Docker 25 and later: blobs by digest, and an OCI index beside the manifest."""
    members: dict[str, bytes | str | None] = {
        f"blobs/sha256/{path.name}": path.read_bytes()
        for path in sorted((layout.root / "blobs" / "sha256").iterdir())
    }
    image = read_image(layout.root)
    name = f"blobs/sha256/{hashlib.sha256(config(layout)).hexdigest()}"
    layers = [f"blobs/sha256/{layer.descriptor.digest.removeprefix('sha256:')}" for layer in image.layers]
    members["index.json"] = (layout.root / "index.json").read_bytes()
    members["manifest.json"] = manifest_json({"Config": name, "RepoTags": [NAME], "Layers": layers})
    return tar_of(members, tmp_path / "new.tar")


def compressed_layers(layout: Layout, tmp_path: Path) -> Path:
    """Layers under other names than digests, one gzip and one zstd."""
    members: dict[str, bytes | str | None] = {
        "a.tar.gz": gzip.compress(plain(layout, 0)),
        "b.tar.zst": zstandard.compress(plain(layout, 1)),
        "config.json": config(layout),
        "manifest.json": manifest_json(
            {"Config": "config.json", "RepoTags": None, "Layers": ["a.tar.gz", "./b.tar.zst"]}
        ),
    }
    return tar_of(members, tmp_path / "compressed.tar")


def hard_linked(layout: Layout, tmp_path: Path) -> Path:
    path = tmp_path / "linked.tar"
    tar_of({"./x": plain(layout, 0), "./y": plain(layout, 1), "./config.json": config(layout)}, path)
    link = header("./a", type=b"1", linkname="./x")
    text = manifest_json({"Config": "config.json", "RepoTags": [NAME], "Layers": ["a", "y"]})
    end = path.read_bytes().rstrip(b"\0")
    members = end + bytes(-len(end) % 512)
    path.write_bytes(members + link + regular("manifest.json", text) + END)
    return path


def gzipped(layout: Layout, tmp_path: Path) -> Path:
    path = tmp_path / "old.tar.gz"
    path.write_bytes(gzip.compress(old(layout, tmp_path).read_bytes()))
    return path


def zstd(layout: Layout, tmp_path: Path) -> Path:
    path = tmp_path / "new.tar.zst"
    path.write_bytes(zstandard.compress(new(layout, tmp_path).read_bytes()))
    return path


SAVED: list[Callable[[Layout, Path], Path]] = [old, new, compressed_layers, hard_linked, gzipped, zstd]


@pytest.mark.parametrize("transport", ["docker-archive:", ""], ids=["named", "recognised"])
@pytest.mark.parametrize("save", SAVED, ids=lambda save: save.__name__)
def test_archives_of_docker(
    layout: Layout, tmp_path: Path, save: Callable[[Layout, Path], Path], transport: str
) -> None:
    assert_same_image(f"{transport}{save(layout, tmp_path)}", layout, tmp_path)


def test_several_images_of_one_archive(layout: Layout, tmp_path: Path) -> None:
    other = Layout(tmp_path / "other")
    other.index(other.image("other"))
    members: dict[str, bytes | str | None] = {
        "0": plain(layout, 0),
        "1": plain(layout, 1),
        "2": plain(other, 0),
        "hello.json": config(layout),
        "other.json": config(other),
        "manifest.json": manifest_json(
            {"Config": "hello.json", "RepoTags": ["hello:latest", "hello:1"], "Layers": ["0", "1"]},
            {"Config": "other.json", "RepoTags": ["localhost:5000/other:2"], "Layers": ["2"]},
        ),
    }
    path = tar_of(members, tmp_path / "two.tar")
    for ref in ("hello", "hello:1", "docker.io/library/hello:latest"):
        assert_same_image(f"docker-archive:{path}:{ref}", layout, tmp_path)
        assert_same_image(str(path), layout, tmp_path, ref)
    assert_same_image(f"{path}:localhost:5000/other:2", other, tmp_path)
    with pytest.raises(
        InvalidArgument, match=r'choose one .*: "hello:latest" "hello:1" sha256:.*"localhost:5000'
    ):
        open_image(path)
    with pytest.raises(NotFound, match=r'no image "hello:2" in .*; there is "hello:latest"'):
        open_image(f"{path}:hello:2")


# --- what real tools write


@pytest.fixture(scope="module")
def skopeo() -> Callable[..., None]:
    program = shutil.which("skopeo") or missing("skopeo is not installed")

    def copy(*arguments: object) -> None:
        done = subprocess.run(
            [program, "copy", "--quiet", *map(str, arguments)], capture_output=True, text=True
        )
        assert done.returncode == 0, (arguments, done.stderr)

    return copy


WRITTEN = {
    "docker-archive": "docker-archive:{}/image:example/hello:latest",
    "oci-archive": "oci-archive:{}/image:example/hello:latest",
    "dir": "dir:{}/image",
    "oci": "oci:{}/image:example/hello:latest",
}


@pytest.mark.parametrize("named", [True, False], ids=["named", "recognised"])
@pytest.mark.parametrize("kind", WRITTEN)
def test_what_skopeo_writes(
    layout: Layout, tmp_path: Path, skopeo: Callable[..., None], kind: str, named: bool
) -> None:
    skopeo(f"oci:{layout.root}", WRITTEN[kind].format(tmp_path))
    what = WRITTEN[kind].format(tmp_path) if named else str(tmp_path / "image")
    assert_same_image(what, layout, tmp_path)


@pytest.mark.parametrize("kind", ["dir", "oci-archive"])
def test_an_index_that_skopeo_writes(tmp_path: Path, skopeo: Callable[..., None], kind: str) -> None:
    layout, ours = Layout(tmp_path / "layout"), Layout(tmp_path / "ours")
    images = [layout.image(name, f"linux/{name}", stated=True) for name in ("amd64", "arm64")]
    layout.index(layout.inner(*images))
    skopeo("--all", f"oci:{layout.root}", f"{kind}:{tmp_path}/image")
    ours.index(ours.image("arm64", "linux/arm64", stated=True))
    with open_image(f"{kind}:{tmp_path}/image", platform="linux/arm64") as opened:
        assert opened.image.manifest.digest == images[1]["digest"]
        assert disks(opened, tmp_path / "disks")
    with pytest.raises(NotFound, match="no image for linux/s390x"):
        open_image(f"{kind}:{tmp_path}/image", platform="linux/s390x")


def test_what_umoci_writes(layout: Layout, tmp_path: Path) -> None:
    umoci = shutil.which("umoci") or missing("umoci is not installed")
    (tmp_path / "layer.tar").write_bytes(archive(directory("d"), regular("d/f", b"x" * 5000)))
    root = tmp_path / "umoci"
    for command in (
        ["init", "--layout", root],
        ["new", "--image", f"{root}:a"],
        ["raw", "add-layer", "--image", f"{root}:a", "--tag", "b", tmp_path / "layer.tar"],
    ):
        subprocess.run([umoci, *map(str, command)], check=True)
    with open_image(f"oci:{root}:b") as opened:
        assert [layer.diff_id for layer in opened.image.layers] == [
            "sha256:" + hashlib.sha256((tmp_path / "layer.tar").read_bytes()).hexdigest()
        ]
        assert len(disks(opened, tmp_path / "disks")) == 1


# --- pipes


def test_an_archive_may_come_through_a_pipe(layout: Layout, tmp_path: Path) -> None:
    data = old(layout, tmp_path).read_bytes()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    assert_same_image(f"docker-archive:{tmp_path / 'pipe'}", layout, tmp_path)
    writer.join()


@pytest.mark.parametrize("save", [old, gzipped], ids=["plain", "gzip"])
def test_an_archive_may_come_from_standard_input(
    layout: Layout, tmp_path: Path, save: Callable[[Layout, Path], Path]
) -> None:
    code = "from layerdisk.sources import *\nwith open_image('-') as opened: print(opened.image.layers[1].diff_id)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=save(layout, tmp_path).read_bytes(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().split() == [read_image(layout.root).layers[1].diff_id]


def test_a_spooled_archive_is_bounded_and_leaves_nothing(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(bytes(20_000_000)))
    with pytest.raises(ResourceExhausted, match="has more than 1000000 bytes"):
        open_image(bomb, max_spool_bytes=1_000_000)
    bomb.write_bytes(bomb.read_bytes()[:-5])
    with pytest.raises(TruncatedStream):
        open_image(bomb)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_plain_archive_is_read_in_place(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", None)
    with open_image(new(layout, tmp_path)) as opened:
        assert len(opened.image.layers) == 2


def test_many_threads_read_one_archive(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    layout.index(layout.image(layers=8))
    with open_image(old_of_many(layout, tmp_path)) as opened, ThreadPoolExecutor(8) as pool:

        def read(number: int) -> bytes:
            descriptor = opened.image.layers[number % 8].descriptor
            with contextlib.closing(opened.source.reader(descriptor)) as reader:
                verifier = Verifier(reader, descriptor)
                return b"".join(iter(lambda: verifier.read(100), b""))

        assert list(pool.map(read, range(64))) == [plain(layout, number % 8) for number in range(64)]


def old_of_many(layout: Layout, tmp_path: Path) -> Path:
    count = len(read_image(layout.root).layers)
    names = [f"{number}/layer.tar" for number in range(count)]
    members: dict[str, bytes | str | None] = {
        name: plain(layout, number) for number, name in enumerate(names)
    }
    members["c"] = config(layout)
    members["manifest.json"] = manifest_json({"Config": "c", "RepoTags": None, "Layers": names})
    return tar_of(members, tmp_path / "many.tar")


def test_a_reader_outlives_the_source(layout: Layout, tmp_path: Path) -> None:
    opened = open_image(old(layout, tmp_path))
    reader = opened.source.reader(opened.image.layers[0].descriptor)
    opened.close()
    assert reader.read(1 << 20) == plain(layout, 0)
    reader.close()


# --- what is wrong


def saved(**manifest: Any) -> dict[str, bytes | str | None]:
    rootfs = {"rootfs": {"diff_ids": ["sha256:" + hashlib.sha256(bytes(1024)).hexdigest()]}}
    image = {"Config": "c", "RepoTags": None, "Layers": ["l"]} | manifest
    value = json.dumps(as_json("linux/amd64") | rootfs).encode()
    return {"c": value, "l": bytes(1024), "manifest.json": manifest_json(image)}


WRONG: dict[str, tuple[Callable[[], bytes | dict[str, bytes | str | None]], type[LayerdiskError], str]] = {
    "empty": (lambda: b"", InvalidArgument, "is not a tar archive"),
    "text": (lambda: b"x" * 2000, InvalidArgument, "is not a tar archive"),
    "no image": (lambda: {"x": b""}, InvalidArgument, "has neither index.json nor manifest.json"),
    "no layer": (lambda: saved(Layers=["gone"]), NotFound, 'the layer "gone" is not in the archive'),
    "a layer outside": (lambda: saved(Layers=["../../etc/passwd"]), NotFound, "is not in the archive"),
    "a link outside": (lambda: saved() | {"l": "../../../../etc/passwd"}, NotFound, 'layer "l" is not'),
    "links in a circle": (lambda: saved() | {"l": "m", "m": "l"}, NotFound, 'layer "l" is not'),
    "no config": (lambda: saved(Config=None), InvalidArgument, "has no Config"),
    "config gone": (lambda: saved(Config="gone"), NotFound, 'has no member "gone"'),
    "layers than diff_ids": (
        lambda: saved(Layers=[]),
        InvalidArgument,
        "has 0 layers and its config 1 diff_ids",
    ),
    "a manifest that is an object": (
        lambda: saved() | {"manifest.json": b"{}"},
        InvalidArgument,
        "is not a JSON array",
    ),
    "a large manifest": (
        lambda: saved() | {"manifest.json": b" " * ((4 << 20) + 1)},
        InvalidArgument,
        "must not have more than 4194304",
    ),
    "a deep config": (lambda: saved() | {"c": b"[" * 1000}, InvalidArgument, "is nested 1000 levels deep"),
    "a large header": (
        lambda: pax({"comment": "x" * (2 << 20)}) + regular("f") + END,
        InvalidArgument,
        "must not have more than 1048576",
    ),
    "many headers": (lambda: pax({"comment": "x"}) * 5000 + regular("f") + END, InvalidArgument, "not a tar"),
    "cut in a member": (lambda: header("l", size=5000) + bytes(512), LayerdiskError, "ends|end of data"),
}


@pytest.mark.parametrize(("make", "cls", "message"), WRONG.values(), ids=WRONG)
def test_archives_that_are_wrong_are_refused(
    tmp_path: Path, make: Callable[[], Any], cls: type[Exception], message: str
) -> None:
    made = make()
    path = tmp_path / "image.tar"
    path.write_bytes(made) if isinstance(made, bytes) else tar_of(made, path)
    with pytest.raises(cls, match=message) as caught:
        open_image(path)
    assert "\n" not in str(caught.value)


def test_a_layer_that_is_not_its_diff_id_is_data_loss(tmp_path: Path) -> None:
    path = tar_of(saved() | {"l": b"\1" * 1024}, tmp_path / "image.tar")
    with open_image(path) as opened, pytest.raises(DataLoss, match="has the digest"):
        disks(opened, tmp_path / "disks")


def test_a_directory_of_skopeo_that_is_wrong(tmp_path: Path) -> None:
    for text, message in {
        "{}": "is neither the manifest of an image nor an index",
        '{"manifests": [], "layers": []}': "has the fields of a manifest",
        '{"mediaType": "text/plain"}': "is neither the manifest of an image nor an index",
    }.items():
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(LayerdiskError, match=message):
            open_image(tmp_path)
    with pytest.raises(NotFound, match=r'has no file "manifest\.json"'):
        open_image(f"dir:{tmp_path}/gone")


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    for what in ("docker-archive:/no/such/file", "oci-archive:/no/such/file:tag", "/no/such/file"):
        with pytest.raises(NotFound, match="no such archive: /no/such/file"):
            open_image(what)
    with pytest.raises(InvalidArgument, match="is not a file"):
        open_image(f"oci-archive:{tmp_path}")


# --- names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("oci:dir", ("oci", "dir", None)),
        ("oci:dir:tag", ("oci", "dir", "tag")),
        ("oci:dir:docker.io/a/b:c", ("oci", "dir", "docker.io/a/b:c")),
        ("oci:dir@sha256:" + "0" * 64, ("oci", "dir", "sha256:" + "0" * 64)),
        ("oci:dir:@sha256:" + "0" * 64, ("oci", "dir", "sha256:" + "0" * 64)),
        ("docker-archive:f.tar:a:b", ("docker-archive", "f.tar", "a:b")),
        ("dir:x", ("dir", "x", None)),
        ("x.tar", ("", "x.tar", None)),
        ("x.tar:a:b", ("", "x.tar", "a:b")),
        ("-", ("", "-", None)),
        ("oci:there:is", ("oci", "there:is", None)),
        ("oci:there:is:tag", ("oci", "there:is", "tag")),
        ("there:is:tag", ("", "there:is", "tag")),
    ],
)
def test_names_of_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: tuple[str, str, str | None]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there:is").mkdir()
    assert parse_source(text) == SourceName(*name)


@pytest.mark.parametrize("text", ["", "oci:", "oci::tag", "docker-archive:"])
def test_a_name_without_a_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="has no path"):
        parse_source(text)


def test_a_transport_that_is_not_known_is_named() -> None:
    with pytest.raises(
        InvalidArgument, match="the transport must be one of oci, oci-archive, docker-archive, dir"
    ):
        parse_source("ostree://x")


def test_an_image_that_is_named_twice_is_refused(layout: Layout) -> None:
    with pytest.raises(InvalidArgument, match="the image is named twice"):
        open_image(f"oci:{layout.root}:a", "b")


# --- on the command line


def test_the_command_line_takes_every_source(
    layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = new(layout, tmp_path)
    outputs = []
    for number, what in enumerate([str(layout.root), f"docker-archive:{path}:{NAME}", f"oci-archive:{path}"]):
        assert main(["apply", what, "--to", str(tmp_path / str(number)), "--json"]) == 0
        outputs.append([{**layer, "path": None} for layer in json.loads(capsys.readouterr().out)])
    assert outputs[0] == outputs[1] == outputs[2]
    meant = [layer.diff_id for layer in read_image(layout.root).layers]
    assert [layer["digest"] for layer in outputs[0]] == meant
    assert main(["apply", str(path), "--ref", "gone", "--to", str(tmp_path / "x")]) == 1
    assert capsys.readouterr().err.startswith(
        f'layerdisk: no image "gone" in {path}; there is "{NAME}" sha256:'
    )
