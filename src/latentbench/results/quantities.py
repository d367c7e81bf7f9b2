"""The quantities that models are compared by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from latentbench.results.experiment import Experiment
from latentbench.results.formatting import NBSP, count, decimals, duration

ARROWS = {1: f"{NBSP}↑", -1: f"{NBSP}↓", 0: ""}


def format_number(value: float, places: int) -> str:
    """Return a number with so many decimal places and thousands separators."""
    return f"{value:,.{places}f}".replace("-", "\N{MINUS SIGN}")


def format_fraction(value: float, _: int) -> str:
    """Return a number between 0 and 1 with three decimal places."""
    return format_number(value, 3)


def format_integer(value: float, _: int) -> str:
    """Return a number without decimal places."""
    return format_number(value, 0)


@dataclass(frozen=True)
class Quantity:
    """A number that each experiment has, as a row of `Study.scores` or computed from its arrays.

    `better` is 1 where higher is better, -1 where lower is, 0 where neither. Tables have a ±
    where it `shows_spread`.
    """

    key: str
    name: str
    better: int
    format: Callable[[float, int], str] = format_number
    compute: Callable[[Experiment], float | None] | None = None
    shows_spread: bool = True

    @property
    def title(self) -> str:
        """The name with an arrow toward better values."""
        return f"{self.name}{ARROWS[self.better]}"


PARAMETERS = Quantity("parameters", "Parameters", 0, lambda value, _: count(value))
SECONDS = Quantity("seconds", "Training", -1, lambda value, _: duration(value))
IMAGES_PER_SECOND = Quantity("images_per_second", "Images/s", 1, format_integer)
MEMORY = Quantity("peak_memory_mb", "Memory (MB)", -1, format_integer)
IMAGES = Quantity("images", "Images seen", 0, lambda value, _: count(value))
CPU_SECONDS = Quantity("cpu_seconds", "Processor time", 0, lambda value, _: duration(value))
MSE = Quantity("mse", "MSE", -1)
PSNR = Quantity("psnr", "PSNR (dB)", 1, lambda value, _: f"{value:.1f}")
SSIM = Quantity("ssim", "SSIM", 1, format_fraction)


def decimal_places(means: list[float], stds: list[float]) -> Callable[[float], int]:
    """Return a function from a number of a column to its decimal places.

    All numbers get the same, unless the largest is more than 1,000 times the smallest.
    """
    sizes = [abs(mean) for mean in means if mean]
    if sizes and max(sizes) > 1_000 * min(sizes):
        return lambda value: decimals([value])
    same = decimals(sizes)
    spreads = [std for std in stds if std and std == std]  # noqa: PLR0124 (NaN)
    if spreads and round(max(spreads), same) == 0:  # a spread of 0.00 would be read as none
        same += 1
    return lambda _: same
