"""The converter that works behind the API: the Rust core, or the pure-Python one with the same results.

The choice, in this order: the `core` argument, the environment variable `LAYERDISK_CORE` (rust, python or auto),
and without either the Rust core where its extension is installed, else the pure one with a warning.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from .errdefs import InvalidArgument

RawFinding = tuple[str, bytes, int, str, bool]
RawResult = tuple[str, int, int, int, int, int, list[RawFinding]]

VHD_NONE = 0
VHD_APPEND = 1
VHD_ONLY = 2


class Core(Protocol):
    """What both cores offer. Only ints, bytes, text and file objects cross this line."""

    def convert(
        self,
        reader: Any,
        sink: Any,
        convert_whiteout: bool,
        convert_backslash: bool,
        inline_data: bool,
        maximum_disk_size: int,
        vhd: int,
        layout: str,
        reproduce_defects: bool,
        vhd_unique_id: bytes | None,
        progress: Callable[[int], object] | None,
        sync: bool,
    ) -> RawResult:
        """Convert a tar; gives digest, size, image_size, blocks, inodes, directories, findings.

        The sink is empty, and of the kinds that `io.open_sink` gives.
        """

    def vhd_footer(self, size: int, unique_id: bytes) -> bytes:
        """Give the 512-byte footer of an image of `size` bytes."""

    def vhd_unique_id(self, content: str) -> bytes:
        """Give the 16-byte unique id that belongs to a content."""

    def read_superblock(self, start: bytes) -> dict[str, int | bytes]:
        """Read an ext4 superblock from the first 2048 bytes of an image; InvalidArgument if there is none."""


if TYPE_CHECKING:
    from . import _pure, _rust

    _CORES: tuple[Core, ...] = (_rust, _pure)  # a core that is not as the protocol says does not pass mypy

_MODULES = {"rust": "layerdisk._rust", "python": "layerdisk._pure"}
_warned = False


def choose(core: str | None = None) -> tuple[str, Core]:
    """Give a core's name and the core.

    Args:
        core: "rust", "python", "auto", or None for what the environment says.

    Raises:
        InvalidArgument: another name.
        ImportError: the Rust core was asked for by name and is not installed.
    """
    wanted = core or os.environ.get("LAYERDISK_CORE") or "auto"
    if wanted in _MODULES:
        return wanted, _load(wanted)
    if wanted != "auto":
        raise InvalidArgument(f'core is {wanted!r}, not "rust", "python" or "auto"')
    try:
        return "rust", _load("rust")
    except ImportError as error:
        _warn_once(error)
        return "python", _load("python")


def _load(name: str) -> Core:
    return cast(Core, importlib.import_module(_MODULES[name]))


def _warn_once(error: ImportError) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"layerdisk's Rust core is not installed ({error}): the pure-Python core does the work, more slowly",
            RuntimeWarning,
            stacklevel=4,
        )
