"""The cases that are one course of events with other targets, flags and expectations (shift.py)."""

from shift import HOUR, Shift

EVERYWHERE = ("tsc", "full", "hpet")

CASES = [
    # The same time in the same second, whichever way it is asked for. With hpet every vDSO call falls
    # back to a system call inside the vDSO, which must be shifted once and not twice.
    Shift("raw, vdso and mixed programs read one time", ("raw", "vdso", "mixed"), boots=EVERYWHERE),
    Shift("musl, Go and Python programs", ("musl", "go", "python"), shift=2 * HOUR, boots=("tsc", "hpet")),
    Shift("32-bit program", ("32",), ("--engine-vdso", "off"), vdso=False),
    Shift("set changes both engines", ("mixed", "raw"), then_set=HOUR),
    Shift("bpf asked for by name, many threads", ("mixed",), ("--engine-syscalls", "bpf"), threads=24),
    Shift("system calls only", ("mixed",), ("--engine-vdso", "off"), vdso=False, boots=("tsc", "hpet")),
    Shift("vdso only", ("vdso", "mixed"), ("--engine-syscalls", "off"), engines="off"),
    Shift("ptrace asked for by name", ("mixed", "raw"), ("--engine-syscalls", "ptrace"), engines="ptrace"),
    # What the slots lead to calls the vDSO, and for system calls the kernel first: shifted once all the same.
    Shift("GOT slots", ("vdso", "mixed"), ("--engine-vdso", "plt"), engines="off", boots=("tsc", "hpet"), plt=True),
    Shift("GOT slots and bpf", ("vdso", "mixed"), ("--engine-vdso", "plt", "--engine-syscalls", "bpf"),
          boots=("tsc", "hpet"), plt=True),
    # Booted with vdso=0: there is nothing to detour, every reading is a system call.
    Shift("no vDSO", ("mixed", "go", "python"), vdso=False, boots=("novdso",)),
    # Secure Boot's lockdown forbids BPF to write memory: ptrace serves, and the agent says so.
    Shift("lockdown: ptrace serves instead", ("raw", "vdso", "mixed"), engines="ptrace", boots=("lockdown",),
          says=("lockdown",)),
]
