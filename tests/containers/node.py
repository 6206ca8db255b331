"""A node: Debian's containerd with a configuration, a socket and a network namespace of its own below a
scratch directory, started and ended by the tests. The node's own containerd, where there is one, is not
touched.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import cri

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
CONFIG = """\
version = 2
root = "{root}/root"
state = "{root}/state"
imports = []
# Restoring an opt directory and tracing are no business of a test.
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{root}/containerd.sock"
[ttrpc]
  address = "{root}/ttrpc.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/tc-pause:test"
  disable_tcp_service = true
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  # Lowering oom_score_adj wants CAP_SYS_RESOURCE, which not every machine of ours has.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{runc}"
        Root = "{root}/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{root}/cni"
"""


def network(root):
    """Every pod has its own network namespace, on a bridge inside containerd's."""
    return {"cniVersion": "0.4.0", "name": "tests", "plugins": [
        {"type": "bridge", "bridge": "tc0", "isGateway": False, "ipMasq": False,
         "ipam": {"type": "host-local", "dataDir": f"{root}/addresses", "subnet": "198.18.0.0/16"}}]}


def cgroups(name):
    """In every hierarchy."""
    mounted, name = pathlib.Path("/sys/fs/cgroup"), name.strip("/")
    return [one for one in (mounted / name, *mounted.glob(f"*/{name}")) if one.exists()]


def remove_cgroups(name):
    """One with a process in it stays."""
    for top in cgroups(name):
        for directory in [*sorted(top.glob("**/"), reverse=True), top]:
            try:
                directory.rmdir()
            except OSError:
                pass


def kill(pid, name):
    """The main process of a container, as a crash ends it."""
    assert pid > 0, f"{name} is not running"  # 0 would be all of us
    os.kill(pid, signal.SIGKILL)


class Node:
    def __init__(self, scratch):
        self.scratch = pathlib.Path(scratch)
        self.root = self.scratch / "containerd"
        self.seccomp = self.scratch / "seccomp"
        self.pods, self.left = [], []  # what could not be cleaned up, and why
        self.runtime = None
        self.cgroup = f"/tc-tests-{os.getpid()}"
        for directory in (self.root / "cni", self.seccomp):
            directory.mkdir(parents=True)
        (self.root / "cni/10-tests.conflist").write_text(json.dumps(network(self.root)))
        (self.root / "config.toml").write_text(CONFIG.format(root=self.root, runc=shutil.which("runc", path=PATH)))
        self.log = self.root / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["unshare", "--net", "containerd", "-c", self.root / "config.toml"], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True)
        self.socket = self.root / "containerd.sock"
        try:
            self._wait()
            self.runtime = cri.Runtime(self.socket, self.root)
            self.version = self.runtime.call("Version")
        except BaseException:
            self.end()
            raise

    def _wait(self):
        deadline = time.monotonic() + 30
        while not self.socket.exists() or "containerd successfully booted" not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"containerd does not start: {' '.join(self.log.read_text().splitlines()[-3:])}")
            time.sleep(0.05)

    def load(self, archive):
        subprocess.run(["ctr", "-a", self.socket, "-n", "k8s.io", "image", "import", archive], check=True,
                       capture_output=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pod in list(self.pods):
            self.left += [f"{pod.name}: {error}" for error in pod.clean_up()]
        self.end()

    def end(self):
        if self.runtime:
            self.runtime.close()
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.left.append("containerd did not end by itself")
        remove_cgroups(self.cgroup)
