"""The sidecar's pod by `podman kube play`, from the manifest as it is rendered."""

import copy

import yaml

from node import kill
from readings import HOUR, eventually, near, never_shifted, readings, seconds_until, wait_until

POD = "app-pod-0"  # of the Deployment app


def play(podman, name, documents):
    path = podman.root / f"{name}.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    podman.run("kube", "play", "--quiet", "--network", "none", path)


def sidecar(podman, rendered):
    bystander = copy.deepcopy(next(one for one in rendered["sidecar"] if one["kind"] == "Deployment"))
    bystander["metadata"]["name"] = "bystander"
    bystander["spec"]["template"]["spec"].pop("initContainers")
    bystander["spec"]["template"]["spec"].pop("volumes")
    play(podman, "bystander", [bystander])
    play(podman, "sidecar", rendered["sidecar-plain"])
    app = lambda: podman.log(f"{POD}-app")
    agent = lambda: podman.log(f"{POD}-time-chaos")

    first = wait_until(app, -HOUR, lambda: f"not shifted; the agent says:\n{agent()}")
    said = [f"shifted {seconds_until(first, -HOUR):.2f} s after its start"]

    # Killed, it is started again by podman, and its log goes on.
    before = podman.pid(f"{POD}-app")
    kill(before, "app")
    eventually(lambda: podman.pid(f"{POD}-app") not in (0, before), "podman has not started it again")
    fresh = lambda: [one for one in readings(app()) if one.monotonic > first[-1].monotonic]
    eventually(lambda: any(near(one.vdso, 0) for one in fresh()[-3:]) or len(fresh()) > 200, "no new readings")
    wait_until(app, -HOUR, lambda: f"not followed; the agent says:\n{agent()}")

    (podman.volume("time-chaos") / "experiment.yaml").write_text("offset: 2h\n")
    wait_until(app, 2 * HOUR, lambda: f"the ConfigMap's change is not seen; the agent says:\n{agent()}")

    podman.run("stop", f"{POD}-time-chaos")
    wait_until(app, 0, lambda: f"not recovered; the agent says:\n{agent()}")
    podman.run("rm", f"{POD}-time-chaos")
    assert never_shifted(readings(podman.log("bystander-pod-0-app"))), "the other pod was touched"
    return said


CASES = [("kube play of the sidecar's pod: shifted, followed, changed, recovered", sidecar)]
