"""Benchmarks: ``python -m benchmarks``, from the root of the repository.

Each file in ``workloads/`` defines one ``WORKLOAD``; putting a file there is all it takes to add one. Every
measurement is a process of its own (``worker``), started by ``runner`` in interleaved rounds; ``report`` writes tables.
"""
