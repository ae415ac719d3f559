"""The backend that writes CUDA C: loop nests as kernels, products through cuBLAS, steps replayed as graphs.

What is printed here is compiled for several architectures and executed on a CPU by the tests; nothing in this package
has run on a GPU yet.
"""
