"""Logs are JSON lines on standard output: a few known fields, never a request body, a query string or a name."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

_LONGEST = 2_000
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "request",
    "taskName",
    "server_time",
    "status_code",
    "data",
}


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and what was passed in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_LONGEST],
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["trace"] = _trace(record)
        return json.dumps(line, default=str)


def _trace(record: logging.LogRecord) -> list[str]:
    # Where, never what: the text of a database error prints the row it refused.
    trace, places = (record.exc_info or (None, None, None))[2], []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    return places[-12:]


def config(level: str = "INFO") -> dict[str, Any]:
    """A `logging.config` dictionary for all projects."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "apps.kernel.logs.JsonFormatter"}},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}},
        "root": {"level": level, "handlers": ["stdout"]},
        "loggers": {
            "django": {"level": level, "handlers": [], "propagate": True},
            "django.server": {"level": "WARNING", "handlers": [], "propagate": True},
            # Refusals are answers, not faults; the edge logs every request with its status.
            "django.request": {"level": "ERROR", "handlers": [], "propagate": True},
            # A task a second is not news.
            "celery.app.trace": {"level": "WARNING", "handlers": [], "propagate": True},
            "celery.worker.strategy": {"level": "WARNING", "handlers": [], "propagate": True},
            "celery.beat": {"level": "WARNING", "handlers": [], "propagate": True},
        },
    }
