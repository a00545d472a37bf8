"""Imports follow the arrows of ARCHITECTURE.md. The tables here are all of them; a module without a row fails."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
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
STRUCTURES = "superblock group_descriptor bitmap inode extent directory xattr acl timestamp"

# What each module of the core may name, in Rust and in _pure alike; what either names is here.
CORE = {
    "convert": "options pipeline layer tar ext4/storage ext4/finish ext4/layout/groups "
    "container/vhd sink sink/output stream faults units error",
    "options": "ext4/layout container faults error",
    "faults": "",
    "pipeline": "sink stream error",
    "stream": "error",
    "layer": "layer/attributes layer/merge layer/name tar tree ext4/storage sink stream faults units error",
    "layer/attributes": "tar tree ext4/format/acl ext4/format/inode ext4/format/timestamp "
    "ext4/format/xattr ext4/hcsshim faults units error",
    "layer/merge": "layer/attributes tree ext4/storage ext4/format/features ext4/format/xattr "
    "ext4/hcsshim sink faults units error",
    "layer/name": "",
    "layer/paths": "layer/merge tree sink faults units error",
    "tar": "tar/block tar/header tar/map tar/pax tar/sparse tar/stream stream faults units error",
    "tar/block": "error",
    "tar/header": "tar/block units error",
    "tar/map": "tar/block tar/header error",
    "tar/pax": "tar/block tar/header tar/map units error",
    "tar/sparse": "tar/header tar/map error",
    "tar/stream": "tar/block stream error",
    "tree": "tree/arena tree/children tree/names tree/node units error",
    "tree/arena": "error",
    "tree/children": "tree/names units",
    "tree/names": "units error",
    "tree/node": "units",
    "ext4": "",
    "ext4/storage": "tree ext4/layout ext4/format/acl ext4/format/checksum ext4/format/extent "
    "ext4/format/features ext4/format/inode ext4/format/xattr ext4/hcsshim sink "
    "sink/output faults units error",
    "ext4/finish": "tree ext4/storage ext4/finish/directories ext4/finish/groups "
    "ext4/finish/inode_table ext4/layout ext4/format/superblock sink faults units "
    "error",
    "ext4/finish/directories": "tree ext4/storage ext4/format/checksum ext4/format/directory sink faults units "
    "error",
    "ext4/finish/groups": "tree ext4/storage ext4/finish/inode_table ext4/layout ext4/format/bitmap "
    "ext4/format/group_descriptor ext4/format/inode ext4/format/superblock sink units "
    "error",
    "ext4/finish/inode_table": "tree ext4/storage ext4/layout ext4/layout/groups ext4/format/checksum "
    "ext4/format/extent ext4/format/inode ext4/format/timestamp ext4/hcsshim sink "
    "faults units error",
    "ext4/layout": "ext4/format/checksum ext4/format/features",
    "ext4/layout/groups": "ext4/layout ext4/format/inode units",
    "ext4/layout/hcsshim": "ext4/layout ext4/format/checksum ext4/format/features "
    "ext4/format/group_descriptor ext4/format/inode",
    "ext4/format": "",
    "ext4/format/acl": "faults error",
    "ext4/format/bitmap": "units",
    "ext4/format/checksum": "units",
    "ext4/format/directory": "ext4/layout ext4/format/checksum units",
    "ext4/format/extent": "ext4/format/checksum units",
    "ext4/format/features": "",
    "ext4/format/group_descriptor": "ext4/format/checksum",
    "ext4/format/inode": "ext4/layout ext4/format/checksum ext4/format/extent ext4/format/timestamp "
    "ext4/format/xattr units",
    "ext4/format/superblock": "ext4/layout ext4/format/checksum ext4/format/features ext4/format/inode units "
    "error",
    "ext4/format/timestamp": "units",
    "ext4/format/xattr": "ext4/format/checksum faults units error",
    "ext4/hcsshim": "",
    "ext4/hcsshim/extents": "ext4/format/checksum ext4/format/extent units",
    "ext4/hcsshim/geometry": "ext4/layout/groups",
    "ext4/hcsshim/times": "ext4/format/timestamp units",
    "ext4/hcsshim/xattr_order": "ext4/format/xattr",
    "ext4/hcsshim/xattrs": "tree ext4/format/xattr faults error",
    "sink": "units error",
    "sink/file": "sink error",
    "sink/output": "sink units error",
    "container": "container/vhd sink error",
    "container/vhd": "",
    "units": "",
    "error": "faults",
}
# As long as _pure has the rooms that the Rust core had before.
CORE_PURE = {
    "convert": "pipeline tar entry ext4/writer ext4/place ext4/layout container/vhd sink sink/output options "
    "faults units error",
    "pipeline": "tar sink error",
    "options": "container faults error",
    "entry": "tar whiteout path ext4/writer ext4/place ext4/close ext4/inode ext4/xattr ext4/acl ext4/timestamp "
    "options sink faults units error",
    "whiteout": "path",
    "path": "",
    "tar": "tar/header tar/pax tar/sparse faults error",
    "tar/header": "tar tar/pax error",
    "tar/pax": "tar tar/header tar/sparse error",
    "tar/sparse": "tar tar/header tar/pax error",
    "ext4": "",
    "ext4/writer": "ext4/layout ext4/tree ext4/inode ext4/extent ext4/xattr ext4/timestamp "
    "sink sink/output faults units error",
    "ext4/place": "ext4/writer ext4/tree ext4/directory ext4/inode ext4/xattr ext4/timestamp path "
    "sink faults units error",
    "ext4/close": "ext4/writer ext4/place ext4/layout ext4/tree ext4/superblock ext4/group_descriptor ext4/bitmap "
    "ext4/inode ext4/extent ext4/directory ext4/xattr sink faults units error",
    "ext4/layout": "ext4/group_descriptor ext4/inode units",
    "ext4/tree": "ext4/directory ext4/inode ext4/xattr ext4/timestamp units error",
    "ext4/superblock": "ext4/inode units error",
    "ext4/group_descriptor": "units",
    "ext4/bitmap": "units",
    "ext4/inode": "ext4/extent ext4/xattr",
    "ext4/extent": "faults units",
    "ext4/directory": "units",
    "ext4/xattr": "ext4/xattr_order faults units error",
    "ext4/xattr_order": "ext4/xattr",
    "ext4/acl": "faults error",
    "ext4/timestamp": "",
    "sink": "units error",
    "sink/file": "sink error",
    "sink/output": "sink units error",
    "container": "container/vhd sink error",
    "container/vhd": "",
    "units": "",
    "faults": "",
    "error": "faults",
}
# What the two that offer a core to Python may name of it: rust/python and _pure/__init__.py.
OFFERED = (
    "convert options faults pipeline sink sink/file container container/vhd ext4/layout ext4/format/superblock "
    "error"
)


class Row(NamedTuple):
    """What a module imports when it is loaded, what only once a function needs it, and what for its types only."""

    at_start: str
    late: str = ""
    for_types: str = ""


# The modules whose names `import layerdisk` offers.
_OFFERED = (
    "cancel containerd content decompress descriptor diff errdefs findings image inspection io lcow "
    "media_types mount names options platforms registry sources tar2ext4 vhd"
)

FACE = {
    "__init__": Row(
        "",
        late=f"{_OFFERED} _core _rust",
        for_types=_OFFERED,
    ),
    "__main__": Row("cli"),
    "cli": Row(
        "", late="cli/_options cli/_show cli/convert cli/inspect cli/apply cli/serve cli/completion errdefs"
    ),
    "cli/convert": Row("cli/_options cli/_progress cli/_show errdefs", late="tar2ext4 decompress"),
    "cli/inspect": Row("cli/_names cli/_options cli/_show", late="inspection", for_types="inspection vhd"),
    "cli/apply": Row(
        "cli/_options cli/_progress cli/_show",
        late="lcow image content descriptor platforms mount diff errdefs",
        for_types="content descriptor lcow",
    ),
    "cli/completion": Row("cli/_options", late="cli"),
    "cli/_names": Row(""),
    "cli/_options": Row("", late="__init__"),
    "cli/_progress": Row("", for_types="descriptor image"),
    "cli/_show": Row("errdefs"),
    "lcow": Row(
        "cancel content decompress/stream descriptor media_types mount names diff diff/watch tar2ext4 _vmgroup io "
        "errdefs",
        for_types="options",
    ),
    "image": Row(
        "_jobs cancel lcow sources/choose sources/layout sources/manifest platforms descriptor mount diff io"
    ),
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
    "tar2ext4": Row("_core _record errdefs findings io options"),
    "findings": Row("_record"),
    "options": Row(""),
    "vhd": Row("errdefs"),
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
    "cli/serve": Row("cli/_options", late="containerd/config containerd/logs containerd/server"),
    "registry": Row("", for_types="registry/client registry/credentials registry/reference"),
    "registry/auth": Row("registry/credentials errdefs"),
    "registry/blob": Row("registry/client descriptor errdefs"),
    "registry/client": Row(
        "registry/auth registry/credentials registry/reference descriptor media_types errdefs"
    ),
    "registry/credentials": Row("errdefs"),
    "registry/push": Row("registry/client sources/layout descriptor errdefs"),
    "registry/reference": Row("descriptor errdefs"),
    "containerd": Row(""),
    "containerd/api": Row(""),
    "containerd/config": Row("containerd/snapshots/snapshotter descriptor diff errdefs"),
    "containerd/content": Row("containerd/api descriptor errdefs"),
    "containerd/diff_service": Row(
        "containerd/api containerd/content containerd/metrics containerd/service containerd/snapshots/database "
        "containerd/snapshots/snapshotter containerd/upper cancel descriptor diff errdefs lcow media_types mount"
    ),
    "containerd/logs": Row(""),
    "containerd/metrics": Row("errdefs"),
    "containerd/server": Row(
        "containerd/api containerd/config containerd/content containerd/diff_service containerd/metrics "
        "containerd/snapshot_service containerd/snapshots/snapshotter containerd/upper content errdefs",
        late="lcow tar2ext4",
    ),
    "containerd/service": Row("containerd/content containerd/metrics errdefs"),
    "containerd/snapshot_service": Row(
        "containerd/api containerd/metrics containerd/service containerd/snapshots/database "
        "containerd/snapshots/filters containerd/snapshots/snapshotter errdefs mount"
    ),
    "containerd/snapshots": Row(
        "containerd/snapshots/database containerd/snapshots/filters containerd/snapshots/snapshotter"
    ),
    "containerd/snapshots/database": Row("errdefs"),
    "containerd/snapshots/disks": Row("containerd/snapshots/database descriptor io"),
    "containerd/snapshots/filters": Row("containerd/snapshots/database errdefs"),
    "containerd/snapshots/mounts": Row("errdefs"),
    "containerd/snapshots/snapshotter": Row(
        "containerd/snapshots/database containerd/snapshots/disks containerd/snapshots/mounts errdefs io lcow mount"
    ),
    "containerd/upper": Row("errdefs media_types"),
}

# Who asks for the time or for random numbers; nobody else may.
CLOCKS_AND_CHANCE = {
    "_jobs": "time",  # how long to wait for jobs that were canceled
    "cli/_progress": "time",  # when the bars were last drawn
    "cli/inspect": "datetime",  # the times in an image, for people
    "lcow": "time",  # how long it took, for the log
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
    "rust: tree": "HashMap",
    "rust: tree/arena": "RandomState",  # the hash table's seed
    "rust: tree/names": "HashMap RandomState",  # the same
}
# What need not be installed with Python.
REQUIREMENTS = {
    "cli/_progress": "rich",
    "cli/completion": "shtab",
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
    found = set()
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
    assert forbidden(found_in_pure(), CORE_PURE) == []


@needs_rust
def test_every_arrow_of_the_core_is_in_use() -> None:
    assert idle(found_in_rust(), CORE) == []


@needs_rust
def test_the_binding_names_what_a_core_offers() -> None:
    found = crate_arrows(rust_modules(BINDING), "layerdisk_core", rust_modules(RUST))
    assert forbidden({"binding": found}, {"binding": OFFERED}) == []
    assert idle({"binding": found}, {"binding": OFFERED}) == []


def test_the_pure_core_names_what_a_core_offers() -> None:
    found = {name.removeprefix("_pure/") for name in python_imports(PACKAGE)["_pure"].all}
    assert forbidden({"_pure": found}, {"_pure": OFFERED + " ext4/superblock"}) == []


@pytest.mark.parametrize("kind", Row._fields)
def test_python_modules_follow_the_arrows(kind: str) -> None:
    found = {name: getattr(imports, kind) for name, imports in found_in_face().items()}
    allowed = {name: getattr(row, kind) for name, row in FACE.items()}
    assert forbidden(found, allowed) == []
    assert idle(found, allowed) == []


@pytest.mark.parametrize(
    ("one", "other"), [("tar", "ext4"), ("tar", "tree"), ("ext4", "tar"), ("tree", "ext4"), ("tree", "tar")]
)
def test_tar_tree_and_ext4_do_not_know_each_other(one: str, other: str) -> None:
    for module in CORE:
        if module.split("/")[0] == one:
            assert not {name for name in reached(module, CORE) if name.split("/")[0] == other}, module


def test_structures_do_not_import_each_other() -> None:
    """Except for what the inode holds, and the size of an inode in the superblock."""
    structures = {f"ext4/format/{name}" for name in STRUCTURES.split()}
    among = {name: structures & set(CORE[name].split()) for name in structures}
    assert {name: names for name, names in among.items() if names} == {
        "ext4/format/inode": {"ext4/format/extent", "ext4/format/timestamp", "ext4/format/xattr"},
        "ext4/format/superblock": {"ext4/format/inode"},
    }


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
    assert set(dependencies) == {"hashbrown", "sha2", "uuid", "zerocopy"}
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


# The checker itself, on made-up modules.

MADE_UP = {
    "units": "pub const A: u8 = 1;",
    "error": "",
    "tar": "mod header;\npub mod pax;\n",
    "tar/pax": "",
    "ext4": "",
    "ext4/writer": "",
}
RUST_CASES = {
    "use": ("use crate::ext4::writer::Writer;", {"ext4/writer"}),
    "use of the module": ("use crate::ext4::writer;", {"ext4/writer"}),
    "renamed": ("pub(crate) use crate::ext4::writer as other;", {"ext4/writer"}),
    "several": (
        "use crate::{error::{Error, Result}, ext4::{self, writer::{A, B as C}}};",
        {"error", "ext4", "ext4/writer"},
    ),
    "over lines": ("use crate::{\n    error::Error, // why\n    units,\n};", {"error", "units"}),
    "in code": ("fn f() -> u8 { crate::units::A }", {"units"}),
    "in a type": ("struct S(Vec<crate::ext4::writer::Writer<'static>>);", {"ext4/writer"}),
    "sibling": ("use super::pax::Records;", {"tar/pax"}),
    "parent": ("use super::{BLOCK_LEN, pax};", {"tar", "tar/pax"}),
    "parent in code": ("fn f() { super::super::units::A }", {"units"}),
    "root": ("use crate::*;", {"lib"}),
    "behind a lifetime": ("fn f<'a>(x: &'a u8) { crate::units::A } fn g<'a>() {}", {"units"}),
    "behind a character": (r"""const Q: char = '"'; use crate::units; const R: char = '\'';""", {"units"}),
    "comment": ("// crate::units::A\n/* use crate::error;\n*/ //! [`crate::ext4`]", set()),
    "string": (
        r"""const A: &str = "crate::units \" crate::error"; const B: &str = r#"crate::ext4::x"#;""",
        set(),
    ),
    "tests": (
        "#[cfg(test)]\nmod tests {\n use crate::units::A;\n fn f() { if true { crate::error::x() } }\n}\n",
        set(),
    ),
    "use for tests": ("#[cfg(test)]\nuse crate::units::A;\nuse crate::error;", {"error"}),
    "behind tests": ("#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::error;", {"error"}),
    "another crate": ("use zerocopy::units::A; use std::error::Error;", set()),
}


