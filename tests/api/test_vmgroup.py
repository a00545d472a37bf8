"""The access of virtual machines: the order of work and every argument, without Windows."""

from __future__ import annotations

import ctypes
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from layerdisk import errdefs
from layerdisk._vmgroup import ExplicitAccess, grant_vm_group_access, read_access

HANDLE, DACL, DESCRIPTOR, SID, NEW_DACL = 0x11, 0x22, 0x33, 0x44, 0x55


class FakeWin32:
    """Records the calls; one of them may fail."""

    def __init__(self, failing: str = "") -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.entry = b""
        self._failing = failing

    def _call(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments))
        if name == self._failing:
            raise PermissionError(13, "Access is denied")

    def create_file(self, path: str, access: int, share: int, disposition: int, flags: int) -> int:
        self._call("create_file", path, access, share, disposition, flags)
        return HANDLE

    def get_dacl(self, handle: int) -> tuple[int, int]:
        self._call("get_dacl", handle)
        return DACL, DESCRIPTOR

    def string_to_sid(self, sid: str) -> int:
        self._call("string_to_sid", sid)
        return SID

    def set_entries_in_acl(self, entry: ExplicitAccess, dacl: int) -> int:
        self.entry = bytes(entry)
        self._call("set_entries_in_acl", dacl)
        return NEW_DACL

    def set_dacl(self, handle: int, dacl: int) -> None:
        self._call("set_dacl", handle, dacl)

    def local_free(self, pointer: int) -> None:
        self._call("local_free", pointer)

    def close_handle(self, handle: int) -> None:
        self._call("close_handle", handle)


@pytest.mark.parametrize(("kind", "flags"), [("file", 0x80), ("directory", 0x02000080)])
def test_the_calls_in_their_order(tmp_path: Path, kind: str, flags: int) -> None:
    path = tmp_path / "layer.vhd" if kind == "file" else tmp_path
    if kind == "file":
        path.touch()
    win32 = FakeWin32()
    grant_vm_group_access(path, win32=win32)
    assert win32.calls == [
        ("create_file", str(path), 0x60000, 3, 3, flags),
        ("get_dacl", HANDLE),
        ("string_to_sid", "S-1-5-83-0"),
        ("set_entries_in_acl", DACL),
        ("local_free", SID),
        ("set_dacl", HANDLE, NEW_DACL),
        ("local_free", NEW_DACL),
        ("local_free", DESCRIPTOR),
        ("close_handle", HANDLE),
    ]


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="the layout of 64-bit Windows")
@pytest.mark.parametrize(("is_directory", "inheritance"), [(False, 0), (True, 3)], ids=["file", "directory"])
def test_the_entry_has_the_layout_of_windows(is_directory: bool, inheritance: int) -> None:
    entry = bytes(read_access(0x1122334455667788, is_directory))
    assert entry == struct.pack(
        "<IIIxxxxQIIIxxxxQ", 0x80000000, 1, inheritance, 0, 0, 0, 5, 0x1122334455667788
    )


FAILURES = [
    ("create_file", "windows.CreateFile {}", set()),
    ("get_dacl", "GetSecurityInfo {}", {"close"}),
    ("string_to_sid", "windows.StringToSid {} S-1-5-83-0", {DESCRIPTOR, "close"}),
    ("set_entries_in_acl", "SetEntriesInAcl {}", {SID, DESCRIPTOR, "close"}),
    ("set_dacl", "SetSecurityInfo {}", {SID, NEW_DACL, DESCRIPTOR, "close"}),
]


@pytest.mark.parametrize(("failing", "message", "released"), FAILURES, ids=[row[0] for row in FAILURES])
def test_an_error_names_the_call_and_lets_go_of_everything(
    tmp_path: Path, failing: str, message: str, released: set[object]
) -> None:
    win32 = FakeWin32(failing)
    with pytest.raises(errdefs.PermissionDenied) as caught:
        grant_vm_group_access(tmp_path, win32=win32)
    reason = "[Errno 13] Access is denied"
    assert str(caught.value) == f"GrantVmGroupAccess: {message.format(tmp_path)}: {reason}"
    freed = {call[1] for call in win32.calls if call[0] == "local_free"}
    closed = {"close" for call in win32.calls if call == ("close_handle", HANDLE)}
    assert freed | closed == released


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    win32 = FakeWin32()
    with pytest.raises(errdefs.NotFound, match=r"^GrantVmGroupAccess: os\.Stat "):
        grant_vm_group_access(tmp_path / "no", win32=win32)
    assert win32.calls == []


def test_a_nul_in_the_path_is_an_invalid_argument() -> None:
    with pytest.raises(errdefs.InvalidArgument, match="null"):
        grant_vm_group_access("a\0b", win32=FakeWin32())


@pytest.mark.skipif(sys.platform == "win32", reason="there is something to do there")
def test_elsewhere_there_is_nothing_to_do() -> None:
    grant_vm_group_access("/no/such/file")


@pytest.mark.skipif(sys.platform != "win32", reason="needs Windows")
def test_windows_lists_the_group(tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "layer.vhd"
    path.touch()
    grant_vm_group_access(path)
    grant_vm_group_access(path)
    listed = subprocess.run(["icacls", path], capture_output=True, text=True, check=True).stdout
    assert listed.count("Virtual Machines") + listed.count("S-1-5-83-0") == 1
