"""Children, and programs that they execute, have the target's clock from their first instruction on, and
their own back with it."""

import os
import signal
import time

import kernel
from programs import Stage, now, read_once_more, time_chaos
from shift import HOUR, bpf_cannot_shift, check_nothing_left, recover, status_of, wait_until_shifted
from spans import check_spans
from tap import Skip, check

CHILDREN = 96  # twice each program, in each way of starting it
MANY = 500
BURST = 2000
CONFIG = "/tmp/clock.yaml"


def _configure(offset):
    """What agents are to show that were given this file."""
    with open(CONFIG, "w", encoding="ascii") as file:
        file.write(f"offset: {offset}s\n")


def _also():
    return "notime" if bpf_cannot_shift("time") else "time"


def _ask(spawn, children, shift):
    return _answer(spawn, f"children {children} {shift} {_also()}", children)


def _answer(spawn, question, least):
    def is_answer(line):
        return line.startswith("readings ")

    before = len([line for line in spawn.lines if is_answer(line)])
    spawn.tell(question)
    spawn.wait_for(lambda _: len([line for line in spawn.lines if is_answer(line)]) > before, 120)
    answer = [line for line in spawn.lines if is_answer(line)][-1].split()
    readings, wrong = int(answer[1]), int(answer[3])
    check(wrong == 0, f"{wrong} of {readings} readings were wrong:", spawn.text())
    check(readings >= least, f"only {readings} readings")
    return readings


def _read_once_more(spawn, child):
    """Returns when both threads of that descendant have read the clock in every way once more."""
    laps = spawn.lines.count("lap") + 2
    os.kill(child, signal.SIGUSR1)
    spawn.wait_for(lambda _: spawn.lines.count("lap") >= laps)


def _execute(spawn):
    """A child of it that executes a program with two threads: (pid, what status says of all)."""
    spawn.tell("run /targets/watch_mixed 2")
    spawn.wait_for(lambda _: spawn.lines.count("ready") == 2)
    _, text = time_chaos("status")
    (child,) = [int(line.split()[0]) for line in text.splitlines() if "watch_mixed" in line]
    return child, text


def _end(spawn, child):
    """Ends that program, and waits for what it has to say."""
    os.kill(child, signal.SIGTERM)
    for thread in (0, 1):  # of each thread the last line
        spawn.wait_for(lambda line, thread=thread: line.startswith(f"span {thread} order"))


def every_descendant():
    return _descendants(CHILDREN)


def many_descendants():
    return _descendants(MANY)


def burst():
    """Programs that live for a moment: none is lost, and the agent has nothing to do for them."""
    with Stage() as stage:
        spawn = stage.program("/targets/spawn")
        agent = stage.agent([spawn], f"--offset={-HOUR}s", "--lease=1h")
        wait_until_shifted(agent, [spawn])
        used, began = kernel.cpu_seconds(agent.pid), time.monotonic()
        readings = _answer(spawn, f"burst {BURST} {-HOUR}", BURST)
        took, used = time.monotonic() - began, kernel.cpu_seconds(agent.pid) - used
        check(readings == BURST, readings, "readings of", BURST, "programs")
        check(used <= 0.05 * took, f"the agent used {used:.2f} s of {took:.2f} s")
        recover(agent)
        _answer(spawn, "burst 40 0", 40)
    return [f"{readings} programs in {took:.1f} s, the agent used {used:.2f} s"]


def _descendants(children):
    """A supervisor that starts programs of every kind in every way: before, while it is shifted, after."""
    before = kernel.bpf_objects()
    with Stage() as stage:
        spawn = stage.program("/targets/spawn")
        readings = _ask(spawn, 12, 0)
        agent = stage.agent([spawn], f"--offset={-HOUR}s")
        wait_until_shifted(agent, [spawn])
        shifted = _ask(spawn, children, -HOUR)
        bpf = status_of([spawn])[spawn.pid]["bpf"]
        check(bpf["programs"]["refused"] == 0, "vDSOs that could not be hidden:", bpf)
        check(bpf["programs"]["hidden"] >= children, "too few vDSOs were hidden:", bpf)
        recover(agent)
        readings += _ask(spawn, 12, 0)
    check_nothing_left(before)
    return [f"{shifted} readings of descendants shifted, {readings} before and after true"]


def long_lived():
    """A program that was executed reads through set and recover what its parent reads."""
    before = kernel.bpf_objects()
    with Stage() as stage:
        spawn = stage.program("/targets/spawn")
        agent = stage.agent([spawn], f"--offset={-HOUR}s")
        wait_until_shifted(agent, [spawn])
        child, text = _execute(spawn)
        check("vDSO hidden" in text, "status does not say how it is shifted:", text)
        _read_once_more(spawn, child)
        asked = now()
        code, text = time_chaos("set", f"--pid={child}", f"--offset={HOUR}s")
        check(code == 0, f"set exits with {code}: {text}")
        moments = [(asked, now())]
        check(_ask(spawn, 4, HOUR) >= 4, "its parent was not set with it")
        _read_once_more(spawn, child)
        moments.append(recover(agent))
        check(f"recovered {child}" in agent.text(), "the agent does not name it:", agent.text())
        _ask(spawn, 4, 0)
        _read_once_more(spawn, child)
        _end(spawn, child)
        # It took the shifted clock for the true one.
        readings = check_spans(spawn, [0, 2 * HOUR, HOUR], moments,
                               lambda way: not bpf_cannot_shift(way), order=False)
    check_nothing_left(before)
    return [f"{readings} readings, all as they should be"]


