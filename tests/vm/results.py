"""What the guests said: TAP in, lines for people and JUnit for scripts/test_summary.py out."""

import dataclasses
import json
import re
import sys
import xml.etree.ElementTree as ElementTree

RESULT = re.compile(r"(ok|not ok) \d+ - (.*?)(?: # SKIP (.*))?")


@dataclasses.dataclass
class Test:
    name: str
    verdict: str       # passed, failed, skipped
    comments: list
    reason: str = ""   # of a skipped one


@dataclasses.dataclass
class Boot:
    name: str          # 6.12 hpet
    tests: list
    seconds: float
    boots: int = 1     # how often it was tried
    log: str = ""      # where something went wrong that no test tells of


def telling_part(console):
    """A kernel that dies says why first, and then prints many lines more."""
    lines = console.splitlines()
    first = next((at for at, line in enumerate(lines) if re.search(r"Oops|\bBUG:|int3:|general protection", line)),
                 len(lines) - 40)
    return lines[max(first, 0):][:60]


def parse(name, outcome):
    planned, tests, heading = None, [], []
    for line in outcome.output.splitlines():
        plan, result = re.fullmatch(r"1\.\.(\d+)", line), RESULT.fullmatch(line)
        if plan:
            planned = int(plan.group(1))
        elif result:
            verdict = "skipped" if result.group(3) else "passed" if result.group(1) == "ok" else "failed"
            tests.append(Test(result.group(2), verdict, [], result.group(3) or ""))
        elif line.startswith("# "):
            (tests[-1].comments if tests else heading).append(line[2:])
        elif line:
            (tests[-1].comments if tests else heading).append(line)
    log = ""
    if outcome.problem or planned is None or planned != len(tests):
        why = outcome.problem or f"{len(tests)} of {planned} cases gave a result"
        log = "\n".join([why, *heading, *outcome.output.splitlines()[-20:], *telling_part(outcome.console)])
        tests.append(Test("the guest runs to its end", "failed", [why]))
    return Boot(name, tests, outcome.seconds, outcome.boots, log)


def skipped(series, why):
    return Boot(series, [Test("the kernel boots", "skipped", [], why)], 0)


def show(boot, verbose):
    counts = [f"{sum(test.verdict == verdict for test in boot.tests)} {verdict}"
              for verdict in ("passed", "failed", "skipped")]
    again = f", boot {boot.boots}: see above" if boot.boots > 1 else ""
    print(f"{boot.name}: {', '.join(counts)} ({boot.seconds:.0f} s{again})", flush=True)
    for test in boot.tests:
        if verbose or test.verdict != "passed":
            print(f"  {test.verdict.upper()} {test.name}{': ' + test.reason if test.reason else ''}")
            for comment in test.comments if verbose or test.verdict == "failed" else []:
                print(f"    {comment}")
    if boot.log:
        print(boot.log, flush=True)


def summary(done):
    tests = [test for boot in done for test in boot.tests]
    count = {verdict: sum(test.verdict == verdict for test in tests) for verdict in ("passed", "failed", "skipped")}
    again = sum(boot.boots - 1 for boot in done)
    if again:
        print(f"{again} boots were tried again")
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 1 if count["failed"] or not count["passed"] else 0


def write_junit(done, path):
    """As ctest writes it: what scripts/test_summary.py reads."""
    suite = ElementTree.Element("testsuite", name="vm")
    for boot in done:
        for test in boot.tests:
            status = {"passed": "run", "failed": "fail", "skipped": "notrun"}[test.verdict]
            case = ElementTree.SubElement(suite, "testcase", name=f"{boot.name}: {test.name}", status=status)
            if test.verdict == "skipped":
                ElementTree.SubElement(case, "skipped", message=test.reason)
            if test.verdict == "failed":
                ElementTree.SubElement(case, "failure", message="\n".join(test.comments))
    ElementTree.ElementTree(suite).write(path)


CALLS = {"sys_clock_gettime": "clock_gettime, system call", "getppid": "getppid", "clock_gettime": "clock_gettime, vDSO",
         "capable": "reboot, refused: asks for a capability"}


def show_measurements(runs):
    """A table in Markdown: ns, and how many times the native call of the same run. `runs` are pairs of a
    name and an outcome."""
    print("| kernel | hooks | call | native | target, bpf | other program, bpf on | target, ptrace |")
    print("|---|---|---|--:|--:|--:|--:|")
    failed = 0
    for name, outcome in runs:
        line = next((line for line in outcome.output.splitlines() if line.startswith("MEASURED ")), None)
        if line is None:
            print(f"{name}: {outcome.problem or 'failed'}\n{outcome.output}", file=sys.stderr)
            failed = 1
            continue
        measured = json.loads(line.removeprefix("MEASURED "))
        for call, words in CALLS.items():
            native = measured["ns"]["native"][call]
            cells = [name, measured["hooks"], words, f"{native:.0f} ns"]
            for who in ("target", "other", "ptrace"):
                value = measured["ns"][who][call]
                cells.append(f"{value:.0f} ns, x{value / native:.2f}")
            print(f"| {' | '.join(cells)} |", flush=True)
    return failed
