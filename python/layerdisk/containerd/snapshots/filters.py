"""containerd's filters: `name==x`, `labels."a.b"==c`, `kind!=view`, `parent~=re`, several joined by `,`.

A snapshot fits a list of filters if it fits one of them, and one of them if it fits all of its selectors.

Source: containerd pkg/filters (parser.go, filter.go).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ...errdefs import InvalidArgument
from .database import Snapshot

Predicate = Callable[[Snapshot], bool]
MAX_FILTER_BYTES = 64 * 1024


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


_TOKENS = re.compile(
    r"""(?P<operator>==|!=|~=)
      | (?P<dot>\.)
      | (?P<comma>,)
      | (?P<quoted>"(?:[^"\\\n]|\\.)*")
      | (?P<word>[^\s"'`|/,.=!~<>]+)
      | (?P<delimited>\|[^|\n]*\| | /[^/\n]*/)
    """,
    re.VERBOSE,
)


def compile_filters(filters: Sequence[str]) -> Predicate:
    """Return what tells whether a snapshot fits one of the filters; all do where there are none.

    Raises:
        InvalidArgument: a filter is not well formed.
    """
    predicates = [_filter(text) for text in filters]
    if not predicates:
        return lambda snapshot: True
    return lambda snapshot: any(predicate(snapshot) for predicate in predicates)


def _filter(text: str) -> Predicate:
    if len(text) > MAX_FILTER_BYTES:
        raise InvalidArgument(f"a filter has {len(text)} characters, at most {MAX_FILTER_BYTES} are allowed")
    tokens = list(_tokens(text))
    selectors: list[Predicate] = []
    at = 0
    while at < len(tokens):
        path, at = _path(text, tokens, at)
        if at < len(tokens) and tokens[at].kind == "operator":
            operator = tokens[at].text
            value, at = _value(text, tokens, at + 1)
            selectors.append(_selector(path, operator, value))
        else:
            selectors.append(_present(path))
        if at < len(tokens):
            if tokens[at].kind != "comma":
                raise _malformed(text, tokens[at].position, "expected ',' between selectors")
            at += 1
            if at == len(tokens):
                raise _malformed(text, len(text), "a selector is missing after ','")
    return lambda snapshot: all(selector(snapshot) for selector in selectors)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = _TOKENS.match(text, at)
        if found is None:
            raise _malformed(text, at, f"unexpected character {text[at]!r}")
        yield _Token(found.lastgroup or "", found[0], at)
        at = found.end()


def _path(text: str, tokens: Sequence[_Token], at: int) -> tuple[tuple[str, ...], int]:
    parts = []
    while True:
        if at == len(tokens) or tokens[at].kind not in ("word", "quoted"):
            raise _malformed(text, tokens[at].position if at < len(tokens) else len(text), "expected a field")
        parts.append(_unquoted(tokens[at]))
        at += 1
        if at == len(tokens) or tokens[at].kind != "dot":
            return tuple(parts), at
        at += 1


def _value(text: str, tokens: Sequence[_Token], at: int) -> tuple[str, int]:
    """A value: one quoted or delimited text, or words and dots up to the next comma."""
    if at < len(tokens) and tokens[at].kind in ("quoted", "delimited"):
        return _unquoted(tokens[at]), at + 1
    parts: list[str] = []
    end = None
    while at < len(tokens) and tokens[at].kind in ("word", "dot", "delimited"):
        token = tokens[at]
        if end is not None and token.position != end:
            break
        parts.append(token.text)
        end = token.position + len(token.text)
        at += 1
    if not parts:
        raise _malformed(text, tokens[at].position if at < len(tokens) else len(text), "expected a value")
    return "".join(parts), at


def _unquoted(token: _Token) -> str:
    if token.kind == "quoted":
        return re.sub(r"\\(.)", r"\1", token.text[1:-1])
    return token.text[1:-1] if token.kind == "delimited" else token.text


def _selector(path: tuple[str, ...], operator: str, value: str) -> Predicate:
    if operator == "==":
        return lambda snapshot: (_field(snapshot, path) or "") == value
    if operator == "!=":
        return lambda snapshot: (_field(snapshot, path) or "") != value
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise InvalidArgument(f"filter: {value!r} is not a regular expression: {error}") from None
    return lambda snapshot: pattern.search(_field(snapshot, path) or "") is not None


def _present(path: tuple[str, ...]) -> Predicate:
    return lambda snapshot: _field(snapshot, path) is not None


def _field(snapshot: Snapshot, path: tuple[str, ...]) -> str | None:
    """Source: containerd core/snapshots/storage (metastore filter adaptor)."""
    match path:
        case ("kind",):
            return snapshot.kind.name.lower()
        case ("name",):
            return snapshot.key
        case ("parent",):
            return snapshot.parent
        case ("labels", *rest):
            return snapshot.labels.get(".".join(rest))
    return None


def _malformed(text: str, position: int, why: str) -> InvalidArgument:
    return InvalidArgument(f"filter {text[:200]!r}, character {position}: {why}")