def orphans():
    """The agent stays while a descendant of its target lives, and recovers it."""
    before = kernel.bpf_objects()
    with Stage() as stage:
        spawn = stage.program("/targets/spawn")
        agent = stage.agent([spawn], f"--offset={-HOUR}s")
        wait_until_shifted(agent, [spawn])
        child, _ = _execute(spawn)
        spawn.process.send_signal(signal.SIGKILL)
        agent.wait_for(lambda line: "ended" in line or "gone" in line)
        check(agent.running(), "the agent left with its target:", agent.text())
        _, text = time_chaos("status")
        check(f"{child} watch_mixed" in text, "status does not show the orphan:", text)
        _read_once_more(spawn, child)
        moments = [recover(agent)]
        check(f"recovered {child}" in agent.text(), "the agent does not name the orphan:", agent.text())
        _read_once_more(spawn, child)
        _end(spawn, child)
        readings = check_spans(spawn, [0, HOUR], moments, lambda way: not bpf_cannot_shift(way), order=False)
    check_nothing_left(before)
    return [f"{readings} readings of an orphan, all as they should be"]


def restarted():
    """A name is followed: what is started by that name later is shifted from its first reading on, as the agent's
    file of options says by then."""
    before = kernel.bpf_objects()
    _configure(-HOUR)
    with Stage() as stage:
        first, other = stage.watch("mixed", 1), stage.watch("raw", 1)
        agent = stage.agent([], "--name=watch_mixed", f"--config={CONFIG}")
        wait_until_shifted(agent, [first])
        first.process.send_signal(signal.SIGKILL)
        agent.wait_for(lambda line: line.startswith(f"{first.pid}") and "ended" in line)
        check(agent.running(), "the agent left with its target:", agent.text())
        _configure(HOUR)
        agent.wait_for(lambda line: line.startswith(f"{first.pid} ") and "who comes after it: wall +1h" in line)
        second = stage.watch("mixed", 2)
        _, text = time_chaos("status")
        check(f"{second.pid} watch_mixed" in text, "status does not show the restarted program:", text)
        check("--name watch_mixed is followed by bpf" in text, "status does not say how:", text)
        agent.wait_for(lambda line: line.startswith(f"{second.pid} watch_mixed has come by"))
        read_once_more([second])
        moments = [recover(agent)]
        check(f"recovered {second.pid}" in agent.text(), "the agent does not name it:", agent.text())
        read_once_more([second])
        second.end()
        readings = check_spans(second, [0, -HOUR], moments, lambda way: not bpf_cannot_shift(way), order=False)
        third = stage.watch("mixed", 1)  # after it
        for program in (other, third):
            read_once_more([program])
            program.end()
            check_spans(program, [0], [])
    check_nothing_left(before)
    return [f"{readings} readings, all as they should be"]


def restarted_late():
    """Longer than a lease after its predecessor: the shift is still there."""
    with Stage() as stage:
        first = stage.watch("mixed", 1)
        agent = stage.agent([], "--name=watch_mixed", f"--offset={-HOUR}s", "--lease=2s")
        wait_until_shifted(agent, [first])
        first.process.send_signal(signal.SIGKILL)
        time.sleep(5)
        second = stage.watch("mixed", 1)
        read_once_more([second])
        moments = [recover(agent)]
        read_once_more([second])
        second.end()
        readings = check_spans(second, [0, HOUR], moments, lambda way: not bpf_cannot_shift(way), order=False)
    return [f"{readings} readings, all as they should be"]


