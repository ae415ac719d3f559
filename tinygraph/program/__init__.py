"""What runs, in which order and where in memory, on no particular device."""

from tinygraph.program.cost import Cost, cost
from tinygraph.program.ir import Buffer, Instruction, Program, ProgramError, verify
from tinygraph.program.memory import Holder, MemoryPlan, plan
from tinygraph.program.specialise import specialise
from tinygraph.program.text import cost_text, value_text

__all__ = [
    "Buffer",
    "Cost",
    "Holder",
    "Instruction",
    "MemoryPlan",
    "Program",
    "ProgramError",
    "cost",
    "cost_text",
    "plan",
    "specialise",
    "value_text",
    "verify",
]
