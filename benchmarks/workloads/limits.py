"""What this machine can do at most; every run measures it, because speed is read against it."""

import os
import threading
from typing import Any

import numpy as np

from benchmarks.workload import Workload, best

#: Side of the square matrices, and the bytes that are copied: several times any cache.
SIDE, BYTES = 2048, 2**28


class Limits(Workload):
    """Rates per second, each as a variant: operations in a float32 matrix product, bytes read and written by a copy."""

    table = ""

    def measure(self, variant: str, seconds: float, started: float) -> dict[str, Any]:
        return {"times": {"rate": self.variants[variant](seconds)} if seconds else {}}


def sgemm(seconds: float) -> float:
    a = np.full((SIDE, SIDE), 0.5, "float32")
    product = np.empty_like(a)
    return 2 * SIDE**3 / best(lambda: np.matmul(a, a, out=product), seconds)


def copy(seconds: float) -> float:
    threads = int(os.environ["OMP_NUM_THREADS"])
    source, target = np.ones(BYTES, "int8"), np.zeros(BYTES, "int8")
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))

    def once() -> None:
        running = [threading.Thread(target=np.copyto, args=pair) for pair in parts]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    return 2 * BYTES / best(once, seconds)


WORKLOAD = Limits("The machine's limits", {"sgemm": sgemm, "copy": copy})
