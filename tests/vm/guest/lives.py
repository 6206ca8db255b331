"""Cases about how an experiment ends, and about where the agent runs and what it may do."""

import errno
import signal
import time

import kernel
from programs import Stage, now, read_once_more, time_chaos
from shift import HOUR, bpf_cannot_shift, check_nothing_left, recover, wait_until_shifted
from spans import check_spans
from tap import check


def _bpf_only(objects):
    return {one for one in objects if not one.startswith("directory")}


def killed_agent():
    """Programs and links of an agent that is killed are gone with it: it had not detached."""
    before = kernel.bpf_objects()
    with Stage() as stage:
        target = stage.watch("mixed")
        agent = stage.agent([target], f"--offset={HOUR}s")
        wait_until_shifted(agent, [target])
        check(_bpf_only(kernel.bpf_objects() - before), "no BPF program is loaded while a target is shifted")
        agent.end(signal.SIGKILL)
        check_nothing_left(before)
        code, text = time_chaos("recover", f"--pid={target.pid}")
        check(code == 0, f"recover exits with {code}: {text}")
        check(target.running(), "the target died")


def detached():
    """--detach: the agent ends, all threads stay shifted through both engines, recover ends it."""
    before = kernel.bpf_objects()
    with Stage() as stage:
        target = stage.watch("mixed")
        started = now()
        agent = stage.agent([target], f"--offset={-HOUR}s", "--detach")
        wait_until_shifted(agent, [target])
        moments = [(started, now())]
        check(agent.read_to_end() == 0, f"the agent exits with {agent.process.returncode}:\n{agent.text()}")
        pinned = sorted(one for one in kernel.bpf_objects() - before if one.startswith("pinned"))
        check(pinned, "nothing is pinned under /sys/fs/bpf")
        read_once_more([target])
        code, text = time_chaos("status", f"--pid={target.pid}")
        check(code == 0 and "bpf" in text, f"status does not name the engine: {text}")
        asked = now()
        code, text = time_chaos("recover", f"--pid={target.pid}")
        check(code == 0, f"recover exits with {code}: {text}")
        moments.append((asked, now()))
        read_once_more([target])
        target.end()
        readings = check_spans(target, [0, -HOUR, 0], moments, lambda way: way == "time" or not bpf_cannot_shift(way))
    check_nothing_left(before)
    return [f"{readings} readings, all as they should be", f"{len(pinned)} pinned, e.g. {pinned[0]}"]


def detached_and_ended():
    """What outlives a detached target that ends by itself is taken away by recover --all."""
    before = kernel.bpf_objects()
    with Stage() as stage:
        target = stage.watch("raw", 1)
        agent = stage.agent([target], f"--offset={-HOUR}s", "--detach", "--engine-vdso=off")
        check(agent.read_to_end() == 0, f"the agent exits with {agent.process.returncode}:\n{agent.text()}")
        target.end()
        check(kernel.bpf_objects() - before, "nothing is pinned")
        code, text = time_chaos("recover", "--all")
        check(code == 0, f"recover exits with {code}: {text}")
    check_nothing_left(before)


def own_pid_namespace():
    """Agent and target inside a pid namespace: the kernel knows them by other numbers."""
    before = kernel.bpf_objects()
    with Stage() as stage:
        outside = stage.watch("mixed", 1)
        inner = stage.program("unshare", "-m", "-p", "-f", "sh", "-c", """
            mount -t proc proc /proc
            # Its pid in there is also that of another process out here.
            /targets/watch_mixed 2 > /tmp/inner & target=$!
            until grep -q ready /tmp/inner; do sleep 0.1; done
            time-chaos agent --pid $target --offset 1h > /tmp/agent 2>&1 & agent=$!
            until grep -q ^checked: /tmp/agent || ! kill -0 $agent 2>/dev/null; do sleep 0.1; done
            cut -d' ' -f1 /proc/uptime > /tmp/shifted
            sleep 0.5
            cut -d' ' -f1 /proc/uptime > /tmp/asked
            kill -INT $agent; wait $agent; echo "agent $?"
            cut -d' ' -f1 /proc/uptime > /tmp/over
            sleep 0.2
            kill $target; wait $target; cat /tmp/agent; cat /tmp/inner
            """, ready=None)
        inner.read_to_end()
        check("agent 0" in inner.lines, f"the agent in the namespace failed:\n{inner.text()}")
        text = inner.text()
        check("bpf" in text, f"it is not the BPF engine:\n{text}")
        # /proc/uptime counts CLOCK_BOOTTIME in hundredths; it is CLOCK_MONOTONIC where nothing slept.
        shifted, asked, over = (int(float(open(f"/tmp/{name}").read()) * 1e9) for name in ("shifted", "asked", "over"))
        tick = 20_000_000
        moments = [(0, shifted + tick), (asked - tick, over + tick)]
        readings = check_spans(inner, [0, HOUR, 0], moments, lambda way: way == "time" or not bpf_cannot_shift(way))
        outside.end()
        check_spans(outside, [0], [])
    check_nothing_left(before)
    return [f"{readings} readings, all as they should be"]


