"""Train one experiment from its prepared dataset to its last epoch."""

from __future__ import annotations

from contextlib import ExitStack

from latentbench.artifacts.lock import lock_folder
from latentbench.artifacts.progress import log
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DivergenceError
from latentbench.runtime.device import prepare_compute
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from latentbench.runtime.signals import stop_on_sigterm
from latentbench.training.loop import TrainingLoop
from latentbench.training.outputs import write_diverged_trial, write_outputs
from latentbench.training.run import Folders, Run
from latentbench.training.state import delete_state

__all__ = ["Folders", "train_experiment"]


def train_experiment(
    config: ExperimentConfig,
    folders: Folders,
    *,
    restart: bool = False,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Train to the last epoch, resuming from the saved state if there is one.

    With several processes, all of them make this call, and the first one writes the files. After
    SIGTERM, the state is saved at the end of the current step. A trial of a search that diverges in
    a single process is a result: the reason is written in place of its checkpoint.

    Args:
        config: The settings of the experiment.
        folders: Where the dataset is and where files are written.
        restart: Delete a saved state and start again.
        processes: The processes that train together.

    Raises:
        ArtifactError: The saved state belongs to other settings, data or code.
        DataError: The dataset is missing or does not fit the settings.
        DivergenceError: A loss became infinite or NaN.
        InterruptedRun: SIGTERM arrived before the last step.
        StorageError: A file cannot be written, or another process writes to the same folders.
    """
    device = prepare_compute(config.compute, num_processes=processes.world_size)
    dataset = PreparedDataset.open(folders.data)
    dataset.require_shape(image_size=config.image_size, channels=config.channels)
    with ExitStack() as locks, stop_on_sigterm() as stop_request:
        if processes.is_first:
            for folder in (folders.results, folders.scratch):
                locks.enter_context(lock_folder(folder, "train"))
            if restart:
                delete_state(folders.scratch)
        processes.barrier()
        run = Run.build(config, folders, dataset, device, processes)
        loop = TrainingLoop(run, stop_request)
        loop.resume()
        divergence = None
        if not loop.is_done:
            try:
                loop.run_to_end()
            except DivergenceError as error:
                # Of several processes some may wait for the others.
                if not config.is_trial or processes.world_size > 1:
                    raise
                log(f"{error} The search goes on with its other trials.")
                divergence = error
        usage = loop.measure_usage()
        if processes.is_first:
            if divergence is None:
                write_outputs(run, loop.progress, loop.losses, usage)
            else:
                write_diverged_trial(run, loop.progress, loop.losses, usage, divergence)
            delete_state(folders.scratch)