def names_in_a_container():
    """A name means the agent's own processes: what is started under it in its pid namespace is shifted, and nothing
    outside."""
    with Stage() as stage:
        inner = stage.program("unshare", "-m", "-p", "-f", "sh", "-c", """
            mount -t proc proc /proc
            /targets/watch_mixed 1 > /tmp/named & target=$!
            until grep -q ready /tmp/named; do sleep 0.1; done
            time-chaos agent --name watch_mixed --offset 1h > /tmp/agent 2>&1 & agent=$!
            until grep -q ^checked: /tmp/agent || ! kill -0 $agent 2>/dev/null; do sleep 0.1; done
            /targets/watch_mixed 1 > /tmp/second & second=$!
            # In a pid namespace below, too.
            unshare -p -f /targets/watch_mixed 1 > /tmp/third & third=$!
            until grep -q ready /tmp/second && grep -q ready /tmp/third; do sleep 0.1; done
            echo shifted; read over
            kill -INT $agent; wait $agent; echo "agent $?"; sleep 0.1
            kill $target $second $(cat /proc/$third/task/$third/children); wait $second; wait $third
            cat /tmp/agent /tmp/second; sed 's/^span 0/span 1/' /tmp/third
            """, ready=None)
        inner.wait_for(lambda line: line == "shifted")
        watch = stage.watch("mixed", 1)
        read_once_more([watch])
        inner.tell("over")
        inner.read_to_end()
        check("agent 0" in inner.lines, f"the agent in the namespace failed:\n{inner.text()}")
        # Began with the clock an hour ahead, and was given back the true one.
        inside = check_spans(inner, [0, -HOUR], [(0, 2**63)], lambda way: not bpf_cannot_shift(way), order=False)
        # Started under that name while the agent was there: what it took for true time is true.
        read_once_more([watch])
        watch.end()
        outside = check_spans(watch, [0], [])
    return [f"{inside} readings inside, {outside} outside, all as they should be"]


def control_group():
    """All of a control group, what is started in it and what is moved into it later included, and nothing beside it."""
    if kernel.release() < (5, 15):
        raise Skip("programs in this kernel cannot ask for control groups")
    before = kernel.bpf_objects()
    group = "/sys/fs/cgroup/tc-test/below"
    os.makedirs(group)

    def start_in(directory):
        def move():
            with open(directory + "/cgroup.procs", "w") as file:
                file.write("0")
        return stage.program("/targets/watch_mixed", "1", preexec_fn=move)

    with Stage() as stage:
        first, beside, moved = start_in(group), stage.watch("mixed", 1), stage.watch("mixed", 1)
        agent = stage.agent([], "--cgroup=/sys/fs/cgroup/tc-test", f"--offset={-HOUR}s")
        wait_until_shifted(agent, [first])
        first.process.send_signal(signal.SIGKILL)
        second = start_in(group)
        _, text = time_chaos("status", "--cgroup=/tc-test")
        check(f"{second.pid} watch_mixed" in text, "status does not show the one started later:", text)
        read_once_more([second, beside, moved])
        shifting = now()
        with open(group + "/cgroup.procs", "w") as file:
            file.write(str(moved.pid))
        agent.wait_for(lambda line: line.startswith(f"{moved.pid} watch_mixed has come by"))
        agent.wait_for(lambda _: sum(line.startswith("checked:") for line in agent.lines) == 2)
        moments = [(shifting, now())]
        read_once_more([second, beside, moved])
        moments.append(recover(agent))
        read_once_more([second, beside, moved])
        for program in (second, beside, moved):
            program.end()
        check_spans(beside, [0], [])
        check_spans(moved, [0, -HOUR, 0], moments, lambda way: not bpf_cannot_shift(way), order=False)
        del moments[0]
        readings = check_spans(second, [0, HOUR], moments, lambda way: not bpf_cannot_shift(way), order=False)
    os.rmdir(group)
    os.rmdir("/sys/fs/cgroup/tc-test")
    check_nothing_left(before)
    return [f"{readings} readings, all as they should be"]


def executes_itself():
    """A target that becomes another program stays one, also for the agent's file of options."""
    before = kernel.bpf_objects()
    _configure(-HOUR)
    with Stage() as stage:
        spawn = stage.program("/targets/spawn")
        agent = stage.agent([spawn], f"--config={CONFIG}")
        wait_until_shifted(agent, [spawn])
        spawn.tell("exec /targets/watch_mixed 2")
        spawn.wait_for(lambda _: spawn.lines.count("ready") == 2)
        spawn.watchers = 2
        read_once_more([spawn])
        asked = now()
        _configure(HOUR)
        agent.wait_for(lambda line: line.startswith(f"{spawn.pid} ") and ", set in " in line)
        moments = [(asked, now())]
        read_once_more([spawn])
        moments.append(recover(agent))
        check(f"recovered {spawn.pid}" in agent.text(), "the agent does not name it:", agent.text())
        read_once_more([spawn])
        spawn.end()
        # It took the shifted clock for the true one.
        readings = check_spans(spawn, [0, 2 * HOUR, HOUR], moments, lambda way: not bpf_cannot_shift(way), order=False)
    check_nothing_left(before)
    return [f"{readings} readings, all as they should be"]


CASES = [
    ("every descendant is shifted", every_descendant, ("full", "hpet")),
    ("every one of many descendants is shifted", many_descendants, ("tsc",)),
    ("a burst of programs", burst, ("tsc",)),
    ("a program that was executed", long_lived, ("tsc",)),
    ("orphans", orphans, ("tsc",)),
    ("a restarted program, by name", restarted, ("tsc",)),
    ("a program that is restarted after a lease", restarted_late, ("tsc",)),
    ("a name that is followed in a container", names_in_a_container, ("tsc",)),
    ("a control group", control_group, ("tsc",)),
    ("a target that executes another program", executes_itself, ("tsc",)),
]
