"""The images of the tests, built by buildah from scratch and never pulled: time-chaos by
scripts/deploy/image.sh, and two of one static program each, the application and the pod's pause program.
"""

import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
IMAGE_SCRIPT = HERE.parents[1] / "scripts/deploy/image.sh"

AGENT = "localhost/time-chaos:test"
FILE_CAPABILITIES = "localhost/time-chaos:file-capabilities"
APP = "localhost/tc-app:test"
PAUSE = "localhost/tc-pause:test"
# The same application by a name that no other process of this machine has: for agents that see them all.
UNIQUE = f"tc{os.getpid()}app"


class Images:
    """Built with `environment`'s storage; `archives` are what containerd imports."""

    def __init__(self, scratch, environment, program):
        self.scratch, self.environment, self.program = scratch, environment, program.resolve()
        self.archives = {}
        self.said = self.run(IMAGE_SCRIPT, "--program", program, "--tag", AGENT, "--archive",
                             self._archive(AGENT)).strip()
        self._program_image("app", APP, UNIQUE)
        self._program_image("pause", PAUSE)
        self._with_file_capabilities()

    def run(self, *command):
        done = subprocess.run([str(word) for word in command], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def _archive(self, tag):
        self.archives[tag] = self.scratch / (tag.split("/")[1].replace(":", "-") + ".tar")
        return self.archives[tag]

    def _commit(self, container, tag):
        self.run("buildah", "commit", "--quiet", "--format", "docker", container, tag)
        self.run("buildah", "rm", container)
        self.run("buildah", "push", "--quiet", tag, f"docker-archive:{self._archive(tag)}:{tag}")

    def _program_image(self, name, tag, *names):
        program = self.scratch / name
        self.run("gcc", "-static", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", program,
                 HERE / "targets" / f"{name}.c")
        container = self.run("buildah", "from", "scratch").strip()
        for path in (name, *names):
            self.run("buildah", "copy", "--quiet", container, program, f"/{path}")
        self.run("buildah", "config", "--entrypoint", f'["/{name}"]', "--cmd", "", container)
        self._commit(container, tag)

    def _with_file_capabilities(self):
        """What somebody might try for an agent that is not root."""
        container = self.run("buildah", "from", "--pull-never", AGENT).strip()
        mounted = self.run("buildah", "mount", container).strip()
        self.run("setcap", "cap_sys_ptrace,cap_dac_override+ep", f"{mounted}/usr/local/sbin/time-chaos")
        self.run("buildah", "umount", container)
        self._commit(container, FILE_CAPABILITIES)
