"""Settings, read from the environment at import and changeable at run time.

``TINYGRAPH_FLAGS="floatX=float32,mode=FAST_COMPILE"`` sets several at once, ``TINYGRAPH_FLOATX=float32`` a single one.

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
import warnings
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from string import ascii_letters
from typing import Any

from tinygraph.arrays import NAMES
from tinygraph.errors import TinygraphError
from tinygraph.flags import IDLE

__all__ = ["Config", "ConfigError", "config"]

_BOOLS = (False, True)

#: name -> (default, allowed values or None for any, what it does)
_FLAGS: dict[str, tuple[Any, tuple[Any, ...] | None, str]] = {
    "floatX": ("float64", ("float16", "float32", "float64"), "dtype of untyped float constructors and of weak floats"),
    "backend": ("numpy", None, "where new functions run and shared variables live: numpy, cupy, cupy:1 and so on"),
    "mode": ("FAST_RUN", ("FAST_RUN", "FAST_COMPILE", "NanGuardMode", "DebugMode"), "default mode of function"),
    "on_unused_input": ("raise", ("raise", "warn", "ignore"), "what function does with an input nothing depends on"),
    "linker": (
        "native",
        ("native", "reference"),
        "what runs functions: machine code, or with 'reference' one array call after the other",
    ),
    "guard_memory": ("no", ("no", "yes"), "check that native functions write to nothing but their own memory; slow"),
    "cache_dir": ("", None, "folder for compiled code; empty for the system's usual place"),
    "deterministic": (True, _BOOLS, "add up in a fixed order on CuPy, too, where elements of gradients are scattered"),
    "allow_tf32": (False, _BOOLS, "let compiled functions on CuPy round the operands of float32 products to 10 bits"),
    "threads": (0, None, "threads of native functions; 0 for one on each processor"),
    "verify_programs": ("no", ("no", "yes"), "check every compiled Program against its own rules"),
    "forbid_dtype": ("", None, "a dtype that no operation may produce; the creating line raises"),
    "warn_float64": ("ignore", ("ignore", "warn", "raise"), "what to do on the line that makes a float64 result"),
    "compute_test_value": (
        "off",
        ("off", "ignore", "warn", "raise"),
        "compute each result from tag.test_value on the line that makes it; if a value lacks, ignore it, warn or raise",
    ),
    "profile": (False, _BOOLS, "measure every instruction of new functions, as function(…, profile=True)"),
    "exception_verbosity": ("low", ("low", "high"), "length of error messages: high shows every line that took part"),
}

#: Theano's names and values for some of these: name -> (setting, pattern of its values -> value here); a number at the
#: end of the one follows the colon of the other.
_ALIASES: dict[str, tuple[str, dict[str, str]]] = {
    "device": ("backend", {"cpu": "numpy", "cuda": "cupy", "gpu": "cupy", "cuda[0-9]*": "cupy:", "gpu[0-9]*": "cupy:"}),
    "optimizer": ("mode", {"fast_run": "FAST_RUN", "fast_compile": "FAST_COMPILE", "None": "FAST_COMPILE",
                           "merge": "FAST_COMPILE", "o[1-4]": "FAST_RUN", "unsafe": "FAST_RUN"}),
}  # fmt: skip
#: Values that Theano has for settings of the same name.
_OLD_VALUES = {
    ("linker", "py"): "reference",
    **{("linker", f"{old}{gc}"): "native" for old in ("c|py", "c", "cvm", "vm") for gc in ("", "_nogc")},
    ("deterministic", "more"): True,
    ("deterministic", "default"): False,
    ("mode", "Mode"): "FAST_RUN",
    ("mode", "DEBUG_MODE"): "DebugMode",
}


class ConfigError(TinygraphError, AttributeError, ValueError):
    """An unknown setting, or a value that it does not take."""


class _Names:
    """Settings whose names begin alike: ``config.warn`` holds ``config.warn.round`` and its like."""

    _prefix = ""

    def __init__(self, root: Config, prefix: str) -> None:
        self.__dict__.update(_root=root, _prefix=prefix)

    def __setattr__(self, name: str, value: Any) -> None:
        self._root.set(self._prefix + name, value)

    def __getattr__(self, name: str) -> Any:
        return self._root.get(self._prefix + name)

    def __dir__(self) -> list[str]:
        return [name.removeprefix(self._prefix) for name in IDLE if name.startswith(self._prefix)]


class Config:
    """Settings of this process.

    All of Theano's settings are known. Those that mean nothing here have a fixed value; where they are set to another
    one, a warning says once why that has no effect.

    Raises
    ------
    ConfigError
        For an unknown name (with the nearest known one) or a value that is not allowed.
    """

    floatX: str
    backend: str
    mode: str
    on_unused_input: str
    linker: str
    guard_memory: str
    cache_dir: str
    deterministic: bool
    allow_tf32: bool
    threads: int
    verify_programs: str
    forbid_dtype: str
    warn_float64: str
    compute_test_value: str
    profile: bool
    exception_verbosity: str

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.__dict__["_warned"] = set()
        for name, (default, _, _) in _FLAGS.items():
            self.set(name, default)
        for item in filter(None, map(str.strip, environment.get("TINYGRAPH_FLAGS", "").split(","))):
            name, equals, value = item.partition("=")
            if not equals:
                raise ConfigError(f"{item!r} in TINYGRAPH_FLAGS sets nothing", expected="name=value,name=value")
            self.set(name.strip(), value.strip())
        for name in (*_FLAGS, *_ALIASES):
            value = environment.get(f"TINYGRAPH_{name.upper()}", "")
            if value:
                self.set(name, value)

    def set(self, name: str, value: Any) -> None:
        """Set the flag of this name, which may have dots in it."""
        if name in _ALIASES:
            name, value = self._translated(name, value)
        if name in IDLE:
            self._pass_over(name, value)
        elif name in _FLAGS:
            self._change(name, value)
        else:
            raise _unknown(name)

    def _translated(self, name: str, value: Any) -> tuple[str, str]:
        target, values = _ALIASES[name]
        for pattern, meaning in values.items():
            if fnmatchcase(str(value), pattern):
                return target, meaning + str(value).lstrip(ascii_letters) if meaning.endswith(":") else meaning
        raise ConfigError(
            f"config.{name} cannot be {value!r}", expected=" or ".join(map(repr, values)), actual=repr(value)
        )

    def _change(self, name: str, value: Any) -> None:
        given = value
        value = _OLD_VALUES.get((name, value), value) if isinstance(value, str) else value
        allowed = _FLAGS[name][1]
        if allowed is _BOOLS:
            value = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower(), value)
        elif isinstance(_FLAGS[name][0], int):
            value = int(value) if str(value).isdecimal() else None
        expected = " or ".join(map(repr, allowed)) if allowed else type(_FLAGS[name][0]).__name__
        fits = value in allowed if allowed else isinstance(value, type(_FLAGS[name][0]))
        if name == "backend":
            expected = "'numpy', 'cupy', or 'cupy:1' and so on"
            fits = fits and NAMES.fullmatch(value) is not None
        if not fits:
            raise ConfigError(f"config.{name} cannot be {given!r}", expected=expected, actual=repr(given))
        if name == "exception_verbosity":
            TinygraphError.verbose = value == "high"
        self.__dict__[name] = value

    def _pass_over(self, name: str, value: Any) -> None:
        fixed, why = IDLE[name]
        texts = [str(fixed).lower(), *([str(int(fixed))] if isinstance(fixed, bool) else [])]
        if value != fixed and str(value).lower() not in texts and name not in self._warned:
            self._warned.add(name)
            warnings.warn(f"config.{name} has no effect: {why}", stacklevel=4)

    def get(self, name: str) -> Any:
        """The value of the flag of this name, which may have dots in it."""
        if name in _FLAGS:
            return self.__dict__[name]
        if name in _ALIASES:
            target, values = _ALIASES[name]
            base, colon, number = self.get(target).partition(":")
            theirs = next((v for v, meaning in values.items() if meaning == base), base)
            return theirs + number if colon else theirs
        if name in IDLE:
            return IDLE[name][0]
        if any(known.startswith(f"{name}.") for known in IDLE):
            return _Names(self, f"{name}.")
        raise _unknown(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.set(name, value)

    def __getattr__(self, name: str) -> Any:
        return self.get(name)

    def __dir__(self) -> list[str]:
        sections = {name.partition(".")[0] for name in IDLE}
        return sorted({*_FLAGS, *_ALIASES, *sections, "change_flags", "get", "set"})

    @contextlib.contextmanager
    def change_flags(self, flags: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), **more: Any) -> Iterator[None]:
        """Set flags for the length of a ``with`` block or a decorated function; if one is refused, none is changed.

        Parameters
        ----------
        flags
            A mapping, or pairs, for names with dots in them.
        more
            Flags by keyword.
        """
        old = {name: self.__dict__[name] for name in _FLAGS}
        try:
            for name, value in {**dict(flags), **more}.items():
                self.set(name, value)
            yield
        finally:
            for name, value in old.items():
                self.set(name, value)

    def __repr__(self) -> str:
        rows = (f"{name} = {getattr(self, name)!r}  # {doc}" for name, (_, _, doc) in _FLAGS.items())
        return "\n".join(rows)


def _unknown(name: str) -> ConfigError:
    import difflib

    known = [*_FLAGS, *_ALIASES, *IDLE]
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    near = near or [n for n in known if n.rpartition(".")[2] == name.rpartition(".")[2]][:2]
    return ConfigError(
        f"there is no setting {name!r}",
        expected=", ".join((*_FLAGS, *_ALIASES)) + ", or one of Theano's",
        hint=f"did you mean {' or '.join(near)}?" if near else "",
    )


config = Config(os.environ)
