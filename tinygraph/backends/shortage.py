"""Errors that say how much memory a call needs, and for what, where there is not enough."""

from __future__ import annotations

from typing import Any

from tinygraph.errors import OutOfMemoryError
from tinygraph.program import Program

__all__ = ["shortage"]

#: How many values are named.
_NAMED = 4


def shortage(program: Program, why: str, compiled: Any = None) -> OutOfMemoryError:
    """What is known of a call for which memory does not suffice.

    Parameters
    ----------
    program
        What was to run.
    why
        The words of what refused.
    compiled
        The plan of what was compiled; None where the Program is interpreted.
    """
    from tinygraph.program.memory import bytes_text, plan  # few programs run out of memory

    if compiled is None:
        known = plan(program)
        needs = f"{bytes_text(known.peak)} at {known.title}"
    else:
        from tinygraph.program.compiled_memory import compiled_memory

        known = compiled_memory(compiled)
        needs = f"{bytes_text(known.peak)}: {bytes_text(compiled.arena)} for temporaries and "
        needs += f"{bytes_text(known.peak - compiled.arena)} for outputs"
    rows = [f"{bytes_text(h.nbytes)}  {h.what}" + (f"  {h.place}" if h.place else "") for h in known.holders[:_NAMED]]
    rest = f"{bytes_text(known.arguments)} of arguments and {bytes_text(known.shared)} of shared variables"
    return OutOfMemoryError(
        "memory does not suffice for this call; no shared variable has changed",
        expected=f"{needs}, beside {rest}",
        actual="\n            ".join([why or "no more memory", "the largest values at the peak:", *rows]),
        hint="smaller batches need less; f.memory() shows everything that is held",
    )
