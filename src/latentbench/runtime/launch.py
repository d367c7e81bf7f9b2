"""A command in several processes, as torchrun starts them; each runs the very same command line."""

from __future__ import annotations

import ctypes
import datetime
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from latentbench import errors
from latentbench.config.base import Compute
from latentbench.errors import ConfigError, InterruptedRun, LatentbenchError
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# How long a process waits for the others: the first one writes and measures while they do.
PATIENCE = datetime.timedelta(hours=2)


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return dist.is_torchelastic_launched()


def launch(arguments: Sequence[str], *, number: int, compute: Compute) -> None:
    """Run `latentbench ARGUMENTS…` in `number` processes on this machine, and wait for them.

    Raises what their command raised, and InterruptedRun where one of them was killed or this process is asked to end,
    which they then are too. Raises ConfigError where there are fewer GPUs than processes.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if _uses_gpus(compute) and torch.cuda.device_count() < number:
        raise ConfigError(
            f"training.processes is {number}, but PyTorch finds {torch.cuda.device_count()} GPU here; lower it, or "
            "set compute.device to 'cpu'."
        )
    _quiet()
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=number,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "latentbench", *arguments)
        except SignalException as asked:
            raise InterruptedRun(
                f"{number} processes were asked to end ({asked.sigval.name}); the same command goes on from the last "
                "state that they kept."
            ) from None
        except ChildFailedError as failed:
            raise _what_failed(failed.failures, number) from None


@contextmanager
def joined(number: int, compute: Compute) -> Iterator[ProcessGroup]:
    """The processes of which this one is part; the first alone speaks. Without torchrun, this process alone."""
    if not is_launched():
        yield SINGLE_PROCESS
        return
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    _end_with_parent()
    backend = "gloo"
    if _uses_gpus(compute):
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "nccl"
    dist.init_process_group(backend, timeout=PATIENCE)
    host: Any = dist.new_group(backend="gloo", timeout=PATIENCE)
    processes = ProcessGroup(dist.get_rank(), dist.get_world_size(), host)
    try:
        with _silent(not processes.is_first):
            if processes.number != number:
                raise ConfigError(
                    f"torchrun started {processes.number} processes, but training.processes is {number}: make them "
                    "equal, since the number is one of the settings of a checkpoint."
                )
            yield processes
    except Exception as error:
        # Told by who launched it, once for all: where one process fails, the others fail for want of it.
        get_error_handler().record_exception(error)
        sys.exit(getattr(error, "exit_code", 1))
    finally:
        dist.destroy_process_group()


def _uses_gpus(compute: Compute) -> bool:
    return compute.device != "cpu" and torch.cuda.is_available()


def _what_failed(failures: dict[int, ProcessFailure], number: int) -> Exception:
    """The cause among failures: when one process ends, the others lose it and fail as well."""
    for failure in failures.values():
        name, _, message = _message(failure).partition(": ")
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, LatentbenchError):
            return kind(message)
    for rank, failure in failures.items():
        if failure.exitcode < 0:
            return InterruptedRun(
                f"Process {rank + 1} of {number} was ended by {signal.Signals(-failure.exitcode).name}; the same "
                "command goes on from the last state that was kept."
            )
    first = min(failures.values(), key=lambda failure: failure.timestamp)
    trace = _recorded(first).get("extraInfo", {}).get("py_callstack", _message(first))
    return RuntimeError(f"in process {first.local_rank + 1} of {number}: {trace}")


def _recorded(failure: ProcessFailure) -> dict[str, Any]:
    """What `joined` recorded of an exception; empty where there was none, and `message` is torch's own."""
    told: Any = failure.message
    return told if isinstance(told, dict) else {}


def _message(failure: ProcessFailure) -> str:
    """`NAME: what it says` of an exception that was recorded."""
    return str(_recorded(failure).get("message", failure.message))


def _quiet() -> None:
    """Torch's loggers tell of failures at length, each at a level of its own; here they are raised."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _silent(silent: bool) -> Iterator[None]:
    if not silent:
        yield
        return
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        yield


def _end_with_parent() -> None:
    """Where the system can, ask for SIGTERM when the process that launched this one dies without a word."""
    try:
        prctl = ctypes.CDLL(None).prctl
    except (AttributeError, OSError, TypeError):
        return
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
    prctl(set_parent_death_signal, signal.SIGTERM)
