"""layerdisk: container image layers as disks.

`layerdisk.tar2ext4` converts a layer tar into an ext4 image, `layerdisk.lcow` does what containerd's LCOW differ does.
"""

from __future__ import annotations

__all__ = ["__version__", "core_name"]


def __getattr__(name: str) -> str:
    """Find out the version and the core only when somebody asks: it costs start-up time."""
    if name == "core_name":
        from ._core import choose

        return choose()[0]
    if name == "__version__":
        try:  # which is there at once, while the metadata take their time
            from ._rust import __version__
        except ImportError:
            from importlib.metadata import version

            return version("layerdisk")
        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
