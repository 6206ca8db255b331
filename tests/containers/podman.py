"""Debian's podman with a storage and a configuration of its own below a scratch directory."""

import json
import os
import pathlib
import shutil
import subprocess
import time

from node import cgroups, remove_cgroups

# runc: crun does not know hybrid control groups. Limits: podman wants to raise them, for which not every
# machine of ours has CAP_SYS_RESOURCE.
CONTAINERS = """\
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
netns = "host"
apparmor_profile = "unconfined"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
infra_image = "{pause}"
tmp_dir = "{root}/tmp"
volume_path = "{root}/volumes"
lock_type = "file"
[network]
network_config_dir = "{root}/networks"
"""
STORAGE = """\
[storage]
driver = "overlay"
runroot = "{root}/run"
graphroot = "{root}/graph"
"""


CGROUP = "/libpod_parent"


def environment(scratch, pause):
    """What buildah and podman are run with."""
    root = pathlib.Path(scratch) / "podman"
    (root / "empty").mkdir(parents=True)
    (root / "containers.conf").write_text(CONTAINERS.format(root=root, pause=pause))
    (root / "storage.conf").write_text(STORAGE.format(root=root))
    return {**os.environ, "CONTAINERS_CONF": str(root / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(root / "storage.conf"), "HOME": str(root)}


class Podman:
    def __init__(self, scratch, environment):
        self.root = pathlib.Path(scratch) / "podman"
        self.environment = environment
        self.others = cgroups(CGROUP)  # of the machine's own podman

    def run(self, *arguments, check=True):
        """From an empty directory: podman opens what it is started in."""
        done = subprocess.run(["podman", *map(str, arguments)], env=self.environment, cwd=self.root / "empty",
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if check and done.returncode != 0:
            raise RuntimeError(f"podman {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def log(self, container):
        return self.run("logs", container)

    def pid(self, container):
        return int(self.run("inspect", "--format", "{{.State.Pid}}", container))

    def volume(self, name):
        return pathlib.Path(json.loads(self.run("volume", "inspect", name))[0]["Mountpoint"])

    def close(self):
        """What could not be cleaned up."""
        self.run("pod", "rm", "--all", "--force", "--time", "1", check=False)
        self.run("rm", "--all", "--force", "--time", "1", check=False)
        if not self.others:
            remove_cgroups(CGROUP)
        for attempt in range(5):
            subprocess.run(["umount", "--recursive", self.root / "graph/overlay"], capture_output=True)
            shutil.rmtree(self.root, ignore_errors=True)
            if not self.root.exists():
                return []
            time.sleep(0.2)
        return [f"{self.root} stays"]
