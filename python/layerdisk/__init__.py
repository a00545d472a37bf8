"""layerdisk: container image layers as disks.

A layer tar goes in, an ext4 image with overlayfs whiteouts comes out:

    >>> import io, tarfile, layerdisk
    >>> layer = io.BytesIO()
    >>> with tarfile.open(fileobj=layer, mode="w") as tar:
    ...     tar.addfile(tarfile.TarInfo(".wh.motd"))
    >>> layer.seek(0)
    0
    >>> image = io.BytesIO()
    >>> result = layerdisk.convert(layer, image, convert_whiteout=True)
    >>> result.image_size, result.inodes, result.findings
    (28672, 3, ())

`convert` turns one layer into an image, `apply_image` all layers of an image that `read_image` finds, and `LcowDiffer`
does what containerd's LCOW differ does. `inspect_image` shows what an image file holds. Every exception is a
`LayerdiskError`, except those of the objects and files that are handed in.

All names here are loaded when they are first used, so that `import layerdisk` costs next to nothing.
"""

__all__ = [
    "Aborted",
    "AlreadyExists",
    "AppliedLayer",
    "BinaryProcessor",
    "Cache",
    "Canceled",
    "Cancellation",
    "ConversionError",
    "ConvertResult",
    "DataLoss",
    "DeadlineExceeded",
    "Descriptor",
    "DiskSizeExceeded",
    "Ext4SuperBlock",
    "FailedPrecondition",
    "Finding",
    "Image",
    "Inspection",
    "Internal",
    "InvalidArgument",
    "InvalidEntry",
    "InvalidTar",
    "Layer",
    "LayerProgress",
    "LayerdiskError",
    "LcowDiffer",
    "LocalStore",
    "Mount",
    "NoProcessor",
    "NotFound",
    "NotReproducible",
    "NotVeritySuperBlock",
    "OpenedImage",
    "OutOfRange",
    "Payload",
    "PermissionDenied",
    "Platform",
    "ResourceExhausted",
    "RootHashReadFailure",
    "SuperBlockParseFailure",
    "SuperBlockReadFailure",
    "TruncatedStream",
    "TruncatedTar",
    "Unauthenticated",
    "Unavailable",
    "Unknown",
    "VerificationFailed",
    "Verity",
    "VerityInfo",
    "VhdFooter",
    "__version__",
    "apply_image",
    "cache",
    "cancel",
    "containerd",
    "content",
    "convert",
    "convert_and_compute_root_digest",
    "convert_many",
    "convert_to_vhd",
    "core_name",
    "decompress",
    "descriptor",
    "diff",
    "dmverity",
    "errdefs",
    "ext4_file_system_size",
    "findings",
    "fleet",
    "host_platform",
    "image",
    "inspect_image",
    "inspection",
    "io",
    "is_device_ext4",
    "lcow",
    "media_types",
    "mount",
    "names",
    "ocicrypt_decoders",
    "open_image",
    "options",
    "parse_platform",
    "places",
    "platforms",
    "read_ext4_superblock",
    "read_footer",
    "read_image",
    "registry",
    "sources",
    "tar2ext4",
    "vhd",
]

