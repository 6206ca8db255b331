"""What a watch program saw (targets/watch.c): for every thread and way a list of spans, each of so many
readings that were between `low` and `high` ns ahead of the true time."""

import collections

from tap import Failed

MOST = 6  # threads, and spans of one, that a message lists
Span = collections.namedtuple("Span", "low high began ended count")


def spans_of(program):
    """(thread, way) -> [Span]"""
    found = collections.defaultdict(list)
    for line in program.lines:
        if line.startswith("span "):
            _, thread, way, *numbers = line.split()
            found[int(thread), way].append(Span(*map(int, numbers)))
    if not found:
        raise Failed(f"{program} printed no readings:\n{program.text()}")
    return found


def _describe(spans):
    more = f", ... {len(spans) - MOST} more" if len(spans) > MOST else ""
    return ", ".join(f"{span.count} readings {(span.low + span.high) / 2e9:+.3f} s"
                     f" from {span.began / 1e9:.3f} to {span.ended / 1e9:.3f}" for span in spans[:MOST]) + more


def check_spans(program, shifts, moments, only=None, order=True):
    """Checks that every way of reading went through exactly these shifts (in seconds), and that the
    changes came in time. `moments` has an earliest and a latest time for each change: no reading begun
    after the latest may be of the old shift, none over before the earliest of the new one. `only`: the
    ways that are checked. `order`: the way of that name is.

    Returns how many readings that were."""
    count, problems = 0, []
    for (thread, way), spans in sorted(spans_of(program).items()):
        if way == "order":
            found = _order_problems(spans, moments) if order else []
        elif only is None or only(way):
            found = _shift_problems(spans, shifts, moments)
        else:
            continue
        count += sum(span.count for span in spans)
        problems += [f"thread {thread} {way}: {problem}" for problem in found]
    if problems:
        more = [f"... and {len(problems) - MOST} more like these"] if len(problems) > MOST else []
        raise Failed(f"{program}:\n" + "\n".join(problems[:MOST] + more))
    return count


def _order_problems(spans, moments):
    """The engines do not change in the same instant; between the changes they must agree."""
    wrong = [span for span in spans if span.high != 0 and not any(
        earliest <= span.began and span.ended <= latest for earliest, latest in moments)]
    return [f"a system call outside the vDSO readings around it: {_describe(wrong)}"] if wrong else []


def _shift_problems(spans, shifts, moments):
    if len(spans) != len(shifts) or not all(
            span.low <= shift * 10**9 <= span.high for span, shift in zip(spans, shifts)):
        return [f"{_describe(spans)}; expected shifts of {shifts} s"]
    problems = []
    for old, new, (earliest, latest) in zip(spans, spans[1:], moments):
        if old.ended > latest:
            problems.append(f"shifted {(old.ended - latest) / 1e6:.3f} ms late")
        if new.began < earliest:
            problems.append(f"shifted {(earliest - new.began) / 1e6:.3f} ms early")
    return problems
