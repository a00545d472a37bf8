from collections.abc import Callable, Sequence
from typing import Any

from .options import Options, VerityOptions

__version__: str
FAULTS: list[tuple[str, str, str, bool]]

def convert(
    reader: Any, sink: Any, options: Options, progress: Callable[[int], object] | None
) -> dict[str, Any]: ...
def vhd_footer(size: int, unique_id: bytes) -> bytes: ...
def vhd_unique_id(content: str) -> bytes: ...
def read_vhd_footer(end: bytes) -> dict[str, Any]: ...
def read_superblock(start: bytes) -> dict[str, int | bytes]: ...
def verity_build(
    source: Any,
    length: int | None,
    ranges: Sequence[tuple[int, int]],
    verity: VerityOptions,
    offset: int,
    progress: Callable[[int], object] | None,
) -> dict[str, Any]: ...
def verity_check(
    source: Any,
    ranges: Sequence[tuple[int, int]],
    verity: VerityOptions,
    data_blocks: int,
    tree: Any,
    offset: int,
    progress: Callable[[int], object] | None,
) -> tuple[bytes, list[tuple[int, int]]]: ...
def verity_superblock(verity: VerityOptions, data_blocks: int, root: bytes) -> bytes: ...
def read_verity_superblock(start: bytes) -> dict[str, Any]: ...
