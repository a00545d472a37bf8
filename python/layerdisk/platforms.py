"""Platforms: what a user writes, what this machine is, and which image suits best.

Source: containerd/platforms, compare.go (Only), database.go (normalizeArch), platforms.go (Parse).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from .descriptor import Platform, linux_platform
from .errdefs import InvalidArgument
from .names import quote_text

__all__ = ["Matcher", "host_platform", "normalize", "parse_platform"]

_PART = re.compile(r"[A-Za-z0-9_.-]+")
_OLDEST_ARM = 5
_CPUINFO_BYTES = 64 * 1024  # the first processor is described within; a large machine's file has megabytes

# Other names of architectures, and the variants that have no name of their own.
_ARCHITECTURES = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_VARIANTS = {
    ("amd64", "v1"): "",
    ("arm64", "8"): "",
    ("arm64", "v8"): "",
    ("arm64", "8.0"): "",
    ("arm64", "v8.0"): "",
    ("arm64", "9"): "v9",
    ("arm64", "9.0"): "v9",
    ("arm64", "v9.0"): "v9",
    ("arm", ""): "v7",
    ("arm", "5"): "v5",
    ("arm", "6"): "v6",
    ("arm", "7"): "v7",
    ("arm", "8"): "v8",
}
# Processor flags of each level, as Linux names them; a level needs those of the levels below too.
# Source: x86-64 psABI, micro-architecture levels.
_AMD64_LEVELS = (
    ("v2", "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"),
    ("v3", "abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"),
    ("v4", "avx512bw avx512cd avx512dq avx512f avx512vl"),
)


def parse_platform(text: str) -> Platform:
    """Return the platform that a text names.

    Args:
        text: "os/architecture" or "os/architecture/variant", in Go's words or in those of `uname -m`.

    Raises:
        InvalidArgument: the text has another form.

    >>> str(parse_platform("linux/aarch64"))
    'linux/arm64'
    >>> parse_platform("linux/amd64/v3").variant
    'v3'
    """
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(map(_PART.fullmatch, parts)):
        raise InvalidArgument(
            f"platform is {quote_text(text)}, and must be os/architecture or os/architecture/variant, "
            "for example linux/arm64"
        )
    return normalize(Platform(os=parts[0], architecture=parts[1], variant="".join(parts[2:])))


def normalize(platform: Platform) -> Platform:
    """Return a platform in the words that are compared: "x86_64" is amd64, arm64/v8 is arm64, arm is arm/v7."""
    system, architecture, variant = (
        text.lower() for text in (platform.os, platform.architecture, platform.variant)
    )
    system = {"macos": "darwin", "": "linux"}.get(system, system)
    architecture, fixed = _ARCHITECTURES.get(architecture, (architecture, None))
    variant = variant if fixed is None else fixed
    variant = _VARIANTS.get((architecture, variant), variant)
    return replace(platform, os=system, architecture=architecture, variant=variant)


@cache
def host_platform() -> Platform:
    """Return the platform of Linux containers on this machine, with the variant of its processor."""
    platform = linux_platform()
    if platform.architecture == "amd64":
        return replace(platform, variant=_amd64_level(_cpu_flags()))
    if platform.architecture == "arm":
        import platform as machine

        return replace(platform, variant={"armv6l": "v6", "armv8l": "v8"}.get(machine.machine(), "v7"))
    return normalize(platform)


def _amd64_level(flags: frozenset[str]) -> str:
    level = ""
    for name, needed in _AMD64_LEVELS:
        if not flags.issuperset(needed.split()):
            break
        level = name
    return level


def _cpu_flags() -> frozenset[str]:
    if not sys.platform.startswith("linux"):
        return frozenset()  # the lowest level runs everywhere
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            found = re.search(r"^flags\s*:(.*)$", file.read(_CPUINFO_BYTES), re.MULTILINE)
    except OSError:
        return frozenset()
    return frozenset(found[1].split()) if found else frozenset()


class Matcher:
    """Tells how well platforms suit the one that is wanted.

    An older variant runs on a newer processor (amd64/v1 to v4, arm v5 to v8, arm64 v8.x and v9.x), 386 on amd64
    and arm on arm64; never the other way around.

    Args:
        wanted: the platform to run on.

    >>> matcher = Matcher(parse_platform("linux/arm64"))
    >>> [matcher.rank(parse_platform(text)) for text in ("linux/arm64", "linux/arm/v7", "linux/amd64")]
    [0, 2, None]
    """

    def __init__(self, wanted: Platform) -> None:
        self.wanted = normalize(wanted)
        self._order = list(dict.fromkeys(_suitable(self.wanted.architecture, self.wanted.variant)))

    def rank(self, platform: Platform) -> int | None:
        """Return 0 for the best platform, more for one that is not as good, None for one that does not run."""
        found = normalize(platform)
        if found.os != self.wanted.os or not set(found.os_features) <= set(self.wanted.os_features):
            return None
        try:
            return self._order.index((found.architecture, found.variant))
        except ValueError:
            return None


def _suitable(architecture: str, variant: str) -> Iterator[tuple[str, str]]:
    """Yield architecture and variant of what runs, the best first."""
    yield architecture, variant
    if architecture == "amd64":
        for level in range(_number(variant, "v") - 1, 0, -1):
            yield architecture, f"v{level}" if level > 1 else ""
        yield "386", ""
    elif architecture == "arm":
        for version in range(_number(variant, "v") - 1, _OLDEST_ARM - 1, -1):
            yield architecture, f"v{version}"
    elif architecture == "arm64":
        for older in _older_arm64(variant):
            yield architecture, older
        yield from _suitable("arm", "v8")


def _older_arm64(variant: str) -> Iterator[str]:
    """Yield the variants of arm64 below one: v9.x holds v8.(x + 5) and all below."""
    minor = _number(variant, "v8.")
    if re.fullmatch(r"v9(\.\d)?", variant):
        nine = _number(variant, "v9.")
        for version in range(nine - 1, -1, -1):
            yield f"v9.{version}" if version else "v9"
        minor = nine + 5
        yield f"v8.{minor}"
    for version in range(minor - 1, -1, -1):
        yield f"v8.{version}" if version else ""


def _number(variant: str, prefix: str) -> int:
    digits = variant.removeprefix(prefix)
    return int(digits) if variant.startswith(prefix) and re.fullmatch(r"[0-9]", digits) else 0
