"""What runs, in which order and where in memory, on no particular device."""

from tinygraph.graph import services
from tinygraph.program.ir import Buffer, Instruction, Program, ProgramError, verify
from tinygraph.program.specialise import specialise

__all__ = [
    "Buffer",
    "Instruction",
    "Program",
    "ProgramError",
    "specialise",
    "verify",
]

# Costs, memory plans and text are in modules of their own, which load when they are first asked for.
services.later("tinygraph.program.text", "program_text")
services.later("tinygraph.program.plan_text", "plan_text")
