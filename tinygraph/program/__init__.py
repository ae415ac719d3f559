"""What runs, in which order and where in memory, on no particular device."""

from tinygraph.program.ir import Buffer, Instruction, Program, ProgramError, verify
from tinygraph.program.specialise import specialise

__all__ = ["Buffer", "Instruction", "Program", "ProgramError", "specialise", "verify"]
