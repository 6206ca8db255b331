"""Freeze, shift and speed up the wall clock of this process: of Python, of C extensions, of all threads.

    with time_chaos.freeze(datetime(2030, 1, 1, tzinfo=timezone.utc)) as clock:
        ...
        clock.tick(timedelta(minutes=5))

    @time_chaos.shift(timedelta(days=-1))
    def test_yesterday(): ...

freeze(), shift() and rate() are context managers and decorators (of functions, coroutine functions and
test classes), and nest: the innermost decides. Dates without a zone are UTC. Only the wall clock moves
(time.time(), datetime.now(), and what C code reads); time.monotonic() and time.sleep() run in real time.
Subprocesses that execute another program have their own clock: start them by "time-chaos run".
"""

import datetime
import functools
import inspect

from ._library import AT, BY_OFFSET, FROM_NOW, Clock, TimeChaosError, change, install, restore

__all__ = ["freeze", "shift", "rate", "Freeze", "Shift", "Rate", "TimeChaosError"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_MICROSECOND = datetime.timedelta(microseconds=1)


def _span(value):
    """Nanoseconds of a timedelta, or of a number of seconds."""
    if isinstance(value, datetime.timedelta):
        return value // _MICROSECOND * 1000
    if isinstance(value, int):
        return value * 10**9
    if isinstance(value, float):
        return round(value * 10**9)
    raise TypeError(f"a timedelta or seconds are needed, not {value!r}")


def _instant(value):
    """Nanoseconds since 1970 of a datetime, a date, an ISO 8601 string or a number of seconds."""
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.timezone.utc)
        return _span(value - _EPOCH)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _span(value)
    raise TypeError(f"a date is needed, not {value!r}")


class _Layer:
    """What is on while its `with` block, or the function that it decorates, runs."""

    def __init__(self):
        self._layers = []  # as a decorator it may be on more than once, by recursion and threads

    def _request(self):
        raise NotImplementedError

    def start(self):
        self._layers.append(install(self._request()))
        return self

    def stop(self):
        if not self._layers:
            raise TimeChaosError("it is not on")
        restore(self._layers.pop())

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _change(self, request):
        if not self._layers:
            raise TimeChaosError("it is not on")
        change(self._layers[-1], request)

    def _copy(self):
        raise NotImplementedError

    def __call__(self, decorated):
        if inspect.isclass(decorated):
            return self._decorate_class(decorated)
        if inspect.iscoroutinefunction(decorated):
            @functools.wraps(decorated)
            async def coroutine(*args, **kwargs):
                with self._copy():
                    return await decorated(*args, **kwargs)
            return coroutine

        @functools.wraps(decorated)
        def function(*args, **kwargs):
            with self._copy():
                return decorated(*args, **kwargs)
        return function

    def _decorate_class(self, decorated):
        """Each test of it starts anew, as unittest and pytest call them."""
        for name, member in list(vars(decorated).items()):
            if name.startswith("test") and inspect.isfunction(member):
                setattr(decorated, name, self(member))
        return decorated


class Freeze(_Layer):
    """The clock stands still at `at`, or where it is, until it is moved."""

    def __init__(self, at=None):
        super().__init__()
        self._at = None if at is None else _instant(at)
        self._shown = self._at

    def _copy(self):
        copy = Freeze()
        copy._at = copy._shown = self._at
        return copy

    def _request(self):
        if self._at is None:
            return Clock.of(FROM_NOW, rate=0.0)
        return Clock.of(AT, self._at, rate=0.0)

    def start(self):
        import time
        super().start()
        self._shown = time.time_ns()
        return self

    def move_to(self, at):
        """To a date."""
        instant = _instant(at)
        self._change(Clock.of(AT, instant, rate=0.0))
        self._shown = instant

    def tick(self, by=datetime.timedelta(seconds=1)):
        """On (or back) by so much."""
        instant = self._shown + _span(by)
        self._change(Clock.of(AT, instant, rate=0.0))
        self._shown = instant


class Shift(_Layer):
    """The clock is ahead of real time by `by`, or behind it."""

    def __init__(self, by):
        super().__init__()
        self._by = _span(by)

    def _copy(self):
        copy = Shift(0)
        copy._by = self._by
        return copy

    def _request(self):
        return Clock.of(BY_OFFSET, self._by)

    def move_to(self, by):
        """By so much from real time, from now on."""
        span = _span(by)
        self._change(Clock.of(BY_OFFSET, span))


class Rate(_Layer):
    """The clock runs `factor` times as fast, from where it is or from `at`."""

    def __init__(self, factor, at=None):
        super().__init__()
        self._factor = float(factor)
        self._at = None if at is None else _instant(at)

    def _copy(self):
        copy = Rate(self._factor)
        copy._at = self._at
        return copy

    def _request(self):
        if self._at is None:
            return Clock.of(FROM_NOW, rate=self._factor)
        return Clock.of(AT, self._at, rate=self._factor)

    def change_to(self, factor):
        """From what it shows."""
        self._change(Clock.of(FROM_NOW, rate=float(factor)))


freeze = Freeze
shift = Shift
rate = Rate
