"""The manifests as a kubelet would run them: the sidecar beside its application, the DaemonSet, the Job."""

import time

import images
import manifests
from kubelet import Pod
from node import kill
from readings import HOUR, eventually, near, never_shifted, readings, seconds_until, wait_until

STARTS = 3  # of which one must be quick enough: the machine may be busy with something else


def app_pod(node, name, container=(), **fields):
    """The application alone; with other fields of its container, and of the pod."""
    spec, _ = manifests.split(node.rendered["sidecar"])
    spec["initContainers"] = []
    spec.pop("volumes")
    spec["containers"][0].update(container)
    spec.update(fields)
    return Pod(node, name, spec).start_all()


def pod_of(node, overlay, name=None):
    spec, config_maps = manifests.split(node.rendered[overlay])
    return Pod(node, name or overlay, spec, config_maps)


def restart(pod):
    """The application ends, as by a crash, and the kubelet starts it again."""
    kill(pod.pid("app"), "app")
    pod.wait_for_exit("app")
    spec = pod.containers["app"].spec
    pod.node.runtime.call("RemoveContainer", container_id=pod.containers["app"].id)
    pod.start(spec)


def experiment(offset):
    return {"experiment.yaml": f"offset: {offset}\n"}


def whole_story(node, overlay):
    said = []
    bystander = app_pod(node, f"{overlay}-bystander")
    pod = pod_of(node, overlay).start_all()
    app = lambda: pod.log("app")
    agent = lambda: pod.log("time-chaos")

    took = seconds_until(wait_until(app, -HOUR, lambda: f"not shifted; the agent says:\n{agent()}"), -HOUR)
    for _ in range(STARTS):
        restart(pod)
        again = seconds_until(wait_until(app, -HOUR, lambda: f"not followed; the agent says:\n{agent()}"), -HOUR)
        said.append(f"shifted {took:.2f} s after its start, and {again:.2f} s after it was started again")
        if took <= 1 and again <= 1:
            break
        took = min(took, again)
    assert min(took, again) <= 1, said

    # As `kubectl exec` has it.
    code, status = pod.execute("time-chaos", "/usr/local/sbin/time-chaos", "status")
    assert code == 0 and "app: wall -1h" in status and "checked" in status, f"status: {code}\n{status}"
    code, doctor = pod.execute("time-chaos", "/usr/local/sbin/time-chaos", "doctor", "-v")
    assert code == 0 and "vdso detour" in doctor, f"doctor: {code}\n{doctor}"

    pod.edit_config_map("time-chaos", experiment("2h"))
    wait_until(app, 2 * HOUR, lambda: f"the ConfigMap's change is not seen; the agent says:\n{agent()}")
    pod.edit_config_map("time-chaos", experiment("-30m"))
    wait_until(app, -HOUR / 2, "the ConfigMap's second change is not seen")

    pod.stop("time-chaos")
    code = pod.status("time-chaos").exit_code
    assert code == 0, f"told to end, the agent exits with {code}:\n{agent()}"
    wait_until(app, 0, lambda: f"not recovered; the agent says:\n{agent()}")
    assert pod.status("app").state == node.runtime.messages.CONTAINER_RUNNING
    assert never_shifted(readings(bystander.log("app"))), "the other pod was touched"
    pod.remove()
    bystander.remove()
    return said


def native_sidecar(node):
    return whole_story(node, "sidecar")


def plain_sidecar(node):
    return whole_story(node, "sidecar-plain")


def sidecar_with_bpf(node):
    """Where the kernel permits BPF; elsewhere the agent says why not, and ptrace serves."""
    pod = pod_of(node, "sidecar-bpf").start_all()
    app = lambda: pod.log("app")
    wait_until(app, -HOUR, lambda: pod.log("time-chaos"))
    said = pod.log("time-chaos")
    lines = [line for line in said.splitlines() if line.startswith("raw system calls by ")]
    assert lines, said
    # Whatever keeps it from BPF, it is none of the container's settings.
    assert not any(word in lines[0] for word in ("CAP_", "seccomp", "Operation not permitted")), lines[0]
    pod.stop("time-chaos")
    wait_until(app, 0, lambda: f"{pod.status('time-chaos')}\n{pod.log('time-chaos')}")
    pod.remove()
    return lines


