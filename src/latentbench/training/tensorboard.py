"""TensorBoard events of a run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from latentbench.artifacts.files import convert_disk_errors
from latentbench.data.image_grid import Images


class TensorBoardLogger:
    """Scalars and pictures under `folder`; points after `step` that an interrupted run wrote are void."""

    def __init__(self, folder: Path, *, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        with convert_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if step == 0:
                for events in folder.glob("events.out.tfevents.*"):
                    events.unlink()
            threading.excepthook = _left_to_caller
            self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        self._folder = folder

    def scalars(self, values: dict[str, float | None], *, step: int) -> None:
        with convert_disk_errors(self._folder):
            for name, value in values.items():
                if value is not None:
                    self._writer.add_scalar(name, value, step)

    def picture(self, name: str, picture: Images, *, step: int) -> None:
        with convert_disk_errors(self._folder):
            self._writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        with convert_disk_errors(self._folder):
            self._writer.close()


def _left_to_caller(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread, and raises what that met again at the next call: once is enough."""
    if not isinstance(failure.exc_value, OSError):
        threading.__excepthook__(failure)
