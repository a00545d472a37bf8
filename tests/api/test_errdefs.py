"""The exception tree, its texts and its way through gRPC."""

from __future__ import annotations

import errno
import inspect
import pickle
import unicodedata

import pytest
from layerdisk import errdefs
from layerdisk.errdefs import Code, ConversionError, InvalidTar, TruncatedTar, from_grpc, quote, to_grpc
from layerdisk.names import printable, quote_text

CLASSES = [
    value
    for value in vars(errdefs).values()
    if inspect.isclass(value) and issubclass(value, errdefs.LayerdiskError)
]
BUILTINS = [
    (errdefs.InvalidArgument, ValueError),
    (errdefs.NotFound, LookupError),
    (errdefs.OutOfRange, ValueError),
    (errdefs.NotImplemented, NotImplementedError),
    (errdefs.Internal, RuntimeError),
    (errdefs.DeadlineExceeded, TimeoutError),
    (errdefs.TruncatedTar, EOFError),
    (errdefs.TruncatedTar, errdefs.DataLoss),
    (errdefs.TruncatedStream, EOFError),
    (errdefs.InvalidTar, ValueError),
    (errdefs.DiskSizeExceeded, errdefs.ResourceExhausted),
    (errdefs.NotReproducible, errdefs.FailedPrecondition),
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_class_is_drawn_in_the_docstring(cls: type) -> None:
    assert errdefs.__doc__ is not None
    assert cls.__name__ in errdefs.__doc__


@pytest.mark.parametrize(("cls", "base"), BUILTINS, ids=lambda cls: cls.__name__)
def test_classes_also_inherit_what_people_expect(cls: type, base: type) -> None:
    assert issubclass(cls, base)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConversionError("bad", "usr/x", 1536), 'tar entry "usr/x" at byte 1536: bad'),
        (ConversionError("bad", b'a\xff\n"\\', 0), r'tar entry "a\xff\x0a\"\\" at byte 0: bad'),
        (ConversionError("bad", None, 512), "tar header at byte 512: bad"),
        (ConversionError("bad", "x"), 'tar entry "x": bad'),
        (ConversionError("bad"), "bad"),
    ],
    ids=["entry", "raw", "header", "no offset", "bare"],
)
def test_conversion_errors_name_entry_and_offset(error: ConversionError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_errors_survive_pickling(cls: type[errdefs.LayerdiskError]) -> None:
    if issubclass(cls, ConversionError):
        error: errdefs.LayerdiskError = cls("bad", "caf\udce9", 512, "B17")
    else:
        error = cls("bad")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (cls, str(error), vars(error))


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK], ids=lambda code: code.name)
def test_codes_go_through_grpc_and_back(code: Code) -> None:
    error = from_grpc(code, "why")
    assert to_grpc(error) == (code, "why")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidTar("x"), Code.INVALID_ARGUMENT),
        (TruncatedTar("x"), Code.DATA_LOSS),
        (errdefs.DiskSizeExceeded("x"), Code.RESOURCE_EXHAUSTED),
        (errdefs.NotReproducible("x"), Code.FAILED_PRECONDITION),
        (errdefs.NoProcessor("x"), Code.UNKNOWN),
        (TimeoutError("x"), Code.DEADLINE_EXCEEDED),
        (KeyError("x"), Code.UNKNOWN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_error_has_a_code(error: Exception, code: Code) -> None:
    assert to_grpc(error)[0] == code


def test_the_class_text_at_the_end_of_a_message_is_taken_off() -> None:
    error = from_grpc(5, "blob x: not found")
    assert (type(error), str(error)) == (errdefs.NotFound, "blob x")


def test_an_unknown_code_is_unknown() -> None:
    assert type(from_grpc(99, "x")) is errdefs.Unknown


@pytest.mark.parametrize(
    ("number", "cls"),
    [
        (errno.ENOENT, errdefs.NotFound),
        (errno.ENOSPC, errdefs.ResourceExhausted),
        (errno.EACCES, errdefs.PermissionDenied),
        (errno.EXDEV, errdefs.Unknown),
    ],
    ids=lambda value: errno.errorcode.get(value, "") if isinstance(value, int) else "",
)
def test_system_errors_get_a_class(number: int, cls: type) -> None:
    error = errdefs.from_os_error(OSError(number, "text", "file"), "cannot do it")
    assert type(error) is cls
    assert str(error) == f"cannot do it: [Errno {number}] text: 'file'"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"usr/bin", '"usr/bin"'),
        (b'a"\\', r'"a\"\\"'),
        (b"\x00\t\x7f", r'"\x00\x09\x7f"'),
        ("grün".encode(), '"grün"'),
        (b"gr\xfcn", r'"gr\xfcn"'),
        ("\u0085\u009f".encode(), r'"\xc2\x85\xc2\x9f"'),
        ("\u00a0".encode(), '"\u00a0"'),
        (b"\xed\xa0\x80", r'"\xed\xa0\x80"'),
        ("a\u202eb\u2066".encode(), r'"a\xe2\x80\xaeb\xe2\x81\xa6"'),
        ("\u2028\u2029".encode(), r'"\xe2\x80\xa8\xe2\x80\xa9"'),
        ("\u200b\ufeff\U000e0041".encode(), r'"\xe2\x80\x8b\xef\xbb\xbf\xf3\xa0\x81\x81"'),
        (b"x" * 255, '"' + "x" * 255 + '"'),
        (b"x" * 256, '"' + "x" * 200 + '" (256 bytes)'),
        (b"x" * 199 + "ü".encode() + b"y" * 60, '"' + "x" * 199 + r'\xc3" (261 bytes)'),
    ],
    ids=[
        "plain",
        "escaped",
        "control",
        "utf-8",
        "latin-1",
        "c1",
        "nbsp",
        "surrogate",
        "bidi",
        "lines",
        "invisible",
        "255",
        "256",
        "cut",
    ],
)
def test_quote(name: bytes, text: str) -> None:
    assert quote(name) == text


