"""The results of a study as DataFrames and arrays."""

from latentbench.results.experiment import Experiment
from latentbench.results.quantities import Quantity
from latentbench.results.study import RunGroup, Study, open_study
from latentbench.results.tables import Table

__all__ = ["Experiment", "Quantity", "RunGroup", "Study", "Table", "open_study"]
