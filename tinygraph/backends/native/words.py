"""LLVM text of functions that read tables of 64-bit words."""

from __future__ import annotations

__all__ = ["pointers", "walker", "words"]


def words(base: str, **fields: int) -> str:
    """Addresses ``%name_at`` of words, given by number, and their values ``%name``, as numbers."""
    lines = []
    for name, i in fields.items():
        lines.append(f"  %{name}_at = getelementptr i64, ptr {base}, i64 {i}")
        lines.append(f"  %{name} = load i64, ptr %{name}_at")
    return "\n".join(lines)


def pointers(base: str, **fields: int) -> str:
    """The same for words that are addresses."""
    return words(base, **fields).replace("= load i64", "= load ptr")


def walker(name: str) -> str:
    """The function that runs the entries of a table one after the other; each says how many words to pass over."""
    return f"""
define void @{name}(ptr %code, ptr %end) {{
entry:
  br label %head
head:
  %at = phi ptr [ %code, %entry ], [ %next, %body ]
  %more = icmp ult ptr %at, %end
  br i1 %more, label %body, label %done
body:
{pointers("%at", f=0)}
{words("%at", size=1)}
  %skip = call i64 %f(ptr %at)
  %count = add i64 %size, %skip
  %next = getelementptr i64, ptr %at, i64 %count
  br label %head
done:
  ret void
}}
"""
