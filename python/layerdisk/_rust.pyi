from collections.abc import Callable
from typing import Any

from .options import Options

__version__: str
FAULTS: list[tuple[str, str, str, bool]]

def convert(
    reader: Any, sink: Any, options: Options, progress: Callable[[int], object] | None
) -> dict[str, Any]: ...
def vhd_footer(size: int, unique_id: bytes) -> bytes: ...
def vhd_unique_id(content: str) -> bytes: ...
def read_superblock(start: bytes) -> dict[str, int | bytes]: ...
