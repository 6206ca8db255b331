"""Runs the cases of one boot, inside the guest.

main.py BOOT [PATTERN]      BOOT: tsc full hpet lockdown novdso, what the kernel was booted with; PATTERN: of names
main.py measure             what calls cost, as JSON
"""

import json
import subprocess
import sys

import births
import cases
import kernel
import left
import lengths
import lives
import load
import readings
import shift
import starts
import tap
import units
import waits


def cases_of(boot):
    found = [(case.name, lambda case=case: shift.run(case)) for case in cases.CASES if boot in case.boots]
    for module in (readings, lives, births, waits, lengths, left, units, load, starts):
        found += [(name, function) for name, function, boots in module.CASES if boot in boots]
    return found


def copy_btf():
    """The kernel hands out the description of its types 4 KiB at a time. That takes an emulated processor a
    quarter of a second, and an agent reads it several times: from a copy in memory that is done at once."""
    kernels, copy = "/sys/kernel/btf/vmlinux", "/tmp/vmlinux.btf"
    with open(kernels, "rb") as source, open(copy, "wb") as into:
        into.write(source.read())
    subprocess.run(["mount", "--bind", copy, kernels], check=True)


def main():
    boot, pattern = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "*"
    print(f"# clock source {kernel.clock_source()}, preemption {kernel.preemption()}", flush=True)
    if boot == "measure":
        import measure
        print("MEASURED", json.dumps(measure.run()), flush=True)
        return 0
    if boot not in ("lockdown", "novdso"):
        copy_btf()
    return min(tap.run(cases_of(boot), pattern), 100)


sys.exit(main())
