"""The results of a study as DataFrames and arrays."""

from latentbench.results.experiment import Experiment, RunGroup
from latentbench.results.quantities import Quantity
from latentbench.results.study import Study, open_study
from latentbench.results.tables import Table

__all__ = ["Experiment", "Quantity", "RunGroup", "Study", "Table", "open_study"]
