"""Which image of a layout: by platform, name and digest; what is not an image.

Source of the right outcomes: OCI image-spec; containerd core/images/image.go and containerd/platforms.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from layerdisk import media_types
from layerdisk.content import LocalStore
from layerdisk.descriptor import Descriptor, Platform
from layerdisk.errdefs import InvalidArgument, NotFound
from layerdisk.image import read_image
from layerdisk.sources import choose, document
from layouts import FULL, REF, Layout, as_json


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of the platform linux/amd64/v3."""
    monkeypatch.setattr(choose, "host_platform", lambda: Platform("amd64", "linux", variant="v3"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def attestation(layout: Layout, of: dict[str, Any]) -> dict[str, Any]:
    """What BuildKit puts beside an image."""
    layers = [layout.blob(b"{}", "application/vnd.in-toto+json")]
    made = layout.image("attestation", "unknown/unknown", stated=True, manifest={"layers": layers})
    kind = {"vnd.docker.reference.digest": of["digest"], "vnd.docker.reference.type": "attestation-manifest"}
    return made | {"annotations": kind}


def unstated(entry: dict[str, Any]) -> dict[str, Any]:
    """An attestation without its marks."""
    return {name: value for name, value in entry.items() if name not in ("platform", "annotations")}


def signature(layout: Layout, **manifest: Any) -> dict[str, Any]:
    empty = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    content = {"config": empty, "layers": [empty | {"mediaType": "application/vnd.example.signature"}]}
    return layout.image("signature", manifest=content | manifest)


# What a layout lists, and what of it is the image: each gives the descriptor that is to be chosen.
Build = Callable[[Layout], dict[str, Any]]


def other_platform_attested(layout: Layout) -> dict[str, Any]:
    image = layout.image("f", "linux/arm64", stated=True)
    layout.index(layout.inner(image, attestation(layout, image), platform=as_json("linux/arm64")))
    return image


def attested_without_marks(layout: Layout) -> dict[str, Any]:
    image = layout.image()
    layout.index(image, unstated(attestation(layout, image)))
    return image


def best_variant(layout: Layout) -> dict[str, Any]:
    made = [layout.image(v, f"linux/amd64/{v}", stated=True) for v in ("v2", "v3", "v4")]
    layout.index(layout.inner(*made))
    return made[1]


def variants_of_configs(layout: Layout) -> dict[str, Any]:
    made = [layout.image(v, f"linux/amd64/{v}") for v in ("v4", "v3", "v2")]
    layout.index(*made)
    return made[1]


def amd64_before_386(layout: Layout) -> dict[str, Any]:
    made = [layout.image(a, f"linux/{a}", stated=True) for a in ("386", "amd64")]
    layout.index(*made)
    return made[1]


def platform_of_the_enclosing(layout: Layout) -> dict[str, Any]:
    """The configs say amd64 of both: the index above counts first."""
    ours, other = layout.image("ours"), layout.image("other")
    layout.index(
        layout.inner(ours, platform=as_json("linux/amd64")),
        layout.inner(other, platform=as_json("linux/arm64")),
    )
    return ours


def platform_of_the_config(layout: Layout) -> dict[str, Any]:
    ours = layout.image("ours", "linux/amd64")
    layout.index(layout.image("other", "linux/s390x"), ours)
    return ours


def signed(layout: Layout) -> dict[str, Any]:
    image = layout.image()
    layout.index(image, signature(layout, artifactType="application/vnd.example.signature"))
    return image


def signed_in_the_descriptor(layout: Layout) -> dict[str, Any]:
    """The manifest of the artifact is not even there."""
    image = layout.image()
    other = layout.image("gone") | {"artifactType": "application/vnd.example.signature"}
    layout.path(other["digest"]).unlink()
    layout.index(image, other)
    return image


def artifact_by_its_config(layout: Layout) -> dict[str, Any]:
    image = layout.image()
    layout.index(signature(layout), image)
    return image


def artifact_whose_config_is_not_json(layout: Layout) -> dict[str, Any]:
    image = layout.image()
    layout.index(signature(layout, config=layout.blob(b"\0\1", "application/x-wasm")), image)
    return image


def signed_by_cosign(layout: Layout) -> dict[str, Any]:
    """Its signatures have the config of an image."""
    image = layout.image()
    layers = [layout.blob(b"{}", "application/vnd.dev.cosign.simplesigning.v1+json")]
    layout.index(image, layout.image("signature", manifest={"layers": layers}))
    return image


def other_platforms_are_not_there(layout: Layout) -> dict[str, Any]:
    """As containerd exports one platform of several."""
    ours, other = layout.image("ours", stated=True), layout.image("other", "linux/arm64", stated=True)
    layout.path(other["digest"]).unlink()
    absent = layout.inner(other, platform=as_json("linux/s390x"))
    layout.path(absent["digest"]).unlink()
    layout.index(layout.inner(ours, other), absent)
    return ours


def twice_the_same(layout: Layout) -> dict[str, Any]:
    image = layout.image()
    layout.index(image | {"annotations": {REF: "a"}}, image | {"annotations": {REF: "b"}})
    return image


def docker_manifest_list(layout: Layout) -> dict[str, Any]:
    image = layout.image(manifest={"mediaType": media_types.DOCKER_MANIFEST}, stated=True)
    image["mediaType"] = media_types.DOCKER_MANIFEST
    listed = {"mediaType": media_types.DOCKER_MANIFEST_LIST, "manifests": [image]}
    layout.index(layout.document(listed, media_types.DOCKER_MANIFEST_LIST))
    return image


def config_of_an_unknown_type(layout: Layout) -> dict[str, Any]:
    config = json.loads(layout.path(layout.image()["digest"]).read_text())["config"]
    image = layout.image(manifest={"config": config | {"mediaType": "application/vnd.example.config"}})
    layout.index(image)
    return image


CHOSEN: list[Build] = [
    other_platform_attested,
    attested_without_marks,
    best_variant,
    variants_of_configs,
    amd64_before_386,
    platform_of_the_enclosing,
    platform_of_the_config,
    signed,
    signed_in_the_descriptor,
    artifact_by_its_config,
    artifact_whose_config_is_not_json,
    signed_by_cosign,
    other_platforms_are_not_there,
    twice_the_same,
    docker_manifest_list,
    config_of_an_unknown_type,
]


@pytest.mark.parametrize("build", CHOSEN, ids=lambda build: build.__name__)
def test_the_image_is_chosen(layout: Layout, build: Build) -> None:
    chosen = build(layout)
    assert read_image(layout.root).manifest.digest == chosen["digest"]


@pytest.mark.parametrize(
    ("platform", "name"),
    [
        ("linux/amd64", "amd64"),
        ("linux/x86_64/v2", "v2"),
        ("linux/amd64/v4", "v3"),
        ("linux/arm64", "arm64"),
        ("linux/arm/v6", "v5"),
        ("linux/arm/v8", "v7"),
    ],
)
def test_a_platform_is_asked_for(layout: Layout, platform: str, name: str) -> None:
    made = {
        name: layout.image(name, text, stated=name != "amd64")
        for name, text in {
            "v5": "linux/arm/v5",
            "amd64": "linux/amd64",
            "v2": "linux/amd64/v2",
            "arm64": "linux/arm64/v8",
            "v3": "linux/amd64/v3",
            "v7": "linux/arm/v7",
        }.items()
    }
    root = layout.index(layout.inner(*made.values()))
    assert read_image(root, platform=platform).manifest.digest == made[name]["digest"]


def test_the_only_image_is_not_taken_for_a_platform_that_was_asked_for(layout: Layout) -> None:
    root = layout.index(layout.image("f", "linux/arm64"))
    digest = read_image(root).manifest.digest
    with pytest.raises(NotFound) as caught:
        read_image(root, platform="linux/s390x")
    assert str(caught.value) == f"no image for linux/s390x in {root}; there is {digest} (linux/arm64)"


def two_names(layout: Layout) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two images with one tag and names of their own, as `docker save` writes them."""
    first, second = (
        layout.image(name, stated=True, annotations={REF: "latest", FULL: f"example/{name}:latest"})
        for name in "ab"
    )
    layout.index(first, second)
    return first, second


def test_names_and_digests_choose(layout: Layout) -> None:
    first, second = two_names(layout)
    for ref, wanted in {
        "example/a:latest": first,
        "example/b:latest": second,
        first["digest"]: first,
        second["digest"]: second,
        f"example/b:latest@{second['digest']}": second,
    }.items():
        assert read_image(layout.root, ref).manifest.digest == wanted["digest"]


@pytest.mark.parametrize("ref", [None, "latest"])
def test_two_images_that_fit_are_named_so_that_each_can_be_chosen(layout: Layout, ref: str | None) -> None:
    first, second = two_names(layout)
    with pytest.raises(InvalidArgument) as caught:
        read_image(layout.root, ref)
    assert str(caught.value) == (
        f"several images in {layout.root} fit linux/amd64/v3; choose one by its name or digest: "
        f'"example/a:latest" {first["digest"]} (linux/amd64), '
        f'"example/b:latest" {second["digest"]} (linux/amd64)'
    )


def test_images_of_different_names_are_not_variants_of_each_other(layout: Layout) -> None:
    layout.index(
        layout.image("a", "linux/amd64", annotations={REF: "a"}),
        layout.image("b", "linux/amd64/v3", annotations={REF: "b"}),
    )
    with pytest.raises(InvalidArgument, match=r'"a" sha256:.*, "b" sha256:'):
        read_image(layout.root)


def test_a_digest_reaches_into_nested_indexes_and_other_platforms(layout: Layout) -> None:
    ours, other = (layout.image(a, f"linux/{a}", stated=True) for a in ("amd64", "arm64"))
    nested = layout.inner(ours, other)
    root = layout.index(layout.inner(nested))
    assert read_image(root, other["digest"]).manifest.digest == other["digest"]
    assert read_image(root, nested["digest"]).manifest.digest == ours["digest"]
    assert read_image(root, nested["digest"], "linux/arm64").manifest.digest == other["digest"]
    with pytest.raises(NotFound, match=f'no image "{other["digest"]}" for linux/amd64'):
        read_image(root, other["digest"], "linux/amd64")


def test_what_is_not_found_is_told_with_what_is_there(layout: Layout) -> None:
    first, _ = two_names(layout)
    with pytest.raises(NotFound) as caught:
        read_image(layout.root, "c")
    assert str(caught.value).startswith(
        f'no image "c" in {layout.root}; there is "example/a:latest" {first["digest"]} (linux/amd64), '
    )
    attached = attestation(layout, first)
    layout.index(attached)
    for ref in (None, attached["digest"]):
        with pytest.raises(
            NotFound, match=f'{attached["digest"]} is an attachment of type "attestation-manifest"'
        ):
            read_image(layout.root, ref)
    layout.index()
    with pytest.raises(NotFound, match=f"no image in {layout.root}$"):
        read_image(layout.root)


def test_a_long_list_is_cut(layout: Layout) -> None:
    layout.index(*(layout.image(f"image{number}") for number in range(25)))
    with pytest.raises(InvalidArgument, match=r"15 more$") as caught:
        read_image(layout.root)
    assert str(caught.value).count("sha256:") == 10


def test_an_image_that_fits_and_is_missing_is_not_replaced_by_another(layout: Layout) -> None:
    ours, other = (layout.image(a, f"linux/{a}", stated=True) for a in ("amd64", "arm64"))
    layout.path(ours["digest"]).unlink()
    with pytest.raises(NotFound, match=f"blob {ours['digest']} expected at"):
        read_image(layout.index(ours, other))


def test_names_from_documents_are_quoted(layout: Layout) -> None:
    names = ["\x1b]0;x\x07", "\u202eevil"]
    layout.index(*(layout.image(str(n), annotations={REF: name}) for n, name in enumerate(names)))
    with pytest.raises(InvalidArgument) as caught:
        read_image(layout.root)
    assert "\x1b" not in str(caught.value)
    assert '"\\x1b]0;x\\x07" sha256:' in str(caught.value)
    assert '"\\xe2\\x80\\xaeevil" sha256:' in str(caught.value)
    layout.index(layout.image() | {"digest": "sha256:\x1b[31m"})
    with pytest.raises(InvalidArgument, match=r'digest "sha256:\\x1b\[31m"'):
        read_image(layout.root)


# --- work that is bounded


class Counting(LocalStore):
    """A store that counts what is read of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read: list[str] = []

    def reader(self, descriptor: Descriptor) -> Any:
        self.read.append(descriptor.digest)
        return super().reader(descriptor)


def test_an_index_is_read_once_however_many_ways_lead_to_it(layout: Layout) -> None:
    """Eight levels of 100 references each: there are 100**7 ways."""
    image = layout.image(stated=True)
    nested = layout.inner(image)
    indexes = [nested["digest"]]
    for _ in range(7):
        nested = layout.inner(*[nested] * 100)
        indexes.append(nested["digest"])
    store = Counting(layout.root)
    started = time.monotonic()
    entries = [Descriptor.from_json(nested)] * 100
    assert choose.find_image(store, entries, where="x").manifest.digest == image["digest"]
    assert time.monotonic() - started < 5  # seconds; without end before
    assert sorted(digest for digest in store.read if digest in indexes) == sorted(indexes)


def test_indexes_that_lead_nowhere_are_read_once_too(layout: Layout) -> None:
    nested = layout.inner()
    for _ in range(7):
        nested = layout.inner(*[nested] * 100)
    with pytest.raises(NotFound, match=r"no image in "):
        read_image(layout.index(*[nested] * 100))


def test_indexes_of_other_platforms_are_not_read(layout: Layout) -> None:
    ours, other = (layout.inner(layout.image(a), platform=as_json(f"linux/{a}")) for a in ("amd64", "arm64"))
    store = Counting(layout.root)
    choose.find_image(store, [Descriptor.from_json(other), Descriptor.from_json(ours)], where="x")
    assert ours["digest"] in store.read
    assert other["digest"] not in store.read


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("_MAX_ENTRIES", 100, "leads to too many entries, more than 100"),
        ("_MAX_TOTAL_BYTES", 1000, "must not have more than 1000 bytes together"),
    ],
)
def test_what_is_read_for_one_image_is_bounded(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, name: str, value: int, message: str
) -> None:
    monkeypatch.setattr(document if name == "_MAX_TOTAL_BYTES" else choose, name, value)
    inner = layout.inner(
        *(layout.image(f"image{number}", "linux/s390x", stated=True) for number in range(60))
    )
    with pytest.raises(InvalidArgument, match=message):
        read_image(layout.index(inner, inner | {"annotations": {REF: "a"}}))
