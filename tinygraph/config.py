"""Settings, read from the environment at import and changeable at run time.

>>> from tinygraph import config
>>> config.floatX
'float64'
>>> with config.change_flags(floatX="float32"):
...     config.floatX
'float32'
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from tinygraph.errors import TinygraphError

__all__ = ["Config", "ConfigError", "config"]

#: name -> (default, allowed values or None for any text, what it does)
_FLAGS: dict[str, tuple[str, tuple[str, ...] | None, str]] = {
    "floatX": ("float64", ("float16", "float32", "float64"), "dtype of untyped float constructors and of weak floats"),
    "backend": ("numpy", None, "array library of new functions and shared variables: numpy or cupy"),
    "mode": ("FAST_RUN", ("FAST_RUN", "FAST_COMPILE", "NanGuardMode", "DebugMode"), "default mode of function"),
    "on_unused_input": ("raise", ("raise", "warn", "ignore"), "what function does with an input nothing depends on"),
    "verify_programs": ("no", ("no", "yes"), "check every compiled Program against its own rules"),
    "forbid_dtype": ("", None, "a dtype that no operation may produce; the creating line raises"),
}


class ConfigError(TinygraphError, AttributeError, ValueError):
    """An unknown setting, or a value that it does not take."""


class Config:
    """Settings of this process; each is also read from ``TINYGRAPH_<NAME>`` at import.

    Raises
    ------
    ConfigError
        For an unknown name (with the nearest known one) or a value that is not allowed.
    """

    def __init__(self) -> None:
        for name, (default, _, _) in _FLAGS.items():
            setattr(self, name, os.environ.get(f"TINYGRAPH_{name.upper()}", default))

    floatX: str
    backend: str
    mode: str
    on_unused_input: str
    verify_programs: str
    forbid_dtype: str

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _FLAGS:
            raise _unknown(name)
        allowed = _FLAGS[name][1]
        if not isinstance(value, str) or (allowed is not None and value not in allowed):
            raise ConfigError(
                f"config.{name} cannot be {value!r}",
                expected=" or ".join(map(repr, allowed)) if allowed else "a string",
                actual=repr(value),
            )
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        raise _unknown(name)

    @contextlib.contextmanager
    def change_flags(self, **flags: str) -> Iterator[None]:
        """Set flags for the length of a ``with`` block; if one is refused, none is changed."""
        old = {name: getattr(self, name) for name in flags}
        try:
            for name, value in flags.items():
                setattr(self, name, value)
            yield
        finally:
            for name, value in old.items():
                object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        rows = (f"{name} = {getattr(self, name)!r}  # {doc}" for name, (_, _, doc) in _FLAGS.items())
        return "\n".join(rows)


def _unknown(name: str) -> ConfigError:
    import difflib

    near = difflib.get_close_matches(name, _FLAGS, n=2, cutoff=0.5)
    return ConfigError(
        f"there is no setting {name!r}",
        expected=", ".join(_FLAGS),
        hint=f"did you mean {' or '.join(near)}?" if near else "",
    )


config = Config()
