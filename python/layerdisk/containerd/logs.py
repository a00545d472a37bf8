"""The service's log: one line for each event, key=value, as containerd's own (logfmt)."""

from __future__ import annotations

import json
import logging
import sys

_STANDARD = set(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


class LogfmtFormatter(logging.Formatter):
    """Formats a record with its extra fields."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows on lines of its own."""
        fields = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        line = " ".join(f"{name}={_value(value)}" for name, value in fields.items())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def log_to_stderr(*, debug: bool = False) -> None:
    """Write the package's log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogfmtFormatter())
    log = logging.getLogger("layerdisk")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if debug else logging.INFO)


def _value(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    is_plain = text and text.isascii() and text.isprintable() and not set(text) & set(' "=\\')
    return text if is_plain else json.dumps(text)
