"""The same on more numbers than any cache holds."""

from benchmarks.workloads.elementwise import workload

WORKLOAD = workload("12 elementwise operations and gradient: 10⁷ numbers", 10**7)