TYPE_CHECKING = False  # as type checkers know it; to import typing for it would take longer than the rest
if TYPE_CHECKING:
    from . import (
        cache,
        cancel,
        containerd,
        content,
        decompress,
        descriptor,
        diff,
        dmverity,
        errdefs,
        findings,
        fleet,
        image,
        inspection,
        io,
        lcow,
        media_types,
        mount,
        names,
        options,
        places,
        platforms,
        registry,
        sources,
        tar2ext4,
        vhd,
    )
    from .cache import Cache
    from .cancel import Cancellation
    from .content import LocalStore
    from .descriptor import Descriptor, Platform
    from .diff import BinaryProcessor, Payload, ocicrypt_decoders
    from .dmverity import Verity, VerityInfo
    from .errdefs import (
        Aborted,
        AlreadyExists,
        Canceled,
        ConversionError,
        DataLoss,
        DeadlineExceeded,
        DiskSizeExceeded,
        FailedPrecondition,
        Internal,
        InvalidArgument,
        InvalidEntry,
        InvalidTar,
        LayerdiskError,
        NoProcessor,
        NotFound,
        NotReproducible,
        NotVeritySuperBlock,
        OutOfRange,
        PermissionDenied,
        ResourceExhausted,
        RootHashReadFailure,
        SuperBlockParseFailure,
        SuperBlockReadFailure,
        TruncatedStream,
        TruncatedTar,
        Unauthenticated,
        Unavailable,
        Unknown,
        VerificationFailed,
    )
    from .findings import Finding
    from .fleet import convert_many
    from .image import AppliedLayer, Image, Layer, LayerProgress, apply_image, read_image
    from .inspection import Inspection, inspect_image
    from .lcow import LcowDiffer
    from .mount import Mount
    from .platforms import host_platform, parse_platform
    from .sources import OpenedImage, open_image
    from .tar2ext4 import (
        ConvertResult,
        Ext4SuperBlock,
        convert,
        convert_and_compute_root_digest,
        convert_to_vhd,
        ext4_file_system_size,
        is_device_ext4,
        read_ext4_superblock,
    )
    from .vhd import VhdFooter, read_footer

    __version__: str
    core_name: str
else:

    def __getattr__(name: str) -> object:  # unseen by type checkers, for which any name would be there
        return _load(name)


# Where each public name is defined. errdefs.NotImplemented is left out: it would hide the builtin from `import *`; and
# what needs an extra, such as all of registry, is reached through its module, so that help() works without.
_NAMES = {
    "layerdisk.tar2ext4": "ConvertResult Ext4SuperBlock convert convert_and_compute_root_digest convert_to_vhd "
    "ext4_file_system_size is_device_ext4 read_ext4_superblock",
    "layerdisk.dmverity": "Verity VerityInfo",
    "layerdisk.vhd": "VhdFooter read_footer",
    "layerdisk.inspection": "Inspection inspect_image",
    "layerdisk.lcow": "LcowDiffer",
    "layerdisk.image": "AppliedLayer Image Layer LayerProgress apply_image read_image",
    "layerdisk.content": "LocalStore",
    "layerdisk.descriptor": "Descriptor Platform",
    "layerdisk.diff": "BinaryProcessor Payload ocicrypt_decoders",
    "layerdisk.mount": "Mount",
    "layerdisk.errdefs": "Aborted AlreadyExists Canceled ConversionError DataLoss DeadlineExceeded "
    "DiskSizeExceeded FailedPrecondition Internal InvalidArgument InvalidEntry InvalidTar LayerdiskError "
    "NoProcessor NotFound NotReproducible NotVeritySuperBlock OutOfRange PermissionDenied "
    "ResourceExhausted RootHashReadFailure SuperBlockParseFailure SuperBlockReadFailure TruncatedStream "
    "TruncatedTar Unauthenticated Unavailable Unknown VerificationFailed",
    "layerdisk.containerd": "",
    "layerdisk.decompress": "",
    "layerdisk.io": "",
    "layerdisk.media_types": "",
    "layerdisk.names": "",
    "layerdisk.platforms": "host_platform parse_platform",
    "layerdisk.sources": "OpenedImage open_image",
    "layerdisk.cache": "Cache",
    "layerdisk.fleet": "convert_many",
    "layerdisk.places": "",
    "layerdisk.cancel": "Cancellation",
    "layerdisk.findings": "Finding",
    "layerdisk.options": "",
    "layerdisk.registry": "",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
_SUBMODULES = {module.removeprefix("layerdisk."): module for module in _NAMES}


def _load(name: str) -> object:
    """Load a public name, a submodule, the version or the name of the core when somebody asks for it."""
    if name in _HOMES or name in _SUBMODULES:
        from importlib import import_module

        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        return import_module(_SUBMODULES[name])
    if name == "core_name":
        from ._core import choose

        return choose()[0]
    if name == "__version__":
        return _version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])


def _version() -> str:
    try:  # the extension has it at hand, while metadata have to be searched for
        from ._rust import __version__ as version
    except ImportError:
        from importlib import metadata

        try:
            return metadata.version("layerdisk")
        except metadata.PackageNotFoundError:  # a source tree that is not installed
            return "0+unknown"
    return version
