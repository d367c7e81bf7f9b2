"""A Slurm of two nodes on this machine, in a folder of its own, as its real daemons make it."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

NODES = ("one", "two")
DAEMONS = ("munged", "slurmctld", "slurmd")
# Of Snakemake's plugin: what a cluster with accounts and accounting needs none of.
PLUGIN = (
    "--slurm-no-account",
    "--slurm-status-command=squeue",
    "--slurm-init-seconds-before-status-checks=3",
)
PROFILE = ("--profile", "profiles/slurm", *PLUGIN, "--default-resources", "slurm_partition=main")
CONF = """
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/bin/prolog
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
MinJobAge=3600
KillWait=20
GresTypes=gpu
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=20000 \
    Gres=gpu:1
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=20000
PartitionName=main Nodes=one,two Default=YES MaxTime=INFINITE State=UP
"""
# A GPU that nothing can be computed on: it shows that one is requested and given.
GPU = "NodeName=one Name=gpu File=/dev/null\n"
# Runs before each task, in its environment.
PROLOG = """#!/bin/sh
echo "$SLURM_JOB_ID ${{SLURM_STEP_ID:-batch}} ${{CUDA_VISIBLE_DEVICES:-none}}" >> {folder}/tasks
"""


def missing() -> list[str]:
    """The daemons that are not installed."""
    return [name for name in DAEMONS if not shutil.which(name, path=_path())]


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of Slurm's commands. The daemons end with the context."""
    for part in ("controller", *(f"node-{node}" for node in NODES)):
        (folder / part).mkdir(parents=True)
    host = socket.gethostname().split(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(
        CONF.format(host=host, folder=folder, user=getpass.getuser(), ports=_free_ports(3))
    )
    (folder / "gres.conf").write_text(GPU)
    (folder / "cgroup.conf").write_text("")
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    _script(folder / "bin" / "prolog", PROLOG.format(folder=folder))
    # Snakemake's plugin calls srun within a job, which takes SLURM_CONF from its environment.
    _script(
        folder / "bin" / "srun", f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun")} "$@"\n'
    )
    environment = os.environ | {
        "SLURM_CONF": str(conf),
        "PATH": f"{folder / 'bin'}{os.pathsep}{_path()}",
    }
    places = {name: f"{folder}/munge.{name}" for name in ("socket", "pid", "seed")}
    files = [
        f"--{name}{'' if name == 'socket' else '-file'}={place}" for name, place in places.items()
    ]
    with ExitStack() as daemons:
        daemons.enter_context(
            _daemon(
                "munge",
                ["munged", "--foreground", "--force", f"--key-file={key}", *files],
                environment,
                folder,
            )
        )
        daemons.enter_context(_daemon("controller", ["slurmctld", "-D"], environment, folder))
        for node in NODES:
            daemons.enter_context(_daemon(node, ["slurmd", "-D", "-N", node], environment, folder))
        _wait_for_nodes(environment)
        yield environment


@contextmanager
def _daemon(
    name: str, command: list[str], environment: dict[str, str], folder: Path
) -> Iterator[None]:
    with (folder / f"{name}.log").open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait_for_nodes(environment: dict[str, str]) -> None:
    for _ in range(60):
        states = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%T"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if states.stdout.split() == ["idle"] * len(NODES):
            return
        time.sleep(1)
    raise RuntimeError(f"Slurm's nodes did not come up: {states.stdout}{states.stderr}")


def gpus_given(environment: dict[str, str]) -> dict[str, str]:
    """Return the GPUs that each job's script saw, by the job's id."""
    lines = (Path(environment["SLURM_CONF"]).parent / "tasks").read_text().splitlines()
    return {job: gpus for job, step, gpus in map(str.split, lines) if step == "batch"}


def _script(path: Path, content: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)


def _path() -> str:
    """The search path with the folders of system commands, which users seldom have on theirs."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
