"""The same for the net of ``mlp``."""

from benchmarks.workload import FirstResult, Target
from benchmarks.workloads import mlp

WORKLOAD = FirstResult(mlp.WORKLOAD, "First result, MLP", target=Target(3.0, of="caches cold", without=("numpy",)))