def killed_sidecar(node):
    """As by the kernel when its memory is used up: the kubelet starts it again, and it goes on."""
    pod = pod_of(node, "sidecar", "killed").start_all()
    app = lambda: pod.log("app")
    wait_until(app, -HOUR, lambda: pod.log("time-chaos"))
    kill(pod.pid("time-chaos"), "time-chaos")
    pod.wait_for_exit("time-chaos")
    pod.edit_config_map("time-chaos", experiment("3h"))
    pod.start(pod.containers["time-chaos"].spec)
    wait_until(app, 3 * HOUR, lambda: pod.log("time-chaos"))
    pod.stop("time-chaos")
    wait_until(app, 0, lambda: pod.log("time-chaos"))
    pod.remove()


def node_daemon(node):
    """Processes of one name in whatever pod, those that come later, too; none of another name."""
    named = {"command": [f"/{images.UNIQUE}"]}
    other = app_pod(node, "node-other", shareProcessNamespace=False)
    first = app_pod(node, "node-first", named, shareProcessNamespace=False)
    spec, config_maps = manifests.split(node.rendered["node"])
    container = manifests.agent_of(spec)
    container["args"] = [f"--name={images.UNIQUE}" if one == "--name=app" else one for one in container["args"]]
    assert f"--name={images.UNIQUE}" in container["args"]
    agent = Pod(node, "node", spec, config_maps).start_all()
    wait_until(lambda: first.log("app"), -HOUR, lambda: agent.log("time-chaos"))
    second = app_pod(node, "node-second", named, shareProcessNamespace=False)
    wait_until(lambda: second.log("app"), -HOUR, lambda: agent.log("time-chaos"))
    for path in (None, "/readyz", "/metrics"):
        status, metrics = agent.probe("time-chaos", path)
        assert status == 200, f"{path or 'liveness probe'}: {status}\n{metrics}"
    assert "time_chaos_targets 2" in metrics, metrics
    agent.edit_config_map("time-chaos", experiment("1h"))
    for pod in (first, second):
        wait_until(lambda: pod.log("app"), HOUR, lambda: agent.log("time-chaos"))
    agent.stop("time-chaos")
    for pod in (first, second):
        wait_until(lambda: pod.log("app"), 0, lambda: agent.log("time-chaos"))
    assert never_shifted(readings(other.log("app"))), "a process of another name was touched"
    for pod in (agent, first, second, other):
        pod.remove()


def job(node):
    """The pod that is named, and no other; for a time, and then it is over."""
    target, other = (app_pod(node, f"job-{name}", shareProcessNamespace=False) for name in ("target", "other"))
    spec, config_maps = manifests.split(node.rendered["job"])
    agent = manifests.agent_of(spec)
    agent["env"][0]["value"] = target.uid
    assert "--duration=1m" in agent["args"]
    agent["args"] = ["--duration=2s" if one == "--duration=1m" else one for one in agent["args"]]
    pod = Pod(node, "job", spec, config_maps).start_all()
    wait_until(lambda: target.log("app"), -HOUR, lambda: pod.log("time-chaos"))
    code = pod.wait_for_exit("time-chaos")
    assert code == 0, f"exit code {code}:\n{pod.log('time-chaos')}"
    wait_until(lambda: target.log("app"), 0, lambda: pod.log("time-chaos"))
    assert never_shifted(readings(other.log("app"))), "the other pod was touched"
    for one in (pod, target, other):
        one.remove()


def container_by_id(node):
    """One of two containers of a pod, as the node's agent finds it in the control groups."""
    target = app_pod(node, "by-id", shareProcessNamespace=False)
    target.start({**target.spec["containers"][0], "name": "beside"})
    spec, config_maps = manifests.split(node.rendered["job"])
    agent = manifests.agent_of(spec)
    agent["args"] = [f"--container={target.containers['app'].id[:16]}" if one.startswith("--pod=") else one
                     for one in agent["args"]]
    pod = Pod(node, "by-id-agent", spec, config_maps).start_all()
    wait_until(lambda: target.log("app"), -HOUR, lambda: pod.log("time-chaos"))
    pod.stop("time-chaos")
    wait_until(lambda: target.log("app"), 0, lambda: pod.log("time-chaos"))
    assert never_shifted(readings(target.log("beside"))), "the container beside it was touched"
    for one in (pod, target):
        one.remove()


CASES = [
    ("native sidecar: shifted, followed, changed, recovered", native_sidecar),
    ("plain sidecar: shifted, followed, changed, recovered", plain_sidecar),
    ("sidecar with BPF's capabilities", sidecar_with_bpf),
    ("sidecar that was killed, and is started again", killed_sidecar),
    ("DaemonSet: a name on the node", node_daemon),
    ("Job: one pod, for a time", job),
    ("Job: one container, by the beginning of its id", container_by_id),
]
