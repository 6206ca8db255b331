"""Unit tests that depend on the kernel. The BPF engine's own (tests/unit/syscalls/bpf_*_test.cc): on a machine
that is locked down they skip; here they run. The library's (tests/unit/library), on this kernel's vDSO."""

import json
import os
import subprocess

from tap import check

# What depends on the vDSO's code. The rest takes long under emulation.
LIBRARY = "MapsTest.*:CallbacksTest.*:*WaysTest*:*Cycles*-*ThreadsComeAndGo:*RestoreWaits*"


def _run(program, chosen):
    """The names of what passed and of what was skipped, and what was printed. Nothing may fail."""
    results = f"/tmp/{program}.json"
    done = subprocess.run([f"/targets/{program}", f"--gtest_filter={chosen}", f"--gtest_output=json:{results}"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=400)
    check(os.path.exists(results), f"{program} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    ran, skipped, failed = [], [], []
    for suite in json.load(open(results))["testsuites"]:
        for test in suite["testsuite"]:
            name = f"{suite['name']}.{test['name']}"
            into = skipped if test["result"] == "SKIPPED" else failed if test.get("failures") else ran
            into.append(name)
    check(done.returncode == 0 and not failed, f"{failed or done.returncode} failed:\n{done.stdout[-3000:]}")
    return ran, skipped, done.stdout


def bpf_units():
    ran, skipped, printed = _run("unit_syscalls", "Bpf*:*/Bpf*:Kernel*:Preemption*")
    check(any("BpfCalls" in name for name in ran), f"they all skip:\n{printed[-3000:]}")
    # "Hook/BpfCalls.TheOthers/ReturnProbe": the hooks that this kernel does not load.
    return [f"{len(ran)} passed, {len(skipped)} skipped: {sorted({name.split('/')[-1] for name in skipped})}"]


def library_units():
    ran, skipped, _ = _run("unit_library", LIBRARY)
    return [f"{len(ran)} passed, {len(skipped)} skipped: {sorted(skipped)}"]


CASES = [("the BPF engine's unit tests", bpf_units, ("tsc",)),
         ("the library's unit tests", library_units, ("tsc",))]
