"""Documents of images that cannot be right, or are too large or too deep, are refused.

Source: containerd core/images/image.go (validateMediaType), CVE-2021-41190.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from layerdisk import media_types
from layerdisk.errdefs import DataLoss, InvalidArgument
from layerdisk.image import read_image
from layerdisk.sources import document
from layouts import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def both_kinds(layout: Layout) -> tuple[Path, str]:
    other = layout.image("other", stated=True)
    return layout.index(
        layout.image(manifest={"manifests": [other]})
    ), "has the fields of an index: manifests"


def both_kinds_for_go(layout: Layout) -> tuple[Path, str]:
    return layout.index(layout.image(manifest={"Manifests": []})), "has the fields of an index: manifests"


def index_with_layers(layout: Layout) -> tuple[Path, str]:
    value = {"manifests": [layout.image()], "layers": []}
    return (
        layout.index(layout.document(value, media_types.OCI_INDEX)),
        "has the fields of a manifest: layers",
    )


def top_index_with_config(layout: Layout) -> tuple[Path, str]:
    return layout.index(layout.image(), config={}), "has the fields of a manifest: config"


def contradicting_type(layout: Layout) -> tuple[Path, str]:
    image = layout.image(manifest={"mediaType": media_types.OCI_INDEX})
    return layout.index(
        image
    ), f'is a manifest by its descriptor, and its mediaType is "{media_types.OCI_INDEX}"'


def schema_1(layout: Layout) -> tuple[Path, str]:
    return layout.index(layout.image(manifest={"fsLayers": []})), "schema 1, which is not supported"


def large_manifest(layout: Layout) -> tuple[Path, str]:
    image = layout.image(manifest={"annotations": {"x": "x" * (4 << 20)}})
    return layout.index(image), "bytes, and must not have more than 4194304"


def large_index(layout: Layout) -> tuple[Path, str]:
    root = layout.index(layout.image(), annotations={"x": "x" * (4 << 20)})
    return root, "index.json has 4194305 bytes, and must not have more than 4194304"


def deep_index(layout: Layout) -> tuple[Path, str]:
    root = layout.index()
    (root / "index.json").write_text("[" * 200_000)
    return root, "nested 200000 levels deep, and must not be nested more than 100"


def deep_manifest(layout: Layout) -> tuple[Path, str]:
    deep: list[Any] = []
    for _ in range(150):
        deep = [deep]
    return layout.index(layout.image(manifest={"x": deep})), "nested 152 levels deep"


def not_json(layout: Layout) -> tuple[Path, str]:
    root = layout.index()
    (root / "index.json").write_bytes(b'{"manifests": [\xff]}')
    return root, "index.json is not JSON"


def huge_number(layout: Layout) -> tuple[Path, str]:
    root = layout.index()
    (root / "index.json").write_text(f'{{"x": 1{"0" * 5200}}}')
    return root, "index.json is not JSON"


def pipe_as_index(layout: Layout) -> tuple[Path, str]:
    os.mkfifo(layout.root / "index.json")
    return layout.root, 'index.json" is not a regular file'


def pipe_as_blob(layout: Layout) -> tuple[Path, str]:
    image = layout.image()
    layout.path(image["digest"]).unlink()
    os.mkfifo(layout.path(image["digest"]))
    return layout.index(image), f'{image["digest"].removeprefix("sha256:")}" is not a regular file'


def sha512_diff_id(layout: Layout) -> tuple[Path, str]:
    rootfs = {"diff_ids": ["sha512:" + "0" * 128]}
    return layout.index(layout.image(config={"rootfs": rootfs})), "the algorithm must be sha256"


REFUSED = [
    both_kinds,
    both_kinds_for_go,
    index_with_layers,
    top_index_with_config,
    contradicting_type,
    schema_1,
    large_manifest,
    large_index,
    deep_index,
    deep_manifest,
    not_json,
    huge_number,
    pipe_as_index,
    pipe_as_blob,
    sha512_diff_id,
]


@pytest.mark.parametrize("build", REFUSED, ids=lambda build: build.__name__)
def test_documents_that_cannot_be_right_are_refused(
    layout: Layout, build: Callable[[Layout], tuple[Path, str]]
) -> None:
    root, message = build(layout)
    with pytest.raises(InvalidArgument) as caught:
        read_image(root)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_brackets_in_strings_are_not_depth() -> None:
    assert document.parse("x", b'{"a": "[[[[\\"' + b"[" * 500 + b'"}') == {"a": '[[[["' + "[" * 500}


def test_a_damaged_document_is_data_loss(layout: Layout) -> None:
    image = layout.image()
    layout.path(image["digest"]).write_bytes(b"x" * image["size"])
    with pytest.raises(DataLoss, match="has the digest"):
        read_image(layout.index(image))
