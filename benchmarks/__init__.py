"""Benchmarks: ``python -m benchmarks``, from the root of the repository.

Each file in ``workloads/`` defines one ``WORKLOAD``; putting a file there is all it takes to add one. Every
measurement is a process of its own (``worker``), started by ``runner`` in interleaved rounds; ``report`` writes tables
and ``chart`` draws.

Peers need not be installed beside tinygraph: ``--python PATH`` names the interpreter that has them, ``--python
tinygraph=PATH`` that of one. ``pip install 'tinygraph[bench]'`` installs JAX, PyTensor and PyTorch. Theano 1.0.5 runs
under Python 3.10 with NumPy 1.23.5 and a SciPy before 1.11, in an environment of its own. A peer that is not there is
listed as skipped.
"""
