"""What runs, in which order and where in memory, on no particular device."""

from tinygraph.program.ir import Buffer, Instruction, Program, ProgramError, verify
from tinygraph.program.specialise import infer_graph, specialise

__all__ = ["Buffer", "Instruction", "Program", "ProgramError", "infer_graph", "specialise", "verify"]
