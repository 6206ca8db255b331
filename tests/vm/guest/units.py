"""Unit tests that depend on the kernel. The BPF engine's own (tests/unit/syscalls/bpf_*_test.cc): on a machine
that is locked down they skip; here they run. The library's (tests/unit/library), on this kernel's vDSO."""

import json
import os
import subprocess

import kernel
from tap import check

# What depends on the vDSO's code. The rest takes long under emulation.
LIBRARY = "MapsTest.*:CallbacksTest.*:*WaysTest*:*Cycles*-*ThreadsComeAndGo:*RestoreWaits*"

# Without those that look at a bash, which a guest has not.
MIRROR = "Mirror.*-*.OfAnotherProgram*:*.FollowsTheClockPage*:*.MovesTheVvarPagesOfAn*:*.LeavesNoTrace"


def _run(program, chosen):
    """The names of what passed and of what was skipped. Nothing may fail."""
    results = f"/tmp/{program}.json"
    done = subprocess.run([f"/targets/{program}", f"--gtest_filter={chosen}", f"--gtest_output=json:{results}"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=400)
    check(os.path.exists(results), f"{program} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    ran, skipped, failed = [], [], []
    for suite in json.load(open(results))["testsuites"]:
        for test in suite["testsuite"]:
            name = f"{suite['name']}.{test['name']}"
            if "failures" in test:
                failed += [f"{name}:\n{failure['failure']}" for failure in test["failures"]]
            (skipped if test["result"] == "SKIPPED" else ran).append(name)
    check(not failed, "\n".join(failed))
    check(done.returncode == 0, f"{program} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return ran, skipped


def _lacking():
    """The tests that this kernel cannot run, and the hooks that it does not load."""
    since = {"FunctionExit": (6, 1), "ReturnProbe": (6, 12), "Probes": (6, 12), "IsShiftedWhereTheKernelLetsIt": (7, 1)}
    return {what for what, first in since.items() if kernel.release() < first}


def bpf_units():
    ran, skipped = _run("unit_syscalls", "Bpf*:*/Bpf*:Kernel*:Preemption*")
    # "Hook/BpfCalls.TheOthers/ReturnProbe", "BpfTime.IsShifted"
    lacking = {name.split("/")[-1] if "/" in name else name.split(".")[-1] for name in skipped}
    check(lacking == _lacking(), f"skipped: {sorted(skipped)}")
    return [f"{len(ran)} passed, {len(skipped)} skipped: {sorted(lacking)}"]


def mirror_units():
    ran, skipped = _run("unit_vdso", MIRROR)
    check(not skipped, f"skipped: {sorted(skipped)}")
    return [f"{len(ran)} passed"]


def library_units():
    ran, skipped = _run("unit_library", LIBRARY)
    check(not skipped, f"skipped: {sorted(skipped)}")
    return [f"{len(ran)} passed"]


CASES = [("the BPF engine's unit tests", bpf_units, ("tsc",)),
         ("the library's unit tests", library_units, ("tsc",))]
# Where the vvar pages need not move in every mirror, and a vDSO can be sealed.
if kernel.release() >= (6, 12):
    CASES.append(("the mirror's unit tests", mirror_units, ("tsc",)))
