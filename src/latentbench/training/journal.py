"""TensorBoard events of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from latentbench.artifacts.files import storage_errors
from latentbench.data.mosaic import Images


class Journal:
    """Scalars and pictures under `folder`; points at or after `step` that an interrupted run wrote are void."""

    def __init__(self, folder: Path, *, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if step == 0:
                for events in folder.glob("events.out.tfevents.*"):
                    events.unlink()
        self._writer: Any = SummaryWriter(str(folder), purge_step=step or None)

    def scalars(self, values: dict[str, float | None], *, step: int) -> None:
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, step)

    def picture(self, name: str, picture: Images, *, step: int) -> None:
        self._writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()