@pytest.mark.parametrize(("text", "arrows"), RUST_CASES.values(), ids=RUST_CASES)
def test_an_arrow_of_a_rust_module_is_seen(tmp_path: Path, text: str, arrows: set[str]) -> None:
    for name, code in (MADE_UP | {"tar/header": text}).items():
        path = tmp_path / (f"{name}/mod.rs" if name in ("tar", "ext4") else f"{name}.rs")
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    assert rust_arrows(rust_modules(tmp_path))["tar/header"] == arrows


def test_an_arrow_to_a_child_is_seen() -> None:
    code = "mod header;\nuse header::Header;\nfn f() { pax::records() }"
    modules = MADE_UP | {"tar": code, "tar/header": "", "pax": ""}
    assert rust_arrows(modules)["tar"] == {"tar/header"}


PYTHON_CASES = {
    "from a sibling": ("from .writer import Writer", Imports({"ext4/writer"})),
    "the sibling": ("from . import writer", Imports({"ext4/writer"})),
    "of the package": ("from . import NAME", Imports({"ext4"})),
    "from above": ("from ..tar import header, Entry", Imports({"tar", "tar/header"})),
    "by the whole name": ("from pkg.tar.header import x\nimport pkg.units", Imports({"tar/header", "units"})),
    "in a class": ("class A:\n    from .. import units", Imports({"units"})),
    "in a function": ("def f():\n    from .. import units", Imports(late={"units"})),
    "in a coroutine": ("async def f():\n    import pkg.units", Imports(late={"units"})),
    "by a string": ("NAMES = {'x': 'pkg.ext4.writer'}", Imports(late={"ext4/writer"})),
    "for types": (
        "if TYPE_CHECKING:\n    from .. import units\nelse:\n    from . import writer",
        Imports({"ext4/writer"}, for_types={"units"}),
    ),
    "for types, by the module": (
        "if typing.TYPE_CHECKING:\n    import pkg.units",
        Imports(for_types={"units"}),
    ),
    "others": ("import os.path\nfrom zlib import crc32", Imports(others={"os", "zlib"})),
    "clock": ("import time", Imports(others={"time"}, clock_or_chance={"time"})),
    "late clock": (
        "def f():\n    from datetime import datetime",
        Imports(others={"datetime"}, clock_or_chance={"datetime"}),
    ),
    "random bytes": ("import os\nos.urandom(8)", Imports(others={"os"}, clock_or_chance={"os.urandom"})),
    "random id": (
        "from uuid import uuid4, uuid5",
        Imports(others={"uuid"}, clock_or_chance={"uuid.uuid4"}),
    ),
    "prose": ('"""See pkg.units and import time."""', Imports()),
}


