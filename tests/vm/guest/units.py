"""The BPF engine's own tests (tests/unit/syscalls/bpf_*_test.cc): on a machine that is locked down they
skip; here they run."""

import json
import subprocess

from tap import check

PROGRAM = "/targets/unit_syscalls"
FILTER = "Bpf*:*/Bpf*:Kernel*:Preemption*"
RESULTS = "/tmp/unit_syscalls.json"


def bpf_units():
    done = subprocess.run([PROGRAM, f"--gtest_filter={FILTER}", f"--gtest_output=json:{RESULTS}"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=400)
    results = json.load(open(RESULTS))
    ran, skipped, failed = [], [], []
    for suite in results["testsuites"]:
        for test in suite["testsuite"]:
            name = f"{suite['name']}.{test['name']}"
            into = skipped if test["result"] == "SKIPPED" else failed if test.get("failures") else ran
            into.append(name)
    check(done.returncode == 0 and not failed, f"{failed or done.returncode} failed:\n{done.stdout[-3000:]}")
    check(any("BpfCalls" in name for name in ran), f"they all skip:\n{done.stdout[-3000:]}")
    # "Hook/BpfCalls.TheOthers/ReturnProbe": the hooks that this kernel does not load.
    return [f"{len(ran)} passed, {len(skipped)} skipped: {sorted({name.split('/')[-1] for name in skipped})}"]


CASES = [("the BPF engine's unit tests", bpf_units, ("tsc",))]
