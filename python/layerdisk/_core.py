"""The converter that works behind the API: the Rust core, or the pure-Python one with the same results.

The choice, in this order: the `core` argument, the environment variable `LAYERDISK_CORE` (rust, python or auto),
and without either the Rust core where its extension is installed, else the pure one with a warning.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from .errdefs import InvalidArgument


class Core(Protocol):
    """What both cores offer. Only ints, bytes, text, file objects and the record of options cross this line."""

    @property
    def FAULTS(self) -> Sequence[tuple[str, str, str, bool]]:
        """The table of faults: name, code, text and whether hcsshim's bytes are written all the same."""

    def convert(
        self, reader: Any, sink: Any, options: Options, progress: Callable[[int], object] | None
    ) -> dict[str, Any]:
        """Convert a tar; return the fields of ConvertResult, each finding as the tuple of its fields.

        The sink is of the kinds that `io.open_sink` gives. It is emptied once the options and the reader are
        seen to be right. None: no image is kept. `verity` of the result is None, or what `verity_build` returns.
        """

    def vhd_footer(self, size: int, unique_id: bytes) -> bytes:
        """Return the 512-byte footer of an image of `size` bytes."""

    def vhd_unique_id(self, content: str) -> bytes:
        """Return the 16-byte unique id that belongs to a content."""

    def read_vhd_footer(self, end: bytes) -> dict[str, Any]:
        """Read a footer, the last 512 bytes of an image: the fields of VhdFooter; InvalidArgument if it is not one."""

    def read_superblock(self, start: bytes) -> dict[str, int | bytes]:
        """Read an ext4 superblock from the first 2048 bytes of an image; InvalidArgument if there is none."""

    def verity_build(
        self,
        source: Any,
        length: int | None,
        ranges: Sequence[tuple[int, int]],
        verity: VerityOptions,
        offset: int,
        progress: Callable[[int], object] | None,
    ) -> dict[str, Any]:
        """Hash the blocks of some data, and store superblock and tree at an offset of the sink, if there is one.

        Args:
            source: descriptor of a regular file, or an object with `read_at(offset, size)`.
            length: of the data; None for all that the source has.
            ranges: (start, end) of the parts that are not holes, in order.
            verity: what is wanted.
            offset: where the hashes go.
            progress: called with the number of bytes that were gone through.

        Returns:
            root, data_blocks, hash_offset, tree_size, end, uuid.
        """

    def verity_check(
        self,
        source: Any,
        ranges: Sequence[tuple[int, int]],
        verity: VerityOptions,
        data_blocks: int,
        tree: Any,
        offset: int,
        progress: Callable[[int], object] | None,
    ) -> tuple[bytes, list[tuple[int, int]]]:
        """Check data against the tree at an offset of another source.

        Returns:
            The digest of the top block, and how many digests differ and the number of the first such block (0 for
            none): of the data blocks, then of the hash blocks of each level below the top one.
        """

    def verity_superblock(self, verity: VerityOptions, data_blocks: int, root: bytes) -> bytes:
        """Return the 512 bytes of a superblock; the root is for its UUID, where that is derived."""

    def read_verity_superblock(self, start: bytes) -> dict[str, Any]:
        """Read a superblock: algorithm, data_block_size, hash_block_size, salt, data_blocks, uuid."""


if TYPE_CHECKING:
    from . import _pure, _rust
    from .options import Options, VerityOptions

    _CORES: tuple[Core, ...] = (_rust, _pure)  # a core that is not as the protocol says does not pass mypy

_MODULES = {"rust": "layerdisk._rust", "python": "layerdisk._pure"}
_warned = False


def choose(core: str | None = None) -> tuple[str, Core]:
    """Return a core's name and the core.

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