@pytest.mark.parametrize(("text", "imports"), PYTHON_CASES.values(), ids=PYTHON_CASES)
def test_an_import_of_a_python_module_is_seen(tmp_path: Path, text: str, imports: Imports) -> None:
    package = tmp_path / "pkg"
    for name in ["__init__", "units", "tar/__init__", "tar/header", "ext4/__init__", "ext4/writer"]:
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (package / "ext4" / "new.py").write_text(text)
    assert python_imports(package)["ext4/new"] == imports


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("let t = std::time::Instant::now();", {"Instant"}),
        ("use std::collections::{BTreeMap, HashSet};", {"HashSet"}),
        ("Uuid::new_v4(); Uuid::new_v5(a, b);", {"new_v4"}),
        ("use std::time::Duration; let operand = brand;", set()),
    ],
)
def test_a_clock_or_randomness_of_rust_is_seen(code: str, names: set[str]) -> None:
    assert rust_clock_or_chance(code) == names


def test_what_is_not_in_the_table_is_said() -> None:
    found = {"tar": {"error", "ext4/writer"}, "verity": set(), "path": {"units"}}
    table = {"tar": "error units", "path": "", "old": "error"}
    assert forbidden(found, table) == ["path names units", "tar names ext4/writer", "verity has no row"]
    assert idle(found, table) == ["old does not exist", "tar does not name units"]