def no_cap_bpf():
    """Without the capabilities for BPF, but allowed to trace: ptrace serves, and the agent says why."""
    dropped = "-bpf,-perfmon,-sys_admin" if kernel.release() >= (5, 8) else "-sys_admin"
    with Stage() as stage:
        target = stage.watch("mixed", 1)
        agent = stage.agent([target], f"--offset={HOUR}s",
                            command=("setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", "time-chaos"))
        wait_until_shifted(agent, [target], "ptrace")
        check("CAP_BPF" in agent.text() or "CAP_SYS_ADMIN" in agent.text(),
              f"the agent does not name the capability that it lacks:\n{agent.text()}")
        recover(agent)
        agent = stage.agent([target], f"--offset={HOUR}s", "--engine-syscalls=bpf",
                            command=("setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", "time-chaos"))
        code = agent.read_to_end()
        check(code == 3, f"bpf asked for by name without permission exits with {code}:\n{agent.text()}")
        code, text = time_chaos("status", f"--pid={target.pid}")
        check(f"{target.pid} watch" not in text, f"refused, but the target is shifted: {text}")
    return [line for line in agent.lines if line.startswith("time-chaos:")]


def a_containers_capabilities():
    """What scripts/deploy gives to an agent in a container for BPF is enough, in a mount namespace that has
    neither tracefs nor bpffs, as a container's."""
    given = ["sys_ptrace", "dac_override", "sys_admin"] + ([] if kernel.release() >= (5, 11) else ["sys_resource"])
    script = """
        for place in tracing debug; do umount /sys/kernel/$place; done; umount /sys/fs/bpf
        grep -qE ' (tracefs|debugfs|bpf) ' /proc/self/mounts && exit 99
        exec /bin/setpriv --inh-caps=-all --bounding-set="$0" /bin/time-chaos "$@"
        """
    command = ("unshare", "--mount", "sh", "-c", script, ",".join(["-all"] + [f"+{one}" for one in given]))
    with Stage() as stage:
        target = stage.watch("mixed", 1)
        agent = stage.agent([target], f"--offset={HOUR}s", "--engine-syscalls=bpf", command=command)
        wait_until_shifted(agent, [target], "bpf")
        recover(agent)
    return [f"with {' '.join(given)}"]


def guard():
    """A target cannot set the machine's clock, with all capabilities; others can, and it can afterwards."""
    ways = ("clock_settime", "settimeofday", "adjtimex", "clock_adjtime")

    def results(program):
        words = program.ask("").split()
        return dict(zip(words[::2], map(int, words[1::2])))

    with Stage() as stage:
        target, other = stage.program("/targets/setter"), stage.program("/targets/setter")
        allowed = dict.fromkeys((*ways, "read"), 0)
        check(results(target) == allowed, "it cannot set this machine's clock anyway")
        before = time.time() - time.monotonic()
        agent = stage.agent([target], f"--offset={HOUR}s")
        wait_until_shifted(agent, [target])
        found = results(target)
        check(found == {**dict.fromkeys(ways, errno.EPERM), "read": 0}, "a target may do this:", found)
        check(abs(time.time() - time.monotonic() - before) < 1, "it has set the clock")
        check(results(other) == allowed, "another program was kept from setting the clock")
        recover(agent)
        check(results(target) == allowed, "it was not given back its right:", results(target))


def refused_32():
    """A 32-bit program's vDSO has no detour: refused in one line that says what can be had."""
    before = kernel.bpf_objects()
    with Stage() as stage:
        target = stage.watch("32", 1)
        agent = stage.agent([target], f"--offset={HOUR}s")
        code = agent.read_to_end()
        check(code == 5, f"the agent exits with {code}:\n{agent.text()}")
        check(len(agent.lines) == 1 and "--engine-vdso off" in agent.text(), agent.text())
        target.end()
        check_spans(target, [0], [])
    check_nothing_left(before)
    return agent.lines


def doctor():
    """doctor -v names the hooks of the BPF engine and why it took them."""
    code, text = time_chaos("doctor", "-v")
    check(code == 0, f"doctor exits with {code}: {text}")
    line = next((line for line in text.splitlines() if "bpf" in line and "works" in line), None)
    check(line, f"doctor does not say that BPF works:\n{text}")
    check(kernel.best_hooks() in text, f"doctor -v does not name the hooks {kernel.best_hooks()}:\n{text}")
    return text.splitlines()


def lockdown_refuses():
    """bpf asked for by name where lockdown forbids it: one line, nothing changed."""
    check("[integrity]" in open("/sys/kernel/security/lockdown").read(), "this boot is not locked down")
    before = kernel.bpf_objects()
    with Stage() as stage:
        target = stage.watch("mixed", 1)
        agent = stage.agent([target], f"--offset={HOUR}s", "--engine-syscalls=bpf")
        code = agent.read_to_end()
        check(code in (3, 5), f"the agent exits with {code}:\n{agent.text()}")
        check(len(agent.lines) == 1 and "lockdown" in agent.text(), f"it does not say why in one line:\n{agent.text()}")
        code, text = time_chaos("doctor")
        check("lockdown" in text, f"doctor does not name the lockdown:\n{text}")
        target.end()
        check_spans(target, [0], [])
    check_nothing_left(before)
    return agent.lines


CASES = [
    ("agent killed", killed_agent, ("tsc",)),
    ("detached", detached, ("tsc",)),
    ("detached, and ended by itself", detached_and_ended, ("tsc",)),
    ("agent in a pid namespace of its own", own_pid_namespace, ("tsc",)),
    ("a target that sets the clock", guard, ("tsc",)),
    ("no capability for BPF", no_cap_bpf, ("tsc",)),
    ("a container's capabilities are enough for BPF", a_containers_capabilities, ("tsc",)),
    ("32-bit program, not asked for alone", refused_32, ("tsc",)),
    ("doctor names the hooks", doctor, ("tsc", "full")),
    ("lockdown: bpf asked for by name", lockdown_refuses, ("lockdown",)),
]
