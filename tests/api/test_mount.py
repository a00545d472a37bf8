"""Mounts, their JSON and the parentLayerPaths option."""

from __future__ import annotations

import pytest
from layerdisk.errdefs import InvalidArgument
from layerdisk.mount import Mount
from layerdisk.names import quote_text


@pytest.mark.parametrize(
    ("options", "paths"),
    [
        ((), ()),
        (("rw",), ()),
        (("rw", "parentLayerPaths=null"), ()),
        (("parentLayerPaths=[]",), ()),
        (('parentLayerPaths=["/b","/a"]', "rw"), ("/b", "/a")),
        (('parentLayerPaths=["/a"]', 'parentLayerPaths=["/b"]'), ("/b",)),
        (('parentLayerPaths=["/a"]', "parentLayerPaths=null"), ()),
    ],
    ids=["none", "other", "null", "empty", "two", "last wins", "null wins"],
)
def test_parent_layer_paths(options: tuple[str, ...], paths: tuple[str, ...]) -> None:
    assert Mount("lcow-layer", "/s", options=options).parent_layer_paths() == paths


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ('["/a"', "is not JSON: Expecting ',' delimiter: line 1 column 6 (char 5)"),
        ('"/a"', "is not a JSON array of strings"),
        ("[1]", "is not a JSON array of strings"),
        (
            "[" * 200_000,
            "is not JSON: maximum recursion depth exceeded while decoding a JSON array from a unicode string",
        ),
    ],
    ids=["empty", "cut", "text", "numbers", "deep"],
)
def test_bad_parent_layer_paths_are_refused(text: str, reason: str) -> None:
    option = f"parentLayerPaths={text}"
    with pytest.raises(InvalidArgument) as caught:
        Mount("lcow-layer", "/s", options=(option,)).parent_layer_paths()
    assert str(caught.value).startswith(f"mount option {quote_text(option)} {reason}")


def test_json_has_the_names_of_go() -> None:
    mount = Mount("lcow-layer", "/s", "", ("rw",))
    value = {"Type": "lcow-layer", "Source": "/s", "Target": "", "Options": ["rw"]}
    assert mount.to_json() == value
    assert Mount.from_json(value) == mount


def test_json_is_read_in_any_case_and_with_null() -> None:
    assert Mount.from_json({"type": "bind", "SOURCE": "/s", "options": None}) == Mount("bind", "/s")


@pytest.mark.parametrize("value", [None, [], {"Type": 1}, {"Options": "rw"}, {"Options": [1]}])
def test_malformed_json_is_refused(value: object) -> None:
    with pytest.raises(InvalidArgument, match="mount"):
        Mount.from_json(value)
