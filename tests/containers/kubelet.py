"""The part of a kubelet that the tests need: turns a pod of a manifest into the calls that the kubelet makes
to its container runtime. What it makes of securityContext, volumes and restartPolicy is what Kubernetes
documents; a field that it does not know is an error, not ignored.
"""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import time
import uuid

# What the kubelet passes for procMount: Default.
MASKED = ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
PROFILES = {"RuntimeDefault": 0, "Unconfined": 1, "Localhost": 2}

GET = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode(), sep="\\n")
"""

POD_FIELDS = {"containers", "initContainers", "volumes", "shareProcessNamespace", "hostPID", "securityContext",
              "restartPolicy", "automountServiceAccountToken", "terminationGracePeriodSeconds", "nodeSelector",
              "tolerations", "priorityClassName", "enableServiceLinks"}
CONTAINER_FIELDS = {"name", "image", "imagePullPolicy", "command", "args", "env", "volumeMounts", "securityContext",
                    "resources", "restartPolicy", "ports", "livenessProbe"}
SECURITY_FIELDS = {"runAsUser", "runAsGroup", "runAsNonRoot", "capabilities", "readOnlyRootFilesystem",
                   "allowPrivilegeEscalation", "seccompProfile", "fsGroup"}


class Refused(Exception):
    """What the kubelet refuses itself."""


def check_fields(what, fields, known):
    unknown = set(fields) - known
    if unknown:
        raise Refused(f"{what}: the tests' kubelet does not know {', '.join(sorted(unknown))}")


def quantity(text):
    """"100m" or "64Mi" as a number."""
    text = str(text)
    if text.endswith("m"):
        return int(text[:-1]) / 1000
    digits = text.rstrip("kMGi")
    return float(digits) * SUFFIXES[text[len(digits):]]


def expanded(text, variables):
    """$(NAME) in an argument."""
    return re.sub(r"\$\((\w+)\)", lambda found: variables.get(found[1], found[0]), text)


def resources_of(container):
    limits, requests = (container.get("resources", {}).get(part, {}) for part in ("limits", "requests"))
    made = {"cpu_shares": max(2, int(quantity(requests.get("cpu", "2m")) * 1024))}
    if "cpu" in limits:
        made.update(cpu_period=100000, cpu_quota=int(quantity(limits["cpu"]) * 100000))
    if "memory" in limits:
        made["memory_limit_in_bytes"] = int(quantity(limits["memory"]))
    return made


def seccomp_of(security, profiles):
    """None is Kubernetes' own default, Unconfined."""
    profile = security.get("seccompProfile", {"type": "Unconfined"})
    made = {"profile_type": PROFILES[profile["type"]]}
    if profile["type"] == "Localhost":
        made["localhost_ref"] = str(profiles / profile["localhostProfile"])
    return made


def write_config_map(directory, data):
    """As the kubelet's atomic writer does: DIRECTORY/key -> ..data/key, ..data -> the newest version."""
    version = directory / f"..{uuid.uuid4().hex}"
    version.mkdir()
    version.chmod(0o755)
    for key, text in data.items():
        (version / key).write_text(text)
        (version / key).chmod(0o644)
        if not (directory / key).is_symlink():
            (directory / key).symlink_to(f"..data/{key}")
    (directory / "..new").symlink_to(version.name)
    os.rename(directory / "..new", directory / "..data")


@dataclasses.dataclass
class Container:
    name: str
    spec: dict
    log: pathlib.Path
    attempt: int = 0
    id: str = ""


