"""libtime_chaos through ctypes: what is in include/time_chaos/time_chaos.h, and no more."""

import ctypes
import os
import pathlib

WALL, FROM_NOW, BY_OFFSET, AT = 0, 0, 1, 2
TC_OK = 0


class TimeChaosError(RuntimeError):
    """What the library refused, in its own words."""


class _Timespec(ctypes.Structure):
    _fields_ = [("tv_sec", ctypes.c_int64), ("tv_nsec", ctypes.c_long)]


class Clock(ctypes.Structure):
    """struct tc_clock."""

    _fields_ = [("clocks", ctypes.c_uint32), ("start", ctypes.c_uint32), ("value", _Timespec),
                ("rate", ctypes.c_double), ("flags", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32)]

    @classmethod
    def of(cls, start=FROM_NOW, nanoseconds=0, rate=1.0):
        seconds, rest = divmod(nanoseconds, 10**9)
        return cls(WALL, start, _Timespec(seconds, rest), rate, 0, 0)


def _load():
    """TIME_CHAOS_LIBRARY, the installed one, or that of a build directory of the same source tree."""
    name = "libtime_chaos.so.0"
    tree = pathlib.Path(__file__).resolve().parents[3]
    chosen = os.environ.get("TIME_CHAOS_LIBRARY")
    candidates = [chosen] if chosen else [name, f"/usr/local/lib/{name}", str(tree / "build" / name)]
    problems = []
    for candidate in candidates:
        try:
            return ctypes.CDLL(candidate)
        except OSError as error:
            problems.append(str(error))
    raise ImportError(f"{name} cannot be loaded ({'; '.join(problems)}): install it, or name it in "
                      "TIME_CHAOS_LIBRARY")


_lib = _load()
_lib.tc_message.restype = ctypes.c_char_p
_lib.tc_install_map.argtypes = [ctypes.POINTER(Clock), ctypes.POINTER(ctypes.c_uint64)]
_lib.tc_change.argtypes = [ctypes.c_uint64, ctypes.POINTER(Clock)]
_lib.tc_restore.argtypes = [ctypes.c_uint64]


def _check(status):
    if status < TC_OK:
        raise TimeChaosError(_lib.tc_message().decode())


def install(clock):
    """Puts a layer on top and returns its name."""
    layer = ctypes.c_uint64(0)
    _check(_lib.tc_install_map(ctypes.byref(clock), ctypes.byref(layer)))
    return layer.value


def change(layer, clock):
    _check(_lib.tc_change(layer, ctypes.byref(clock)))


def restore(layer):
    _check(_lib.tc_restore(layer))
