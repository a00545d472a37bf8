"""What the gRPC services have in common: namespaces, errors as statuses, one log line and one count for each call."""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import grpc

from ..errdefs import Code, FailedPrecondition, LayerdiskError, to_grpc
from .content import NAMESPACE_HEADER
from .metrics import Metrics

_log = logging.getLogger(__name__)
_STATUS = {status.value[0]: status for status in grpc.StatusCode}
_DETAILS_BYTES = 4096
# Absolute paths with at least one directory, where no name in double quotes holds them.
_PATH = re.compile(r"(?<![\w/.])/(?:[^/\s:\"']+/)*[^/\s:\"']+")
_SECRET = re.compile(r"-----BEGIN .*", re.DOTALL)
_QUOTED = re.compile(r'("(?:[^"\\]|\\.)*")')

Method = TypeVar("Method", bound=Callable[..., Any])


def stated_namespace(context: grpc.ServicerContext) -> str:
    """Return the namespace that a call names, "" where it names none."""
    for key, value in context.invocation_metadata():
        if key == NAMESPACE_HEADER:
            return str(value)
    return ""


def namespace_of(context: grpc.ServicerContext, default: str) -> str:
    """Return the namespace of a call.

    Args:
        context: of the call.
        default: for a containerd that does not pass its namespace on; "" for none.

    Raises:
        FailedPrecondition: the call names none, and there is no default.
    """
    namespace = stated_namespace(context) or default
    if not namespace:
        raise FailedPrecondition("namespace is required")
    return namespace


def answers(method: Method) -> Method:
    """Make a method of a service end in a status for any error, log it and count it.

    The object needs an attribute `metrics`. Details never hold paths of this machine, nor the text of an error
    that is not layerdisk's own.
    """
    name = method.__name__

    @functools.wraps(method)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        started = time.monotonic()
        try:
            return method(self, request, context)
        except LayerdiskError as error:
            code, text = to_grpc(error)
            self.metrics.failed(name, code)
            _log.info(
                "%s failed: %s",
                name,
                text,
                extra={"method": name, "code": code.name, "d": time.monotonic() - started},
            )
            abort(context, code, text)
        except Exception:
            if not context.is_active():
                abort(context, Code.CANCELLED, "the call was canceled")
            self.metrics.failed(name, Code.INTERNAL)
            _log.exception("%s failed", name, extra={"method": name})
            abort(context, Code.INTERNAL, "internal error: the service's log has more")

    return answer  # type: ignore[return-value]


def abort(context: grpc.ServicerContext, code: Code, text: str) -> NoReturn:
    """End a call with a status."""
    context.abort(_STATUS[int(code)], redacted(text)[:_DETAILS_BYTES])
    raise AssertionError("abort raises")


def redacted(text: str) -> str:
    """Return an error's text without paths of this machine and without keys; names of tar entries stay.

    >>> redacted('failed to apply to /var/lib/x/layer.vhd: No space left on device')
    'failed to apply to <path>: No space left on device'
    >>> redacted('tar entry "/etc/passwd" at byte 512: xattr "user.a" is too long')
    'tar entry "/etc/passwd" at byte 512: xattr "user.a" is too long'
    """
    pieces = _QUOTED.split(_SECRET.sub("<key>", text))
    return "".join(piece if piece.startswith('"') else _PATH.sub("<path>", piece) for piece in pieces)


class Service:
    """Base of the services: what `answers` needs."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
