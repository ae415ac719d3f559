"""How long one waits for anything at all. NumPy compiles nothing, so it is shown but no peer."""

from benchmarks.workload import FirstResult, Target
from benchmarks.workloads import xor

WORKLOAD = FirstResult(xor.WORKLOAD, "First result, XOR", target=Target(3.0, of="caches cold", without=("numpy",)))
