"""Platforms: which runs on which, as containerd's own package says."""

from __future__ import annotations

import pytest
from layerdisk import platforms
from layerdisk.descriptor import Platform
from layerdisk.errdefs import InvalidArgument
from layerdisk.platforms import Matcher, host_platform, parse_platform

# What github.com/containerd/platforms v1.0.0-rc.4 says: Only(first).Match(each), sorted by Less, the best first.
_ARM = "arm/v8 arm/ arm/v7 arm/v6 arm/v5"
_EIGHT = f"arm64/ arm64/v8 arm64/v8.0 {_ARM}"
_NINE = f"arm64/v9 arm64/v9.0 arm64/v8.5 arm64/v8.2 arm64/v8.1 {_EIGHT}"
ONLY = {
    "386/": "386/",
    "amd64/": "amd64/ amd64/v1 386/",
    "amd64/v1": "amd64/ amd64/v1 386/",
    "amd64/v2": "amd64/v2 amd64/ amd64/v1 386/",
    "amd64/v3": "amd64/v3 amd64/v2 amd64/ amd64/v1 386/",
    "amd64/v4": "amd64/v4 amd64/v3 amd64/v2 amd64/ amd64/v1 386/",
    "arm/": "arm/ arm/v7 arm/v6 arm/v5",
    "arm/v5": "arm/v5",
    "arm/v6": "arm/v6 arm/v5",
    "arm/v7": "arm/ arm/v7 arm/v6 arm/v5",
    "arm/v8": _ARM,
    "arm64/": _EIGHT,
    "arm64/v8": _EIGHT,
    "arm64/v8.0": _EIGHT,
    "arm64/v8.1": f"arm64/v8.1 {_EIGHT}",
    "arm64/v8.2": f"arm64/v8.2 arm64/v8.1 {_EIGHT}",
    "arm64/v8.5": f"arm64/v8.5 arm64/v8.2 arm64/v8.1 {_EIGHT}",
    "arm64/v8.6": f"arm64/v8.6 arm64/v8.5 arm64/v8.2 arm64/v8.1 {_EIGHT}",
    "arm64/v9": _NINE,
    "arm64/v9.0": _NINE,
    "arm64/v9.1": f"arm64/v9.1 arm64/v9 arm64/v9.0 arm64/v8.6 arm64/v8.5 arm64/v8.2 arm64/v8.1 {_EIGHT}",
    "arm64/v9.2": f"arm64/v9.2 arm64/v9.1 arm64/v9 arm64/v9.0 arm64/v8.6 arm64/v8.5 arm64/v8.2 arm64/v8.1 {_EIGHT}",
    "riscv64/": "riscv64/",
    "s390x/": "s390x/",
}


def linux(text: str) -> Platform:
    architecture, _, variant = text.partition("/")
    return Platform(architecture, "linux", variant=variant)


@pytest.mark.parametrize("wanted", ONLY)
def test_the_order_is_that_of_containerd(wanted: str) -> None:
    matcher = Matcher(linux(wanted))
    ranks = {text: matcher.rank(linux(text)) for text in ONLY}
    fitting = sorted((rank, list(ONLY).index(text)) for text, rank in ranks.items() if rank is not None)
    assert [list(ONLY)[number] for _, number in fitting] == ONLY[wanted].split()


def test_another_operating_system_or_missing_features_do_not_run() -> None:
    matcher = Matcher(linux("amd64"))
    assert matcher.rank(Platform("amd64", "windows")) is None
    assert matcher.rank(Platform("amd64", "linux", os_features=("x",))) is None
    assert (
        Matcher(Platform("amd64", "linux", os_features=("x", "y"))).rank(
            Platform("amd64", "linux", os_features=("y",))
        )
        == 0
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64/v3", "linux/amd64/v3"),
        ("Linux/AARCH64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("macos/arm64", "darwin/arm64"),
    ],
)
def test_platforms_are_read(text: str, shown: str) -> None:
    assert str(parse_platform(text)) == shown


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd64\n", "linux/\u202eamd64"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="must be os/architecture or os/architecture/variant"):
        parse_platform(text)


V2 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"
V3 = f"{V2} abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"


@pytest.mark.parametrize(
    ("flags", "variant"),
    [
        ("fpu", ""),
        (V2, "v2"),
        (V3, "v3"),
        (V3.replace("avx2 ", ""), "v2"),
        (V3.replace("ssse3 ", ""), ""),
        (f"{V3} avx512bw avx512cd avx512dq avx512f avx512vl", "v4"),
    ],
    ids=["none", "v2", "v3", "v3 but for avx2", "v3 but for ssse3", "v4"],
)
def test_the_processors_flags_give_the_variant(
    monkeypatch: pytest.MonkeyPatch, flags: str, variant: str
) -> None:
    monkeypatch.setattr(platforms, "linux_platform", lambda: Platform("amd64", "linux"))
    monkeypatch.setattr(platforms, "_cpu_flags", lambda: frozenset(flags.split()))
    assert host_platform.__wrapped__() == Platform("amd64", "linux", variant=variant)


def test_this_machine_runs_its_own_platform() -> None:
    assert Matcher(host_platform()).rank(host_platform()) == 0
