from collections.abc import Callable
from typing import Any

__version__: str

def convert(
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
) -> tuple[str, int, int, int, int, int, list[tuple[str, bytes, int, str, bool]]]: ...
def vhd_footer(size: int, unique_id: bytes) -> bytes: ...
def vhd_unique_id(content: str) -> bytes: ...
def read_superblock(start: bytes) -> dict[str, int | bytes]: ...
