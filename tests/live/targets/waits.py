# Timed waits as Python makes them, and as it made them before 3.11: by the wall clock.
import ctypes
import threading
import time

LENGTH = 0.3
libc = ctypes.CDLL(None)


class Timespec(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]


semaphore = ctypes.create_string_buffer(64)
libc.sem_init(semaphore, 0, 0)


def by_semaphore():
    end = time.clock_gettime_ns(time.CLOCK_REALTIME) + int(LENGTH * 1e9)
    libc.sem_timedwait(semaphore, ctypes.byref(Timespec(*divmod(end, 10**9))))


def measure(name, clock, wait):
    end = time.clock_gettime_ns(clock) + int(LENGTH * 1e9)
    wait()
    print(name, (time.clock_gettime_ns(clock) - end) // 1000, flush=True)


condition = threading.Condition()
while True:
    measure("semaphore", time.CLOCK_REALTIME, by_semaphore)
    measure("event", time.CLOCK_MONOTONIC, lambda: threading.Event().wait(LENGTH))
    with condition:
        measure("condition", time.CLOCK_MONOTONIC, lambda: condition.wait(LENGTH))
    measure("sleep", time.CLOCK_MONOTONIC, lambda: time.sleep(LENGTH))