def test_quote_lets_nothing_through_that_a_terminal_or_a_reader_of_lines_acts_on() -> None:
    reordering = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    for char in map(chr, range(0x110000)):
        if quote_text(char) == f'"{char}"':
            assert unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp"), ascii(char)
            assert unicodedata.bidirectional(char) not in reordering, ascii(char)
            assert len(f"a{char}b".splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("text/plain", '"text/plain"'),
        ("\x1b]0;x\x07", r'"\x1b]0;x\x07"'),
        ("\ud800", r'"\xed\xa0\x80"'),
        ("x" * 300, '"' + "x" * 200 + '" (300 bytes)'),
    ],
    ids=["plain", "escape", "surrogate", "long"],
)
def test_text_of_documents_is_quoted_like_names(text: str, shown: str) -> None:
    assert quote_text(text) == shown


def test_what_a_program_says_stays_readable() -> None:
    assert printable('key "a\\b"\x1b[31m\u202e') == 'key "a\\b"\\x1b[31m\\xe2\\x80\\xae'


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        (TimeoutError("timed out"), errdefs.DeadlineExceeded),
        (ConnectionResetError("gone"), errdefs.Unavailable),
        (ConnectionResetError(errno.ECONNRESET, "gone"), errdefs.Unavailable),
        (FileNotFoundError("gone"), errdefs.NotFound),
        (PermissionError("no"), errdefs.PermissionDenied),
        (OSError("what"), errdefs.Unknown),
        (MemoryError(), errdefs.ResourceExhausted),
        (KeyError("x"), errdefs.Unknown),
        (errdefs.DataLoss("x"), errdefs.DataLoss),
    ],
    ids=lambda value: repr(value) if isinstance(value, Exception) else "",
)
def test_errors_without_a_number_get_a_class(error: Exception, cls: type) -> None:
    assert type(errdefs.from_exception(error, "reading")) is cls
