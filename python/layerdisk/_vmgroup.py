"""Lets virtual machines read a disk: one entry in the file's access control list.

The Windows calls go through `Win32`, so that the order of work can be tested without Windows.

Source: go-winio, pkg/security/grantvmgroupaccess.go.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from typing import Any, Protocol

from .errdefs import InvalidArgument, LayerdiskError, from_os_error

VM_GROUP_SID = "S-1-5-83-0"  # NT VIRTUAL MACHINE\Virtual Machines

# winnt.h
READ_CONTROL = 0x00020000
WRITE_DAC = 0x00040000
GENERIC_READ = 0x80000000
FILE_SHARE_READ = 0x1
FILE_SHARE_WRITE = 0x2
FILE_ATTRIBUTE_NORMAL = 0x80
DACL_SECURITY_INFORMATION = 0x4
SUB_CONTAINERS_AND_OBJECTS_INHERIT = 0x3
NO_INHERITANCE = 0x0
# fileapi.h, winbase.h
OPEN_EXISTING = 3
FILE_FLAG_BACKUP_SEMANTICS = 0x02000000  # without it a directory cannot be opened
# accctrl.h
SE_FILE_OBJECT = 1
GRANT_ACCESS = 1
NO_MULTIPLE_TRUSTEE = 0
TRUSTEE_IS_SID = 0
TRUSTEE_IS_WELL_KNOWN_GROUP = 5


class Trustee(ctypes.Structure):
    """TRUSTEE_W: whom an entry is about. Source: accctrl.h."""

    _fields_ = (
        ("pMultipleTrustee", ctypes.c_void_p),
        ("MultipleTrusteeOperation", ctypes.c_uint32),
        ("TrusteeForm", ctypes.c_uint32),
        ("TrusteeType", ctypes.c_uint32),
        ("ptstrName", ctypes.c_void_p),
    )


class ExplicitAccess(ctypes.Structure):
    """EXPLICIT_ACCESS_W: an entry to be merged into a list. Source: accctrl.h."""

    _fields_ = (
        ("grfAccessPermissions", ctypes.c_uint32),
        ("grfAccessMode", ctypes.c_uint32),
        ("grfInheritance", ctypes.c_uint32),
        ("Trustee", Trustee),
    )


class Win32(Protocol):
    """The system calls; each raises OSError as it fails. Handles and pointers are plain integers."""

    def create_file(self, path: str, access: int, share: int, disposition: int, flags: int) -> int:
        """CreateFileW."""

    def get_dacl(self, handle: int) -> tuple[int, int]:
        """GetSecurityInfo for the DACL of a file: the list, and the descriptor to be freed."""

    def string_to_sid(self, sid: str) -> int:
        """ConvertStringSidToSidW; to be freed."""

    def set_entries_in_acl(self, entry: ExplicitAccess, dacl: int) -> int:
        """SetEntriesInAclW with one entry: a new list, to be freed."""

    def set_dacl(self, handle: int, dacl: int) -> None:
        """SetSecurityInfo for the DACL of a file."""

    def local_free(self, pointer: int) -> None:
        """LocalFree."""

    def close_handle(self, handle: int) -> None:
        """CloseHandle."""


def grant_vm_group_access(path: str | os.PathLike[str], *, win32: Win32 | None = None) -> None:
    """Let the group of all virtual machines read a file or directory. Does nothing except on Windows.

    Existing entries are kept, and repeating does no harm. Owner, group and audit list stay.

    Args:
        path: of the file or directory.
        win32: the system calls; by default those of Windows, on Windows.

    Raises:
        LayerdiskError: of the class that fits the system's error; the text names the call that failed.
    """
    if win32 is None:
        if sys.platform != "win32":
            return
        win32 = _system_calls()
    name = os.fspath(path)
    with _Step("os.Stat", name):
        is_directory = stat.S_ISDIR(os.stat(name).st_mode)
    with _Step("windows.CreateFile", name):
        handle = win32.create_file(
            name,
            READ_CONTROL | WRITE_DAC,
            FILE_SHARE_READ | FILE_SHARE_WRITE,
            OPEN_EXISTING,
            FILE_ATTRIBUTE_NORMAL | (FILE_FLAG_BACKUP_SEMANTICS if is_directory else 0),
        )
    try:
        _add_entry(win32, handle, name, is_directory)
    finally:
        win32.close_handle(handle)


def _add_entry(win32: Win32, handle: int, name: str, is_directory: bool) -> None:
    with _Step("GetSecurityInfo", name):
        dacl, security_descriptor = win32.get_dacl(handle)
    try:
        with _Step("windows.StringToSid", f"{name} {VM_GROUP_SID}"):
            sid = win32.string_to_sid(VM_GROUP_SID)
        try:
            with _Step("SetEntriesInAcl", name):
                new_dacl = win32.set_entries_in_acl(read_access(sid, is_directory), dacl)
        finally:
            win32.local_free(sid)
        try:
            with _Step("SetSecurityInfo", name):
                win32.set_dacl(handle, new_dacl)
        finally:
            win32.local_free(new_dacl)
    finally:
        win32.local_free(security_descriptor)


def read_access(sid: int, is_directory: bool) -> ExplicitAccess:
    """Return the entry that grants reading, to everything in it too if it is a directory."""
    trustee = Trustee(None, NO_MULTIPLE_TRUSTEE, TRUSTEE_IS_SID, TRUSTEE_IS_WELL_KNOWN_GROUP, sid)
    inheritance = SUB_CONTAINERS_AND_OBJECTS_INHERIT if is_directory else NO_INHERITANCE
    return ExplicitAccess(GENERIC_READ, GRANT_ACCESS, inheritance, trustee)


class _Step:
    """Names the call in the error that comes of it, as go-winio does."""

    def __init__(self, call: str, what: str) -> None:
        self._message = f"GrantVmGroupAccess: {call} {what}"

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, LayerdiskError):
            raise from_os_error(error, self._message) from error
        if isinstance(error, ValueError) and not isinstance(error, LayerdiskError):  # a NUL in the path
            raise InvalidArgument(f"{self._message}: {error}") from error


def _system_calls() -> Win32:
    if sys.platform != "win32":
        raise OSError("the calls of Windows exist only there")
    return _Ctypes(
        ctypes.WinDLL("kernel32", use_last_error=True), ctypes.WinDLL("advapi32", use_last_error=True)
    )


class _Ctypes:
    """The calls through ctypes."""

    def __init__(self, kernel32: Any, advapi32: Any) -> None:
        pointer, word = ctypes.c_void_p, ctypes.c_uint32
        self._create_file = _declare(
            kernel32.CreateFileW, pointer, ctypes.c_wchar_p, word, word, pointer, word, word, pointer
        )
        self._local_free = _declare(kernel32.LocalFree, pointer, pointer)
        self._close_handle = _declare(kernel32.CloseHandle, ctypes.c_int, pointer)
        self._get_security_info = _declare(
            advapi32.GetSecurityInfo, word, pointer, word, word, pointer, pointer, pointer, pointer, pointer
        )
        self._string_to_sid = _declare(
            advapi32.ConvertStringSidToSidW, ctypes.c_int, ctypes.c_wchar_p, pointer
        )
        self._set_entries = _declare(
            advapi32.SetEntriesInAclW, word, word, ctypes.POINTER(ExplicitAccess), pointer, pointer
        )
        self._set_security_info = _declare(
            advapi32.SetSecurityInfo, word, pointer, word, word, pointer, pointer, pointer, pointer
        )

    def create_file(self, path: str, access: int, share: int, disposition: int, flags: int) -> int:
        if "\0" in path:
            raise ValueError("embedded null character")
        handle = self._create_file(path, access, share, None, disposition, flags, None)
        if handle is None or handle == ctypes.c_void_p(-1).value:
            raise _last_error()
        return int(handle)

    def get_dacl(self, handle: int) -> tuple[int, int]:
        dacl, descriptor = ctypes.c_void_p(), ctypes.c_void_p()
        _check(
            self._get_security_info(
                handle,
                SE_FILE_OBJECT,
                DACL_SECURITY_INFORMATION,
                None,
                None,
                ctypes.byref(dacl),
                None,
                ctypes.byref(descriptor),
            )
        )
        return dacl.value or 0, descriptor.value or 0

    def string_to_sid(self, sid: str) -> int:
        pointer = ctypes.c_void_p()
        if not self._string_to_sid(sid, ctypes.byref(pointer)):
            raise _last_error()
        return pointer.value or 0

    def set_entries_in_acl(self, entry: ExplicitAccess, dacl: int) -> int:
        pointer = ctypes.c_void_p()
        _check(self._set_entries(1, ctypes.byref(entry), dacl or None, ctypes.byref(pointer)))
        return pointer.value or 0

    def set_dacl(self, handle: int, dacl: int) -> None:
        _check(
            self._set_security_info(
                handle, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, None, None, dacl or None, None
            )
        )

    def local_free(self, pointer: int) -> None:
        self._local_free(pointer or None)

    def close_handle(self, handle: int) -> None:
        self._close_handle(handle)


def _declare(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype, function.argtypes = result, arguments
    return function


def _check(code: int) -> None:
    """Raise for a status that a function returns and does not leave in GetLastError."""
    if code != 0 and sys.platform == "win32":
        raise ctypes.WinError(code)


def _last_error() -> OSError:
    if sys.platform == "win32":
        return ctypes.WinError(ctypes.get_last_error())
    return OSError("there is a last error only on Windows")
