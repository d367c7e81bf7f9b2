"""Snakemake's `--logger latentbench`: a line per step of a job in place of Snakemake's own log.

`make report` uses it. Snakemake finds logger plugins by the name of their package.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from latentbench.artifacts.progress import log
from latentbench.forecast.run_progress import RunProgress, error_lines
from latentbench.forecast.saved_forecast import read_forecast

_SECONDS_BETWEEN_POLLS = 1.0
# Starts of messages that are left out. Others, such as errors, are written.
_CHATTER = (
    "Assuming unrestricted shared filesystem",
    "Building DAG of jobs",
    "Cleaning up conda package tarballs",
    "Complete log",
    "Conda environments: ignored",
    "Elapsed time",
    "Execute ",
    "Group jobs: inactive",
    "Select jobs to execute",
    "Singularity containers: ignored",
    "Using profile",
    "Using shell",
    "Using workflow specific profile",
)
# The job has a line already.
_FAILED_COMMAND = "CalledProcessError in file"


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """The options `--logger-latentbench-…`."""

    forecast: Path | None = field(
        default=None,
        metadata={"help": "The file that `latentbench plan --save` wrote.", "type": Path},
    )


class LogHandler(LogHandlerBase):
    """Passes Snakemake's events on to RunProgress, and reads the jobs' logs in a thread."""

    def __post_init__(self) -> None:
        """Read the forecast and start the thread."""
        path = getattr(self.settings, "forecast", None)
        self._progress = RunProgress(read_forecast(path) if path else {}, log)
        self._num_cores = 1
        self._logs: dict[int, Path | None] = {}
        self._is_closed = threading.Event()
        threading.Thread(target=self._poll, daemon=True).start()

    @property
    def writes_to_stream(self) -> bool:
        """Whether it writes to standard error, in place of Snakemake's own handler."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Whether it writes to a file."""
        return False

    @property
    def has_filter(self) -> bool:
        """Whether it chooses itself what it writes."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Whether it formats records itself."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """Whether it needs the graph of the rules."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the lines of one event."""
        try:
            with self.lock or threading.RLock():
                self._handle(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Stop the thread."""
        self._is_closed.set()
        super().close()

    def _poll(self) -> None:
        while not self._is_closed.wait(_SECONDS_BETWEEN_POLLS):
            with self.lock or threading.RLock():
                self._progress.poll()

    def _handle(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = record.__dict__
        match fields.get("event"):
            case LogEvent.RESOURCES_INFO:
                self._num_cores = fields.get("cores") or self._num_cores
            case LogEvent.RUN_INFO:
                self._progress.begin(fields["stats"], self._num_cores)
            case LogEvent.JOB_INFO:
                self._start(fields)
            case LogEvent.JOB_FINISHED:
                self._progress.finish_job(fields["job_id"])
            case LogEvent.JOB_ERROR:
                self._fail(fields)
            case None | LogEvent.ERROR:
                self._write_message(record)

    def _start(self, fields: dict[str, Any]) -> None:
        logs = fields["log"]
        path = Path(logs[0]) if logs else None
        self._logs[fields["jobid"]] = path
        self._progress.start_job(
            fields["jobid"], fields["rule_name"], dict(fields["wildcards"]), path
        )

    def _fail(self, fields: dict[str, Any]) -> None:
        self._progress.fail_job(fields["jobid"])
        path = self._logs.get(fields["jobid"])
        lines = error_lines(path) if path is not None else []
        for line in lines or [f"Error in rule {fields['rule_name']}: {fields.get('shellcmd')}"]:
            log(line)
        if path is not None:
            log(f"The job's log is {path}.")

    def _write_message(self, record: logging.LogRecord) -> None:
        message = str(record.msg or "").strip()
        if message and not message.startswith(_CHATTER) and _FAILED_COMMAND not in message:
            for line in message.splitlines():
                log(line)
