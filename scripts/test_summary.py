#!/usr/bin/env python3
"""Sums up what a run of scripts/test.sh did, from the JUnit files that ctest and
tests/vm/run.py wrote and from its other checks, and says why tests were skipped.

    test_summary.py RESULTS_DIRECTORY

RESULTS_DIRECTORY holds STEP.xml files (ctest --output-junit) and a file `checks` with lines
"passed NAME" or "failed NAME". The last line of the output is "N passed, N failed, N skipped". Exits
with 1 when anything failed, or when nothing ran at all.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

# What GoogleTest prints for GTEST_SKIP() << "reason": file:line: Skipped, and the reason below it. A benchmark:
# one line.
REASON = re.compile(r"(?:: Skipped\n(.*?)\n(?:\n|\[))|(?:^SKIPPED: (.*?)$)", re.DOTALL | re.MULTILINE)


def reason_of(case):
    if case.get("status") == "disabled":
        return "it is disabled"
    match = REASON.search(case.findtext("system-out") or "")
    if match and (match.group(1) or match.group(2)):
        return " ".join((match.group(1) or match.group(2)).split())
    # What tests/vm/run.py writes; ctest's own messages are single words.
    message = case.find("skipped").get("message") or ""
    return message if " " in message else "it does not say why"


def read_results(directory):
    passed, failed, skipped = 0, [], []
    for path in sorted(directory.glob("*.xml")):
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            name = f"{path.stem}: {case.get('name')}"
            if case.get("status") in ("notrun", "disabled") and case.find("skipped") is not None:
                skipped.append((name, reason_of(case)))
            elif case.get("status") == "run":
                passed += 1
            else:
                failed.append(name)
    checks = directory / "checks"
    for line in checks.read_text().splitlines() if checks.exists() else []:
        verdict, name = line.split(" ", 1)
        if verdict == "passed":
            passed += 1
        else:
            failed.append(name)
    return passed, failed, skipped


def print_skipped(skipped):
    """Each reason once, with the tests that it kept from running."""
    names = {}
    for name, reason in skipped:
        # "... # GetParam() = 4-byte object <02-00 00-00>"
        names.setdefault(reason, []).append(re.sub(r"\s+# GetParam\(\).*", "", name))
    print(f"\n{len(skipped)} SKIPPED:")
    for reason, tests in names.items():
        print(f"  {reason}: {len(tests)} test{'s' * (len(tests) > 1)}")
        for name in tests:
            print(f"    {name}")


def main():
    passed, failed, skipped = read_results(pathlib.Path(sys.argv[1]))
    if skipped:
        print_skipped(skipped)
    if failed:
        print(f"\n{len(failed)} FAILED:")
        for name in failed:
            print(f"  {name}")
    print(f"\n{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