class Pod:
    """One pod on a node; `kinds` of the manifests are cut down to their pod by the caller."""

    def __init__(self, node, name, spec, config_maps=()):
        check_fields(name, spec, POD_FIELDS)
        self.node, self.name, self.spec = node, name, spec
        self.config_maps = {one["metadata"]["name"]: dict(one["data"]) for one in config_maps}
        self.uid = str(uuid.uuid4())
        self.directory = node.scratch / "pods" / f"{name}-{self.uid[:8]}"
        self.directory.mkdir(parents=True)
        self.containers = {}
        self.volumes = {one["name"]: self._make_volume(one) for one in spec.get("volumes", [])}
        self.config = {
            "metadata": {"name": name, "uid": self.uid, "namespace": "default"},
            "hostname": name,
            "log_directory": str(self.directory),
            "linux": {"cgroup_parent": f"{node.cgroup}/pod{self.uid}",
                      "security_context": {"namespace_options": self._namespaces(),
                                           "seccomp": {"profile_type": PROFILES["RuntimeDefault"]}}},
        }
        self.sandbox = node.runtime.call("RunPodSandbox", config=self.config).pod_sandbox_id
        node.pods.append(self)

    def _namespaces(self):
        pod, container, host = 0, 1, 2
        pid = host if self.spec.get("hostPID") else pod if self.spec.get("shareProcessNamespace") else container
        return {"network": pod, "pid": pid, "ipc": pod}

    def _make_volume(self, volume):
        if "hostPath" in volume:
            return pathlib.Path(volume["hostPath"]["path"])
        directory = self.directory / "volumes" / volume["name"]
        directory.mkdir(parents=True)
        directory.chmod(0o755)
        if "configMap" in volume:
            write_config_map(directory, self.config_maps[volume["configMap"]["name"]])
        elif "emptyDir" in volume:
            directory.chmod(0o777)
        else:
            raise Refused(f"{self.name}: the tests' kubelet does not know {volume}")
        return directory

    def edit_config_map(self, volume, data):
        write_config_map(self.volumes[volume], data)

    def start_all(self):
        """In the kubelet's order: init containers one by one, of which those with restartPolicy Always
        go on, then the others."""
        for spec in self.spec.get("initContainers", []):
            started = self.start(spec)
            if spec.get("restartPolicy") != "Always":
                self.wait_for_exit(started.name)
        for spec in self.spec["containers"]:
            self.start(spec)
        return self

    def start(self, spec):
        check_fields(spec["name"], spec, CONTAINER_FIELDS)
        attempt = self.containers[spec["name"]].attempt + 1 if spec["name"] in self.containers else 0
        container = Container(spec["name"], spec, self.directory / f"{spec['name']}-{attempt}.log", attempt)
        variables = {one["name"]: self._value(one) for one in spec.get("env", [])}
        config = {
            "metadata": {"name": spec["name"], "attempt": attempt},
            "image": {"image": spec["image"]},
            "command": spec.get("command", []),
            "args": [expanded(one, variables) for one in spec.get("args", [])],
            "envs": [{"key": key, "value": value} for key, value in variables.items()],
            "mounts": [self._mount(one) for one in spec.get("volumeMounts", [])],
            "labels": {"io.kubernetes.container.name": spec["name"], "io.kubernetes.pod.uid": self.uid},
            "log_path": container.log.name,
            "linux": {"resources": resources_of(spec), "security_context": self._security(spec)},
        }
        container.id = self.node.runtime.call("CreateContainer", pod_sandbox_id=self.sandbox, config=config,
                                              sandbox_config=self.config).container_id
        self.containers[spec["name"]] = container
        self.node.runtime.call("StartContainer", container_id=container.id)
        return container

    def _value(self, variable):
        check_fields(variable["name"], variable, {"name", "value", "valueFrom"})
        if "valueFrom" not in variable:
            return variable.get("value", "")
        known = {"metadata.uid": self.uid, "metadata.name": self.name}
        return known[variable["valueFrom"]["fieldRef"]["fieldPath"]]

    def _mount(self, mount):
        path = self.volumes[mount["name"]]
        check_fields(mount["name"], mount, {"name", "mountPath", "readOnly"})
        return {"container_path": mount["mountPath"], "host_path": str(path), "readonly": mount.get("readOnly", False)}

    def _security(self, spec):
        security = {**self.spec.get("securityContext", {}), **spec.get("securityContext", {})}
        check_fields(spec["name"], security, SECURITY_FIELDS)
        capabilities = security.get("capabilities", {})
        user = security.get("runAsUser", 0)  # the images of the tests have user 0
        if security.get("runAsNonRoot") and user == 0:
            raise Refused(f"{spec['name']}: container has runAsNonRoot and image will run as root")
        return {
            "capabilities": {"add_capabilities": capabilities.get("add", []),
                             "drop_capabilities": capabilities.get("drop", [])},
            "namespace_options": self._namespaces(),
            "run_as_user": {"value": user},
            "run_as_group": {"value": security.get("runAsGroup", 0)},
            "readonly_rootfs": security.get("readOnlyRootFilesystem", False),
            "no_new_privs": security.get("allowPrivilegeEscalation") is False,
            "masked_paths": MASKED,
            "readonly_paths": READ_ONLY,
            "seccomp": seccomp_of(security, self.node.seccomp),
        }

    def status(self, name):
        return self.node.runtime.call("ContainerStatus", container_id=self.containers[name].id).status

    def pid(self, name):
        """On this machine."""
        answer = self.node.runtime.call("ContainerStatus", container_id=self.containers[name].id, verbose=True)
        return json.loads(answer.info["info"])["pid"]

    def wait_for_exit(self, name, timeout=30):
        """Its exit code."""
        exited = self.node.runtime.messages.CONTAINER_EXITED
        deadline = time.monotonic() + timeout
        while self.status(name).state != exited:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} has not ended after {timeout} s; it says:\n{self.log(name)}")
            time.sleep(0.05)
        return self.status(name).exit_code

    def log(self, name):
        """What it printed, on both streams: the lines after "TIME stdout F "."""
        path = self.containers[name].log
        text = path.read_text() if path.exists() else ""
        return "".join(line.split(" ", 3)[3] + "\n" for line in text.splitlines() if line.count(" ") >= 3)

    def execute(self, name, *command):
        """(exit code, what it said)"""
        answer = self.node.runtime.call("ExecSync", container_id=self.containers[name].id, cmd=command, timeout=20)
        return answer.exit_code, (answer.stdout + answer.stderr).decode()

    def probe(self, name, path=None):
        """(HTTP status, text) of the liveness probe, or of another path of its port, from the pod's network."""
        container = self.containers[name].spec
        get = container["livenessProbe"]["httpGet"]
        port = next(one["containerPort"] for one in container["ports"] if get["port"] in (one["name"], one["containerPort"]))
        done = subprocess.run(["nsenter", "--net", f"--target={self.pid(name)}", "/usr/bin/python3", "-c", GET,
                               f"http://127.0.0.1:{port}{path or get['path']}"], capture_output=True, text=True, check=True)
        status, _, text = done.stdout.partition("\n")
        return int(status), text

    def stop(self, name, grace=10):
        self.node.runtime.call("StopContainer", container_id=self.containers[name].id, timeout=grace)

    def remove(self):
        errors = self.clean_up()
        assert not errors, errors

    def clean_up(self):
        """All of it, whatever fails meanwhile: the errors."""
        steps = [step for container in self.containers.values() for step in
                 (("StopContainer", {"container_id": container.id, "timeout": 1}),
                  ("RemoveContainer", {"container_id": container.id}))]
        steps += [(call, {"pod_sandbox_id": self.sandbox}) for call in ("StopPodSandbox", "RemovePodSandbox")]
        errors = []
        for call, fields in steps:
            try:
                self.node.runtime.call(call, **fields)
            except Exception as error:
                errors.append(f"{call}: {error}")
        self.node.pods.remove(self)
        return errors
