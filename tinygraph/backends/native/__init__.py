"""The native backend: Programs as machine code, made by LLVM without a system compiler."""
