"""Prints the wall clock and the monotonic clock as CPython reads them."""
import time

while True:
    mono = time.monotonic_ns()
    rt = time.time_ns()
    print(f"rt {rt // 10**9}.{rt % 10**9:09} mono {mono // 10**9}.{mono % 10**9:09}", flush=True)
    time.sleep(0.02)
