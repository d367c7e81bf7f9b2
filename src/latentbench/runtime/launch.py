"""Run a command line in several processes with torchrun's launcher."""

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
from latentbench.runtime.device import select_device
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# The launcher's process ID, in the environment of the processes that it starts.
LAUNCHER = "LATENTBENCH_LAUNCHER"
# How long a process waits at a barrier, for instance while the first one writes files.
TIMEOUT = datetime.timedelta(hours=2)


def is_launched() -> bool:
    """Return whether torchrun or `launch` started this process."""
    return dist.is_torchelastic_launched()


def launch(arguments: Sequence[str], *, num_processes: int, compute: Compute) -> None:
    """Run `latentbench ARGUMENTS…` in several processes on this machine and wait for them.

    SIGTERM to this process is passed on to all of them.

    Raises:
        ConfigError: There are fewer GPUs than processes, or the device is MPS.
        InterruptedRun: A process was killed, or this process received SIGTERM.
        LatentbenchError: The error that the command raised in one of the processes.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    uses_gpus = select_device(compute.device, num_processes=num_processes).type == "cuda"
    if uses_gpus and torch.cuda.device_count() < num_processes:
        raise ConfigError(
            f"training.processes is {num_processes}, but PyTorch finds "
            f"{torch.cuda.device_count()} GPU. Lower it, or set compute.device to cpu."
        )
    _disable_elastic_logging()
    os.environ[LAUNCHER] = str(os.getpid())
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=num_processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "latentbench", *arguments)
        except SignalException as received:
            raise InterruptedRun(
                f"{num_processes} processes stopped after {received.sigval.name}. "
                "Run the same command again to resume from the last saved state."
            ) from None
        except ChildFailedError as failed:
            raise _root_cause(failed.failures, num_processes) from None


@contextmanager
def join_process_group(num_processes: int, compute: Compute) -> Iterator[ProcessGroup]:
    """Join the launcher's process group; without a launcher, yield a group of one process.

    Only the first process writes to stderr. An error is recorded for `launch`, which raises it.

    Raises:
        ConfigError: torchrun started another number of processes than `num_processes`.
    """
    if not is_launched():
        yield SINGLE_PROCESS
        return
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    _terminate_with_parent()
    backend = "gloo"
    if select_device(compute.device, num_processes=num_processes).type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "nccl"
    dist.init_process_group(backend, timeout=TIMEOUT)
    cpu_group: Any = dist.new_group(backend="gloo", timeout=TIMEOUT)
    processes = ProcessGroup(dist.get_rank(), dist.get_world_size(), cpu_group)
    try:
        with _suppress_stderr(not processes.is_first):
            if processes.world_size != num_processes:
                raise ConfigError(
                    f"torchrun started {processes.world_size} processes, but training.processes "
                    f"is {num_processes}. Make them equal: checkpoints record this setting."
                )
            yield processes
    except Exception as error:
        # `launch` reports it once: where one process fails, the others fail as well.
        get_error_handler().record_exception(error)
        sys.exit(getattr(error, "exit_code", 1))
    finally:
        dist.destroy_process_group()


def _root_cause(failures: dict[int, ProcessFailure], num_processes: int) -> Exception:
    """Return the error that came first: when one process fails, the others lose the connection."""
    for failure in failures.values():
        name, _, message = _message(failure).partition(": ")
        error_class = getattr(errors, name, None)
        if isinstance(error_class, type) and issubclass(error_class, LatentbenchError):
            return error_class(message)
    for rank, failure in failures.items():
        if failure.exitcode < 0:
            return InterruptedRun(
                f"{signal.Signals(-failure.exitcode).name} ended process {rank + 1} of "
                f"{num_processes}. Run the same command again to resume from the last saved state."
            )
    first = min(failures.values(), key=lambda failure: failure.timestamp)
    trace = _recorded_error(first).get("extraInfo", {}).get("py_callstack", _message(first))
    return RuntimeError(f"Process {first.local_rank + 1} of {num_processes} failed: {trace}")


def _recorded_error(failure: ProcessFailure) -> dict[str, Any]:
    """Return the error that `join_process_group` recorded, or an empty dict."""
    message: Any = failure.message
    return message if isinstance(message, dict) else {}


def _message(failure: ProcessFailure) -> str:
    """Return the recorded error as `ClassName: message`, or torch's own message."""
    return str(_recorded_error(failure).get("message", failure.message))


def _disable_elastic_logging() -> None:
    """Turn off torch's logs of failed processes: `launch` raises the failures."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _suppress_stderr(suppress: bool) -> Iterator[None]:
    if not suppress:
        yield
        return
    with Path(os.devnull).open("w") as devnull, redirect_stderr(devnull):
        yield


def _terminate_with_parent() -> None:
    """Request SIGTERM for this process when its parent dies, on systems that support it (Linux).

    Raises:
        InterruptedRun: The launcher died before this request.
    """
    try:
        prctl = ctypes.CDLL(None).prctl
    except (AttributeError, OSError, TypeError):
        return
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
    prctl(set_parent_death_signal, signal.SIGTERM)
    launcher = os.environ.get(LAUNCHER)
    if launcher is not None and os.getppid() != int(launcher):
        raise InterruptedRun("The process that started this one was killed. Run it again.")
