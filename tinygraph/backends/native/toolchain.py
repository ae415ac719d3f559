"""From LLVM text to addresses of functions."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import Any

__all__ = ["Target", "is_available", "target"]


@functools.cache
def is_available() -> bool:
    """Whether llvmlite is installed."""
    import importlib.util

    return importlib.util.find_spec("llvmlite") is not None


class Target:
    """The processor of this machine, and what was compiled for it.

    Attributes
    ----------
    name
        Processor, its features and the version of LLVM: what machine code depends on.
    vector
        Bytes in a vector register.
    """

    def __init__(self) -> None:
        import llvmlite
        import llvmlite.binding as llvm

        self._llvm = llvm
        self._lock = threading.Lock()
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        cpu = llvm.get_host_cpu_name()
        features = llvm.get_host_cpu_features()
        self.name = f"{cpu} {features.flatten()} {llvmlite.__version__} {llvm.llvm_version_info}"
        self.vector = 64 if features.get("avx512f") and features.get("avx512vl") else 32 if features.get("avx") else 16
        made = llvm.Target.from_default_triple().create_target_machine(
            cpu=cpu, features=features.flatten(), opt=2, reloc="pic", codemodel="jitdefault", jit=True
        )
        self._machine = made
        self._linker = llvm.create_lljit_compiler()
        self._libraries: list[Any] = []

    def compile(self, text: str) -> bytes:
        """Text of a module as an object file.

        Raises
        ------
        RuntimeError
            If it is no valid module: a fault of the printer.
        """
        llvm = self._llvm
        with self._lock:
            module = llvm.parse_assembly(text)
            module.verify()
            options = llvm.create_pipeline_tuning_options(speed_level=1)
            builder = llvm.create_pass_builder(self._machine, options)
            passes = llvm.create_new_module_pass_manager()
            passes.add_sroa_pass()
            passes.run(module, builder)
            code: bytes = self._machine.emit_object(module)
            return code

    def load(self, code: bytes, names: Sequence[str]) -> list[int]:
        """The addresses of functions of an object file; they stay valid as long as the process lives."""
        with self._lock:
            library = self._llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
            for name in names:
                library.export_symbol(name)
            made = library.link(self._linker, f"library{len(self._libraries)}")
            self._libraries.append(made)
            return [made[name] for name in names]


@functools.cache
def target() -> Target:
    """The target of this process; made when it is first asked for."""
    return Target()
