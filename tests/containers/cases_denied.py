"""What an agent in a container may not do: every case is one line with the remedy, and the application is
left as it was.
"""

import copy
import json
import pathlib

import images
import manifests
from cases_cri import app_pod
from readings import HOUR, never_shifted, readings, wait_until

SHIFT = ["agent", "--name=app", "--offset=1h", "--force", "--duration=1s"]
NO_PTRACE = {"defaultAction": "SCMP_ACT_ALLOW",
             "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}]}


def agent(node, pod, name, add=("SYS_PTRACE", "DAC_OVERRIDE"), user=0, image=images.AGENT, args=SHIFT, **security):
    """The sidecar's container with something of it changed, run to its end: (exit code, what it said)."""
    spec, _ = manifests.split(node.rendered["sidecar-plain"])
    container = copy.deepcopy(manifests.agent_of(spec))
    container.update(name=name, args=args, image=image, volumeMounts=[])
    container["securityContext"].update(runAsUser=user, runAsGroup=user, **security)
    container["securityContext"]["capabilities"]["add"] = list(add)
    pod.start(container)
    return pod.wait_for_exit(name), pod.log(name)


def denied(outcome, code, *words):
    got, said = outcome
    lines = said.splitlines()
    assert got == code, f"exit code {got}, not {code}:\n{said}"
    assert len(lines) == 1 and lines[0].startswith("time-chaos: "), f"not one line:\n{said}"
    refusal, _, remedy = lines[0].rpartition("; ")
    for word in words:
        assert word in lines[0], f"{word!r} is missing in: {lines[0]}"
    assert refusal and remedy, f"no remedy: {lines[0]}"
    return [lines[0]]


def in_shared_pod(name, code, words, **changes):
    def case(node):
        pod = app_pod(node, f"denied-{name}")
        said = denied(agent(node, pod, name, **changes), code, *words)
        assert never_shifted(readings(pod.log("app"))), "refused, and yet shifted"
        pod.remove()
        return said
    return case


def seccomp_denies_ptrace(node):
    (node.seccomp / "no-ptrace.json").write_text(json.dumps(NO_PTRACE))
    profile = {"type": "Localhost", "localhostProfile": "no-ptrace.json"}
    return in_shared_pod("seccomp", 3, ("ptrace", "seccomp", "RuntimeDefault"), seccompProfile=profile)(node)


def no_shared_namespace(node):
    pod = app_pod(node, "denied-namespace", shareProcessNamespace=False)
    said = denied(agent(node, pod, "apart"), 4, "app", "shareProcessNamespace: true")
    assert never_shifted(readings(pod.log("app"))), "refused, and yet shifted"
    pod.remove()
    return said


def same_user(node):
    """The application's own user needs no capability, where Yama does not restrict it."""
    yama = pathlib.Path("/proc/sys/kernel/yama/ptrace_scope")
    scope = yama.read_text().strip() if yama.exists() else "0"
    pod = app_pod(node, "same-user")
    outcome = agent(node, pod, "same", add=(), user=1000)
    if scope != "0":
        return denied(outcome, 3, "yama")
    assert outcome[0] == 0, outcome[1]
    wait_until(lambda: pod.log("app"), 0, "not recovered")
    assert not never_shifted(readings(pod.log("app"))), "it was never shifted"
    pod.remove()


def file_capabilities(node):
    """An agent that is not root has what its program's file has, under no_new_privs, too: that only forbids
    what the container was not given."""
    pod = app_pod(node, "file-capabilities")
    code, said = agent(node, pod, "files", user=1001, image=images.FILE_CAPABILITIES)
    assert code == 0, said
    assert "wall +1h" in said, said
    pod.remove()


NOT_READ = [one for one in SHIFT if one != "--force"]
CASES = [
    ("denied: no SYS_PTRACE", in_shared_pod("no-ptrace", 3, ("SYS_PTRACE",), add=["DAC_OVERRIDE"])),
    ("denied: no DAC_OVERRIDE", in_shared_pod("no-dac", 3, ("DAC_OVERRIDE",), add=["SYS_PTRACE"])),
    ("denied: no capability at all", in_shared_pod("none", 3, ("SYS_PTRACE", "DAC_OVERRIDE"), add=[])),
    ("denied: another user, without capabilities", in_shared_pod("other", 3, ("SYS_PTRACE",), add=[], user=1001)),
    ("denied: another user, to whom added capabilities do not get",
     in_shared_pod("not-root", 3, ("runAsUser: 0",), user=1001, allowPrivilegeEscalation=True)),
    ("denied: the same under no_new_privs", in_shared_pod("privs", 3, ("runAsUser: 0",), user=1001)),
    ("another user, whom file capabilities reach under no_new_privs", file_capabilities),
    ("denied: the application's filter cannot be read, without --force",
     in_shared_pod("filter", 3, ("seccomp filter cannot be read", "--force"), args=NOT_READ)),
    ("denied: seccomp forbids ptrace", seccomp_denies_ptrace),
    ("denied: no shared pid namespace", no_shared_namespace),
    ("the application's own user needs no capability", same_user),
]
