"""What every program pays first. It may cost at most 1.5 times NumPy's import, which is a ratio of 0.67."""

from benchmarks.workload import Imports

WORKLOAD = Imports("Import, in a fresh interpreter", ["tinygraph", "numpy"])
