"""Runs cases and prints their results as TAP (testanything.org), inside the guest."""

import fnmatch
import time


class Failed(Exception):
    """What was expected and what was seen."""


class Skip(Exception):
    """Why a case cannot be run here."""


def check(condition, *why):
    if not condition:
        raise Failed(" ".join(str(part) for part in why))


def run(cases, wanted):
    """`cases` are (name, function). Returns how many failed."""
    cases = [case for case in cases if fnmatch.fnmatch(case[0], wanted)]
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    for number, (name, function) in enumerate(cases, start=1):
        began = time.monotonic()
        comments, verdict, remark = [], "ok", ""
        try:
            comments = function() or []
        except Skip as why:
            remark = f" # SKIP {why}"
        except Failed as why:
            verdict, comments = "not ok", str(why).splitlines()
        except Exception:  # a case that breaks must not take the others with it
            import traceback  # slow to import here, and seldom wanted
            verdict, comments = "not ok", traceback.format_exc().splitlines()
        failed += verdict != "ok"
        print(f"{verdict} {number} - {name}{remark}", flush=True)
        for comment in comments:
            print(f"# {comment}", flush=True)
        print(f"# took {time.monotonic() - began:.2f} s", flush=True)
    return failed
