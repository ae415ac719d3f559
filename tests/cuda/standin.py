"""What stands for CuPy where there is no GPU: NumPy arrays that know a device and refuse company from another one.

It proves which device is current where arrays are made and computed with, and nothing about CuPy or a GPU.
"""

import functools
import sys
import threading
import types

import numpy as np

_state = threading.local()


def _current():
    return getattr(_state, "devices", [0])[-1]


class Array(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on the device that was current when it was made; no NumPy array, and none that becomes one by itself."""

    def __init__(self, host):
        self.host = host
        self.number = _current()

    @property
    def device(self):
        return types.SimpleNamespace(id=self.number)

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        _same([*inputs, *out])
        if out:
            options["out"] = tuple(map(_plain, out))
        results = getattr(ufunc, method)(*map(_plain, inputs), **options)
        return out[0] if out else _made(results)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __getattr__(self, name):
        if name.startswith("__array_"):
            raise AttributeError(name)
        found = getattr(self.host, name)
        return _wrapped(found) if callable(found) else _made(found) if isinstance(found, np.ndarray) else found

    def __getitem__(self, key):
        return _made(self.host[_plain(key)])

    def __setitem__(self, key, value):
        _same([self, value])
        self.host[_plain(key)] = _plain(value)

    def __len__(self):
        return len(self.host)

    def __bool__(self):
        return bool(self.host)

    def __float__(self):
        return float(self.host)

    def __int__(self):
        return int(self.host)

    def __index__(self):
        return int(self.host)

    def __reduce__(self):
        return _asarray, (self.host,)

    def get(self):
        return self.host.copy()

    def __dlpack__(self, **options):
        return self.host.__dlpack__(**options)

    def __dlpack_device__(self):
        return (2, self.number)


def _same(values):
    """Whatever computes together is on the current device."""
    for value in values:
        if isinstance(value, (list, tuple)):
            _same(value)
        elif isinstance(value, Array):
            assert value.number == _current(), f"an array of device {value.number} on device {_current()}"
        else:
            assert not (isinstance(value, np.ndarray) and value.ndim), "an array of the host on a device"


def _plain(value):
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    return value.host if isinstance(value, Array) else value


def _made(value):
    if isinstance(value, (list, tuple)):
        return type(value)(map(_made, value))
    return Array(np.asarray(value)) if isinstance(value, (np.ndarray, np.generic)) else value


class Device:
    def __init__(self, number=None):
        self.id = _current() if number is None else number

    def __enter__(self):
        _state.devices = [*getattr(_state, "devices", [0]), self.id]

    def __exit__(self, *exception):
        _state.devices = _state.devices[:-1]


def _asarray(value, dtype=None, order=None):
    if isinstance(value, Array) and dtype in (None, value.dtype):
        return value
    return Array(np.array(_plain(value), dtype=dtype, order=order or "K"))


def _wrapped(function):
    @functools.wraps(function)
    def run(*inputs, **options):
        _same([*inputs, *options.values()])
        return _made(function(*map(_plain, inputs), **{k: _plain(v) for k, v in options.items()}))

    return run


class _Module(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(np, name)
        return _wrapped(found) if callable(found) and not isinstance(found, type) else found


def install(monkeypatch, devices=2):
    """``import cupy`` gives the stand-in until the end of a test; returns it."""
    from tinygraph import arrays

    cupy = _Module("cupy")
    cupy.ndarray = Array
    cupy.asarray = _asarray
    cupy.array = lambda value, *rest, **options: _asarray(value, *rest, **options).copy()
    cupy.lib = types.SimpleNamespace(
        stride_tricks=types.SimpleNamespace(as_strided=_wrapped(np.lib.stride_tricks.as_strided))
    )
    cupy.ascontiguousarray = lambda value, dtype=None: _asarray(value, dtype, "C")
    cupy.asnumpy = Array.get
    cupy.from_dlpack = lambda value: value.array
    stream = types.SimpleNamespace(synchronize=lambda: None)
    runtime = types.SimpleNamespace(getDeviceCount=lambda: devices, CUDARuntimeError=RuntimeError)
    cupy.cuda = types.SimpleNamespace(Device=Device, runtime=runtime, get_current_stream=lambda: stream)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(arrays, "_modules", {"numpy": arrays.get("numpy")})
    return cupy
