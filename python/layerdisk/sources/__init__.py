"""Where images come from: directories and archives of several forms, all opened in one way.

A source gives blobs (`layerdisk.content.Provider`) and lists what it has; archives are read in place.

::

    oci:DIR[:REF]                   an OCI image layout in a directory
    oci-archive:FILE[:REF]          the same in a tar archive
    docker-archive:FILE[:REF]       what docker save writes
    dir:DIR                         what skopeo writes with dir:
    docker://NAME[:TAG][@DIGEST]    an image in a registry (extra registry)
    containerd://NAMESPACE/NAME     an image of a running containerd (extra containerd)
    PATH[:REF]                      any of them, recognised

REF is a tag, a full name, or "@" and a digest. FILE may be "-" for standard input; an archive that is compressed or
cannot seek is copied to a temporary file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .manifest import Image, Layer
    from .name import SourceName, parse_source
    from .open import OpenedImage, Source, open_image, open_source

__all__ = [
    "Image",
    "Layer",
    "OpenedImage",
    "Source",
    "SourceName",
    "open_image",
    "open_source",
    "parse_source",
]

# Who needs a layout only does not load what reads archives.
_MODULES = {
    "Image": "manifest",
    "Layer": "manifest",
    "OpenedImage": "open",
    "Source": "open",
    "SourceName": "name",
    "open_image": "open",
    "open_source": "open",
    "parse_source": "name",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
