"""Imports follow the arrows of ARCHITECTURE.md. The tables here are all of them; a module without a row fails."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
from arrows_abroad import ARROWS_ABROAD, Row
from imports import (
    Imports,
    crate_arrows,
    python_imports,
    rust_arrows,
    rust_clock_or_chance,
    rust_modules,
)

ROOT = Path(__file__).parents[2]
RUST = ROOT / "rust" / "core" / "src"
BINDING = ROOT / "rust" / "python" / "src"
PACKAGE = ROOT / "python" / "layerdisk"

# What each module of the core may name, in Rust and in _pure alike; what either names is here.
CORE = {
    "convert": "options faults pipeline stream layer tar ext4/storage ext4/finish ext4/layout/groups "
    "verity/device verity/leaves verity/tree container/vhd error sink sink/output units",
    "options": "faults ext4/layout ext4/layout/hcsshim verity verity/device verity/tree container error",
    "faults": "",
    "pipeline": "stream error sink",
    "stream": "error",
    "layer": "faults stream layer/attributes layer/merge layer/name layer/paths tar tree "
    "ext4/storage error sink units",
    "layer/attributes": "faults tar tree ext4/format/acl ext4/format/capability ext4/format/inode "
    "ext4/format/timestamp ext4/format/xattr ext4/hcsshim ext4/hcsshim/times ext4/hcsshim/xattrs error units",
    "layer/merge": "faults layer/attributes tree ext4/storage ext4/format/features ext4/format/xattr "
    "ext4/hcsshim ext4/hcsshim/times ext4/hcsshim/xattrs error sink units",
    "layer/name": "",
    "layer/paths": "faults layer/merge tree error sink units",
    "tar": "faults stream tar/block tar/header tar/map tar/pax tar/sparse tar/stream error units",
    "tar/block": "error",
    "tar/header": "tar/block error units",
    "tar/map": "tar/block tar/header error",
    "tar/pax": "tar/block tar/header tar/map error units",
    "tar/sparse": "tar/header tar/map error",
    "tar/stream": "stream tar/block error",
    "tree": "tree/arena tree/children tree/names tree/node error units",
    "tree/arena": "error",
    "tree/children": "tree/names units",
    "tree/names": "error units",
    "tree/node": "units",
    "ext4": "",
    "ext4/storage": "faults tree tree/node ext4/format/acl ext4/format/checksum ext4/format/extent "
    "ext4/format/features ext4/format/inode ext4/format/xattr ext4/hcsshim "
    "ext4/hcsshim/extents ext4/hcsshim/xattr_order ext4/hcsshim/xattrs ext4/layout "
    "ext4/layout/groups error sink sink/output units",
    "ext4/finish": "faults tree ext4/storage ext4/finish/directories ext4/finish/groups "
    "ext4/finish/inode_table ext4/format/superblock ext4/layout error sink units",
    "ext4/finish/directories": "faults tree ext4/storage ext4/format/checksum ext4/format/directory error sink units",
    "ext4/finish/groups": "tree ext4/storage ext4/finish/inode_table ext4/format/bitmap "
    "ext4/format/group_descriptor ext4/format/inode ext4/format/superblock ext4/layout "
    "error sink units",
    "ext4/finish/inode_table": "faults tree tree/node ext4/storage ext4/format/checksum ext4/format/extent "
    "ext4/format/inode ext4/format/timestamp ext4/hcsshim ext4/hcsshim/geometry "
    "ext4/hcsshim/times ext4/layout ext4/layout/groups error sink units",
    "ext4/format": "",
    "ext4/format/acl": "faults error",
    "ext4/format/bitmap": "units",
    "ext4/format/capability": "faults error",
    "ext4/format/checksum": "units",
    "ext4/format/directory": "ext4/format/checksum ext4/layout units",
    "ext4/format/extent": "ext4/format/checksum units",
    "ext4/format/features": "",
    "ext4/format/group_descriptor": "ext4/format/checksum",
    "ext4/format/inode": "ext4/format/checksum ext4/format/extent ext4/format/timestamp ext4/format/xattr "
    "ext4/layout units",
    "ext4/format/superblock": "ext4/format/checksum ext4/format/features ext4/format/inode ext4/layout error units",
    "ext4/format/timestamp": "units",
    "ext4/format/xattr": "faults ext4/format/checksum error units",
    "ext4/hcsshim": "",
    "ext4/hcsshim/extents": "ext4/format/checksum ext4/format/extent units",
    "ext4/hcsshim/geometry": "ext4/layout/groups units",
    "ext4/hcsshim/times": "ext4/format/timestamp units",
    "ext4/hcsshim/xattr_order": "ext4/format/xattr",
    "ext4/hcsshim/xattrs": "faults tree ext4/format/xattr error",
    "ext4/layout": "ext4/format/checksum ext4/format/features units",
    "ext4/layout/groups": "ext4/format/inode ext4/layout units",
    "ext4/layout/hcsshim": "ext4/format/checksum ext4/format/features ext4/format/group_descriptor "
    "ext4/format/inode ext4/layout",
    "container": "container/vhd error sink",
    "container/vhd": "error",
    "error": "faults",
    "sink": "error units",
    "sink/file": "error sink",
    "sink/output": "error sink units",
    "verity": "error",
    "verity/hasher": "verity sink",
    "verity/superblock": "verity error",
    "verity/tree": "verity verity/hasher sink error",
    "verity/device": "verity verity/leaves verity/superblock verity/tree sink error",
    "verity/leaves": "verity verity/tree sink units error",
    "verity/build": "verity verity/hasher verity/leaves verity/tree error",
    "verity/check": "verity verity/build verity/hasher error",
    "units": "",
}
# What the two that offer a core to Python may name of it: rust/python and _pure/__init__.py.
OFFERED = (
    "convert options faults pipeline sink sink/file container container/vhd ext4/layout "
    "ext4/format/superblock verity verity/build verity/check verity/device verity/superblock verity/tree error"
)


# The modules whose names `import layerdisk` offers.
_OFFERED = (
    "cache cancel containerd content decompress descriptor diff dmverity errdefs findings fleet image inspection io "
    "lcow media_types mount names options places platforms registry sources tar2ext4 vhd"
)

FACE = {
    "__init__": Row(
        "",
        late=f"{_OFFERED} _core _rust",
        for_types=_OFFERED,
    ),
    "__main__": Row("cli"),
    "cli": Row(
        "",
        late="cli/_options cli/_show cli/convert cli/inspect cli/apply cli/roothash cli/verity cli/fleet cli/cache "
        "cli/serve cli/completion errdefs",
    ),
    "cli/_input": Row("cli/_progress errdefs"),
    "cli/convert": Row("cli/_input cli/_options cli/_progress cli/_show", late="tar2ext4 decompress"),
    "cli/roothash": Row("cli/_input cli/_options cli/_progress cli/_show", late="tar2ext4 decompress"),
    "cli/verity": Row("cli/_options cli/_progress cli/_show", late="dmverity", for_types="dmverity"),
    "cli/inspect": Row("cli/_names cli/_options cli/_show", late="inspection", for_types="inspection vhd"),
    "cli/apply": Row(
        "cli/_options cli/_progress cli/_show",
        late="cache lcow image sources content descriptor platforms mount diff errdefs",
        for_types="cache content descriptor lcow",
    ),
    "cli/cache": Row("cli/_options cli/_show", late="cache errdefs", for_types="cache"),
    "cli/fleet": Row("cli/_options cli/_show", late="fleet errdefs", for_types="fleet"),
    "cli/completion": Row("cli/_options", late="cli"),
    "cli/_names": Row(""),
    "cli/_options": Row("", late="__init__"),
    "cli/_progress": Row("", for_types="descriptor image"),
    "cli/_show": Row("errdefs"),
    "lcow": Row(
        "cancel content decompress/stream descriptor media_types mount names diff diff/watch tar2ext4 _vmgroup io "
        "errdefs",
        for_types="dmverity options",
    ),
    "image": Row(
        "_jobs cancel lcow sources/choose sources/layout sources/manifest platforms descriptor media_types "
        "mount diff io",
        for_types="cache",
    ),
    "cache": Row("cancel descriptor errdefs io options places"),
    "fleet": Row("cache cancel errdefs image io lcow places sources"),
    "places": Row("errdefs io names"),
    "_jobs": Row("cancel errdefs"),
    "cancel": Row("errdefs"),
    "sources": Row("", for_types="sources/manifest sources/name sources/open"),
    "sources/archive": Row(
        "sources/choose sources/document sources/layout sources/manifest sources/members "
        "content decompress decompress/gzip descriptor media_types names errdefs"
    ),
    "sources/choose": Row(
        "sources/document sources/manifest content descriptor platforms media_types names errdefs"
    ),
    "sources/directory": Row("sources/document content descriptor media_types names errdefs"),
    "sources/document": Row("content descriptor media_types names errdefs"),
    "sources/layout": Row("sources/document content descriptor media_types errdefs"),
    "sources/manifest": Row("sources/document descriptor media_types names errdefs"),
    "sources/members": Row("sources/document names errdefs"),
    "sources/name": Row("names errdefs"),
    "sources/open": Row(
        "sources/archive sources/choose sources/directory sources/layout sources/manifest sources/members "
        "sources/name sources/spool content descriptor platforms errdefs",
        late="sources/containerd sources/registry registry/reference",
        for_types="registry/client",
    ),
    "sources/containerd": Row("containerd/config containerd/content descriptor errdefs"),
    "sources/registry": Row(
        "registry/blob registry/client registry/reference content descriptor media_types"
    ),
    "sources/spool": Row("decompress io errdefs"),
    "platforms": Row("descriptor names errdefs"),
    "content": Row("content/protocols content/local content/ingest content/verifier"),
    "content/protocols": Row("descriptor"),
    "content/local": Row("content/protocols content/ingest content/ingest_files descriptor names errdefs"),
    "content/ingest": Row(
        "content/protocols content/ingest_files descriptor io names errdefs", for_types="content/local"
    ),
    "content/ingest_files": Row("content/protocols names errdefs"),
    "content/verifier": Row("descriptor io errdefs"),
    "diff": Row("cancel decompress io diff/chain diff/ocicrypt diff/options diff/program"),
    "diff/chain": Row("cancel decompress media_types names io errdefs"),
    "diff/ocicrypt": Row("diff/chain diff/options diff/program descriptor media_types"),
    "diff/options": Row("cancel diff/chain errdefs"),
    "diff/program": Row("diff/chain", late="diff/process"),
    "diff/child": Row("", late="diff/child_posix diff/child_windows"),
    "diff/child_posix": Row("diff/child"),
    "diff/child_windows": Row("diff/child"),
    "diff/readers": Row("io errdefs", for_types="content"),
    "diff/watch": Row("cancel content descriptor diff/options diff/readers io errdefs"),
    "diff/process": Row("diff/child names io errdefs"),
    "descriptor": Row("names errdefs"),
    "media_types": Row("names errdefs"),
    "mount": Row("names errdefs"),
    "inspection": Row("tar2ext4 vhd errdefs"),
    "tar2ext4": Row(
        "_core _record errdefs findings io options",
        late="dmverity/conversion dmverity/device",
        for_types="dmverity dmverity/conversion",
    ),
    "dmverity": Row("dmverity/device dmverity/info dmverity/parameters dmverity/verification errdefs"),
    "dmverity/conversion": Row(
        "_core _record dmverity/parameters dmverity/places errdefs findings io options", late="tar2ext4"
    ),
    "dmverity/device": Row("_core dmverity/info dmverity/parameters dmverity/places io errdefs"),
    "dmverity/info": Row("_record dmverity/parameters errdefs"),
    "dmverity/owner": Row("dmverity/places names errdefs"),
    "dmverity/parameters": Row("_record errdefs options"),
    "dmverity/places": Row("errdefs"),
    "dmverity/verification": Row(
        "_core dmverity/device dmverity/info dmverity/owner dmverity/parameters dmverity/places vhd errdefs"
    ),
    "findings": Row("_record"),
    "options": Row(""),
    "vhd": Row("_core"),
    "errdefs": Row("names"),
    "_core": Row("errdefs", late="_rust _pure", for_types="_rust _pure options"),
    "_rust": Row("options"),
    "io": Row("errdefs"),
    "decompress": Row("decompress/foreign decompress/gzip decompress/stream decompress/zstd io errdefs"),
    "decompress/foreign": Row(""),
    "decompress/gzip": Row("decompress/stream io errdefs"),
    "decompress/stream": Row("io"),
    "decompress/zstd": Row("decompress/stream io errdefs"),
    "names": Row(""),
    "_record": Row(""),
    "_vmgroup": Row("errdefs"),
}
FACE |= ARROWS_ABROAD

# Who asks for the time or for random numbers; nobody else may.
CLOCKS_AND_CHANCE = {
    "_jobs": "time",  # how long to wait for jobs that were canceled
    "cli/_progress": "time",  # when the bars were last drawn
    "cli/inspect": "datetime",  # the times in an image, for people
    "cli/cache": "datetime",  # when an entry was used, for people
    "fleet": "time",  # how long to wait before the next attempt
    "places": "datetime os.urandom time",  # the name of a temporary file; how long to wait for a lock
    "lcow": "time",  # how long it took, for the log
    "containerd/content": "datetime uuid.uuid4",  # when a blob was written; the name of a lease
    "content/protocols": "datetime",  # the type of times
    "content/ingest_files": "datetime os.urandom",  # when a blob was written; the names of temporary files
    "io": "os.urandom",  # the name of the temporary file
    "containerd/diff_service": "time uuid.uuid4",  # how long it took; the name of an ingest without one
    "containerd/service": "time",  # how long a call took
    "containerd/snapshots/database": "time",  # when a snapshot was made
    "registry/auth": "time",  # when a token is no longer valid
    "registry/client": "random time",  # waits between attempts, not all the same
    "diff/process": "time",  # how long to wait for a process
    "diff/child_windows": "time",  # the same
    "rust: tree": "HashMap",  # in what order it keeps things, which does not show; so the next two
    "rust: tree/arena": "RandomState",
    "rust: tree/names": "HashMap RandomState",
}
# What need not be installed with Python.
REQUIREMENTS = {
    "cli/_progress": "rich",
    "cli/completion": "shtab",
    "cli/fleet": "distributed",
    "places": "fsspec",
    "decompress/gzip": "isal",
    "decompress/zstd": "zstandard",
    "containerd/content": "grpc",
    "containerd/diff_service": "grpc",
    "containerd/metrics": "prometheus_client",
    "containerd/server": "grpc grpc_health",
    "containerd/service": "grpc",
    "containerd/snapshot_service": "google grpc",
    "containerd/upper": "zstandard",
    "registry/blob": "urllib3",
    "registry/client": "urllib3",
    "registry/push": "urllib3",
}


def found_in_rust() -> dict[str, set[str]]:
    return rust_arrows(rust_modules(RUST) | {"lib": ""})


def found_in_pure() -> dict[str, set[str]]:
    """The arrows of _pure under the names of the Rust core, which has an `error` in place of errdefs.py."""
    names = {"_pure": "lib", "errdefs": "error"}
    found = {
        module.removeprefix("_pure/"): {names.get(name, name.removeprefix("_pure/")) for name in imports.all}
        for module, imports in python_imports(PACKAGE).items()
        if module.startswith("_pure/")
    }
    return {module: arrows - {module} for module, arrows in found.items()}


def found_in_face() -> dict[str, Imports]:
    return {name: found for name, found in python_imports(PACKAGE).items() if name.split("/")[0] != "_pure"}


def forbidden(found: Mapping[str, Iterable[str]], allowed: Mapping[str, str]) -> list[str]:
    """What is in the sources and not in the table."""
    wrong = []
    for module, arrows in found.items():
        if module not in allowed:
            wrong.append(f"{module} has no row")
        else:
            wrong += [f"{module} names {name}" for name in arrows if name not in allowed[module].split()]
    return sorted(wrong)


def idle(found: Mapping[str, Iterable[str]], allowed: Mapping[str, str]) -> list[str]:
    """What is in the table and not in the sources."""
    arrows = {(module, name) for module, names in found.items() for name in names}
    rows = [f"{module} does not exist" for module in allowed if module not in found]
    return sorted(
        rows
        + [
            f"{module} does not name {name}"
            for module, names in allowed.items()
            for name in names.split()
            if module in found and (module, name) not in arrows
        ]
    )


def reached(module: str, allowed: Mapping[str, str]) -> set[str]:
    """All that a module names, and what those name, and so on."""
    found: set[str] = set()
    ahead = [module]
    while ahead:
        for name in set(allowed.get(ahead.pop(), "").split()) - found:
            found.add(name)
            ahead.append(name)
    return found


needs_rust = pytest.mark.skipif(not RUST.is_dir(), reason="an installed package has no Rust sources")


@needs_rust
def test_rust_modules_follow_the_arrows() -> None:
    found = found_in_rust()
    assert found.pop("lib") == set()
    assert forbidden(found, CORE) == []


def test_pure_modules_follow_the_arrows_of_the_rust_ones() -> None:
    assert forbidden(found_in_pure(), CORE) == []


@needs_rust
def test_every_arrow_of_the_core_is_in_use() -> None:
    both = found_in_rust()
    for module, arrows in found_in_pure().items():
        both[module] = both.get(module, set()) | arrows
    assert idle(both, CORE) == []


@needs_rust
def test_the_binding_names_what_a_core_offers() -> None:
    found = crate_arrows(rust_modules(BINDING), "layerdisk_core", rust_modules(RUST))
    assert forbidden({"binding": found}, {"binding": OFFERED}) == []
    assert idle({"binding": found}, {"binding": OFFERED}) == []


def test_the_pure_core_names_what_a_core_offers() -> None:
    found = {name.removeprefix("_pure/") for name in python_imports(PACKAGE)["_pure"].all}
    assert forbidden({"_pure": found}, {"_pure": OFFERED}) == []


@pytest.mark.parametrize("kind", Row._fields)
def test_python_modules_follow_the_arrows(kind: str) -> None:
    found = {name: getattr(imports, kind) for name, imports in found_in_face().items()}
    allowed = {name: getattr(row, kind) for name, row in FACE.items()}
    assert forbidden(found, allowed) == []
    assert idle(found, allowed) == []


@pytest.mark.parametrize(
    ("one", "other"), [("tar", "ext4"), ("tar", "tree"), ("tree", "ext4"), ("tree", "tar"), ("ext4", "tar")]
)
def test_rooms_that_do_not_know_each_other(one: str, other: str) -> None:
    for module in CORE:
        if module.split("/")[0] == one:
            assert not {name for name in reached(module, CORE) if name.split("/")[0] == other}, module


def test_structures_import_only_what_they_hold() -> None:
    """An inode holds extents, times and xattrs; the superblock says how large inodes are; most have a checksum."""
    structures = {name for name in CORE if name.startswith("ext4/format/")} - {"ext4/format/checksum"}
    among = {name: structures & set(CORE[name].split()) for name in structures}
    assert {name: names for name, names in among.items() if names} == {
        "ext4/format/inode": {"ext4/format/extent", "ext4/format/timestamp", "ext4/format/xattr"},
        "ext4/format/superblock": {"ext4/format/inode", "ext4/format/features"},
    }


@needs_rust
@pytest.mark.parametrize("found", [found_in_rust, found_in_pure], ids=["rust", "pure"])
def test_no_arrows_make_a_circle(found: Callable[[], dict[str, set[str]]]) -> None:
    arrows = {module: " ".join(names) for module, names in found().items() if module != "lib"}
    assert [module for module in arrows if module in reached(module, arrows)] == []


def test_no_arrows_of_python_modules_make_a_circle() -> None:
    arrows = {module: " ".join(found.at_start) for module, found in python_imports(PACKAGE).items()}
    assert [module for module in arrows if module in reached(module, arrows)] == []


def clocks_and_chance(rust: Path, package: Path) -> dict[str, str]:
    found = {f"rust: {name}": rust_clock_or_chance(code) for name, code in rust_modules(rust).items()}
    found |= {name: imports.clock_or_chance for name, imports in python_imports(package).items()}
    return {name: " ".join(sorted(names)) for name, names in found.items() if names}


@needs_rust
def test_clocks_and_randomness_are_where_the_table_says() -> None:
    assert clocks_and_chance(RUST, PACKAGE) == CLOCKS_AND_CHANCE


def test_a_conversion_knows_no_clock_and_its_only_random_bytes_name_the_temporary_file() -> None:
    arrows = {name: " ".join(row[:2]) for name, row in FACE.items()}
    assert reached("tar2ext4", arrows) & set(CLOCKS_AND_CHANCE) == {"io"}


@needs_rust
def test_crates_of_the_core_bring_no_clock_and_no_randomness() -> None:
    dependencies = tomllib.loads((RUST.parent / "Cargo.toml").read_text())["dependencies"]
    assert set(dependencies) == {"hashbrown", "sha-lanes", "sha2", "uuid", "zerocopy"}
    assert dependencies["uuid"]["features"] == ["v5"]  # v1, v4, v6, v7 would


@needs_rust
def test_only_the_binding_names_pyo3() -> None:
    files = [path for suffix in ("rs", "toml") for path in (ROOT / "rust").rglob(f"*.{suffix}")]
    files += [ROOT / "Cargo.toml"]
    naming = {path for path in files if "target" not in path.parts and "pyo3" in path.read_text()}
    assert {path.relative_to(ROOT).parts[:2] for path in naming} == {("rust", "python")}


def test_modules_need_only_what_the_table_says_beside_the_standard_library() -> None:
    allowed = dict.fromkeys(python_imports(PACKAGE), "") | REQUIREMENTS
    standard = {*sys.stdlib_module_names, "_typeshed"}  # the latter has types only
    found = {name: imports.others - standard for name, imports in python_imports(PACKAGE).items()}
    assert forbidden(found, allowed) == []
    assert idle(found, REQUIREMENTS) == []


def test_what_is_not_in_the_table_is_said() -> None:
    found = {"tar": {"error", "ext4/writer"}, "verity": set(), "path": {"units"}}
    table = {"tar": "error units", "path": "", "old": "error"}
    assert forbidden(found, table) == ["path names units", "tar names ext4/writer", "verity has no row"]
    assert idle(found, table) == ["old does not exist", "tar does not name units"]
