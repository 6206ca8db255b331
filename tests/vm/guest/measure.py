"""What calls cost a target, other programs, and a machine without us, in one run: the phases take turns,
so that whatever else the machine does falls on all of them alike. Figures are medians over all rounds."""

import statistics

from programs import Stage
from shift import HOUR, recover, status_of, wait_until_shifted

TURNS, ROUNDS, CALLS = 4, 5, 4000
PTRACE_CALLS = 40
WARM_UP = "1 500"


def _measure(program, calls=CALLS):
    program.ask(WARM_UP)
    found, name = {}, None
    for word in program.ask(f"{ROUNDS} {calls}").split():
        if word[0].isalpha():
            name = word
            found[name] = []
        else:
            found[name].append(float(word))
    return found


def run():
    phases = {}  # who -> call -> [ns]

    def take(who, program, calls=CALLS):
        for call, values in _measure(program, calls).items():
            phases.setdefault(who, {}).setdefault(call, []).extend(values)

    hooks = ""
    for _ in range(TURNS):
        with Stage() as stage:
            target, other = stage.program("/targets/cost"), stage.program("/targets/cost")
            take("native", target)
            agent = stage.agent([target], f"--offset={HOUR}s", "--engine-syscalls=bpf")
            wait_until_shifted(agent, [target])
            hooks = status_of([target])[target.pid]["bpf"]["hooks"]
            take("target", target)
            take("other", other)
            recover(agent)
            take("native", other)
            agent = stage.agent([target], f"--offset={HOUR}s", "--engine-syscalls=ptrace")
            wait_until_shifted(agent, [target], "ptrace")
            take("ptrace", target, PTRACE_CALLS)
            recover(agent)
    medians = {who: {call: statistics.median(values) for call, values in calls.items()}
               for who, calls in phases.items()}
    return {"hooks": hooks, "ns": medians}
