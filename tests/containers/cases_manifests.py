"""The manifests without a node: that they render, are of the API's types, and give away no more than they
say. And the image."""

import pathlib
import re
import subprocess
import tarfile
import tempfile

import images
import manifests
from manifests import containers_of


def type_check(rendered, _):
    for overlay, documents in rendered.items():
        for document in documents:
            errors = manifests.type_errors(document, manifests.kind_of(document), document["kind"])
            assert not errors, f"{overlay}: {errors}"
    wrong = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": 1}, "spec": {"replica": 1}}
    assert len(manifests.type_errors(wrong, "V1Deployment", "x")) >= 3, "the type check finds nothing"
    return [f"{len(rendered)} overlays"]


def few_privileges(rendered, _):
    """Each container of each overlay; which capabilities are too few, the denied cases show."""
    for overlay, documents in rendered.items():
        spec, _ = manifests.split(documents)
        for container in containers_of(spec):
            security = container["securityContext"]
            what = f"{overlay}: {container['name']}"
            assert security["capabilities"]["drop"] == ["ALL"], what
            assert security["allowPrivilegeEscalation"] is False, what
            assert security["readOnlyRootFilesystem"] is True, what
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}, what
            assert "privileged" not in security, what
        agent = manifests.agent_of(spec)
        wanted = ["SYS_PTRACE", "DAC_OVERRIDE"] + (["SYS_ADMIN"] if overlay.endswith("-bpf") else [])
        assert agent["securityContext"]["capabilities"]["add"] == wanted, overlay
        assert set(agent["resources"]) == {"requests", "limits"}, overlay
        assert not spec.get("hostNetwork") and bool(spec.get("hostPID")) == overlay.startswith(("node", "job")), overlay
        assert all(set(one) <= {"name", "configMap"} for one in spec["volumes"]), overlay


def capabilities_are_explained(*_):
    """A comment beside each, or right above it."""
    for path in sorted(manifests.ROOT.glob("overlays/*/*.yaml")):
        above = ""
        for line in path.read_text().splitlines():
            if re.match(r" *- [A-Z][A-Z_]+\b", line):
                assert "#" in line or above.lstrip().startswith("#"), f"{path.name}: {line.strip()} has no comment"
            above = line


def no_registry(*_):
    """Images are named without a host: whoever deploys says where they are."""
    for path in sorted(manifests.ROOT.glob("**/*.yaml")):
        for image in re.findall(r"image: (\S+)", path.read_text()):
            assert "/" not in image and "." not in image, f"{path}: {image}"


def unit(_, built):
    """As systemd reads it, with the program where it is here."""
    text = (manifests.ROOT.parent / "time-chaos@.service").read_text()
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory) / "time-chaos@test.service"
        copy.write_text(text.replace("/usr/local/sbin/time-chaos", str(built.program)))
        checked = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True)
    assert checked.returncode == 0 and not checked.stderr.strip(), checked.stderr
    seccomp = re.findall(r"^(?:SystemCall\w+|Restrict\w+|Protect(?:Kernel\w+|Clock|Hostname)|PrivateDevices|"
                         r"MemoryDenyWriteExecute|LockPersonality)=", text, re.M)
    assert not seccomp, f"these bring a seccomp filter: {seccomp}"


def image(_, built):
    """In the archive that containerd and podman import."""
    libraries = subprocess.run(["ldd", built.program], capture_output=True, text=True, check=True).stdout
    wanted = {one.lstrip("/") for one in re.findall(r"(/\S+) \(0x", libraries)} | {"usr/local/sbin/time-chaos"}
    with tarfile.open(built.archives[images.AGENT]) as archive:
        layers = [one for one in archive.getmembers() if one.name.endswith(".tar") and one.isfile()]
        assert len(layers) == 1, layers
        with tarfile.open(fileobj=archive.extractfile(layers[0])) as layer:
            found = {one.name for one in layer.getmembers() if not one.isdir()}
    assert found == wanted, found ^ wanted
    return [built.said]


CASES = [
    ("manifests are of the API's types", type_check),
    ("manifests give few privileges", few_privileges),
    ("every capability has its comment", capabilities_are_explained),
    ("no image names a host", no_registry),
    ("the unit is one that systemd takes", unit),
    ("the image has the program, its libraries and nothing else", image),
]
