#!/usr/bin/python3
"""Runs the tests of scripts/deploy: the image, the manifests, the sidecar's pod in podman, and all overlays in
containerd through Kubernetes' container runtime interface, as a kubelet would run them.

    run.py [--case PATTERN] [--program FILE] [--junit FILE] [-v]

Needs root and `scripts/packages.sh containers`; where containers cannot be run, the cases are skipped and say
why. Prints every test that failed or was skipped, -v all of them with what they say. Exits with 0 when none
failed. Python is Debian's own, whose gRPC and YAML these are; all that is started is ended again.
"""

import argparse
import concurrent.futures
import fnmatch
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "vm"), str(HERE.parents[1] / "scripts/vm")]
sys.dont_write_bytecode = True

import debian
import results
from results import Boot, Test

AT_ONCE = 4  # cases; they mostly wait


class Missing(Exception):
    """Why containers cannot be run here."""


def check_machine():
    if os.geteuid() != 0:
        raise Missing("containers are run as root")
    for program in ("containerd", "runc", "buildah", "podman", "ctr", "protoc", "gcc", "setcap"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise Missing(f"{program} is not installed (scripts/packages.sh containers)")
    made = subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "true"], capture_output=True, text=True)
    if made.returncode != 0:
        raise Missing(f"no namespaces: {made.stderr.strip()}")
    if not any(os.access(path, os.W_OK) for path in ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory")):
        raise Missing("the control groups cannot be written to")


def run_case(name, function, *arguments):
    """(its result, seconds)"""
    began = time.monotonic()
    try:
        said = function(*arguments) or []
        verdict, comments = "passed", list(said)
    except Exception as error:
        text = "".join(traceback.format_exception(error)).splitlines()
        verdict, comments = "failed", [*str(error).splitlines(), *text[-6:]]
    return Test(name, verdict, [*comments, f"took {time.monotonic() - began:.1f} s"])


class Run:
    def __init__(self, arguments, scratch):
        self.pattern, self.verbose, self.scratch = arguments.case, arguments.verbose, scratch
        self.program = arguments.program.resolve()
        self.done, self.left = [], []

    def chosen(self, cases):
        return [one for one in cases if fnmatch.fnmatchcase(one[0], self.pattern)]

    def group(self, name, tests, began):
        if tests:
            boot = Boot(name, tests, time.monotonic() - began)
            self.done.append(boot)
            results.show(boot, self.verbose)

    def all(self):
        """Everything is made by one machinery, and then used by groups side by side."""
        import cases_cri, cases_denied, cases_manifests, cases_podman
        import images, kubectl, manifests, node, podman
        began = time.monotonic()
        environment = podman.environment(self.scratch, images.PAUSE)
        pods = podman.Podman(self.scratch, environment)
        try:
            program = kubectl.find()
            rendered = {one: manifests.render(program, one) for one in manifests.OVERLAYS}
            ready = {one: manifests.with_images(documents) for one, documents in rendered.items()}
            built = images.Images(self.scratch, environment, self.program)
            self.group("manifests", [run_case(*case, rendered, built)
                                     for case in self.chosen(cases_manifests.CASES)], began)
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                began = time.monotonic()
                in_podman = [pool.submit(run_case, *case, pods, ready) for case in self.chosen(cases_podman.CASES)]
                chosen = self.chosen(cases_cri.CASES + cases_denied.CASES)
                if chosen:
                    self.in_containerd(pool, node, chosen, built, ready)
                self.group("podman", [one.result() for one in in_podman], began)
        finally:
            self.left += pods.close()
        if self.left:
            self.group("cleaning up", [Test("nothing is left behind", "failed", self.left)], began)

    def in_containerd(self, pool, node, cases, built, ready):
        began = time.monotonic()
        with node.Node(self.scratch) as one:
            one.rendered = ready
            for archive in built.archives.values():
                one.load(archive)
            running = [pool.submit(run_case, *case, one) for case in cases]
            self.group(f"containerd {one.version.runtime_version}", [test.result() for test in running], began)
        self.left += one.left


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="*", metavar="PATTERN")
    parser.add_argument("--program", type=pathlib.Path, default=HERE.parents[1] / "build/time-chaos",
                        help="relative to where you are")
    parser.add_argument("--junit", type=pathlib.Path)
    parser.add_argument("-v", "--verbose", action="store_true")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is started is ended
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tc-containers-", ignore_cleanup_errors=True) as scratch:
        run = Run(arguments, pathlib.Path(scratch))
        try:
            check_machine()
            run.all()
        except (Missing, debian.Missing) as why:
            run.group("containers", [Test("containers can be run", "skipped", [], str(why))], began)
    if arguments.junit:
        results.write_junit(run.done, arguments.junit)
    print(f"took {time.monotonic() - began:.0f} s")
    results.summary(run.done)
    return any(test.verdict == "failed" for boot in run.done for test in boot.tests)


if __name__ == "__main__":
    sys.exit(main())
