"""TensorBoard events of a run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from latentbench.artifacts.files import convert_disk_errors
from latentbench.data.image_grid import Images


class TensorBoardLogger:
    """Writes scalars and images to `folder`.

    Points after `step`, which an interrupted run wrote after its last saved state, are discarded.
    Methods raise StorageError where the folder cannot be written.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        with convert_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if step == 0:
                for events in folder.glob("events.out.tfevents.*"):
                    events.unlink()
            threading.excepthook = _ignore_disk_errors
            self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        self._folder = folder

    def add_scalars(self, values: dict[str, float | None], *, step: int) -> None:
        """Write each value that is not None under its name."""
        with convert_disk_errors(self._folder):
            for name, value in values.items():
                if value is not None:
                    self._writer.add_scalar(name, value, step)

    def add_image(self, name: str, image: Images, *, step: int) -> None:
        """Write one image, uint8 (height, width, channel)."""
        with convert_disk_errors(self._folder):
            self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is buffered and close the event file."""
        with convert_disk_errors(self._folder):
            self._writer.close()


def _ignore_disk_errors(failure: threading.ExceptHookArgs) -> None:
    """Print no traceback for a disk error, which TensorBoard raises again in the next call."""
    if not isinstance(failure.exc_value, OSError):
        threading.__excepthook__(failure)
