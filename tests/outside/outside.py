"""For tests that look at the built program from outside: to run it, and a target that prints lines."""

import json
import os
import select
import subprocess
import time


def run(command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=100, check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class TimeChaos:
    def __init__(self, program):
        self.program = program

    def __call__(self, *words, code=0, **more):
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True, timeout=60,
                              check=False, **more)
        if done.returncode != code:
            raise AssertionError(f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def events(self, *words, **more):
        return [json.loads(line) for line in self(*words, "--json", **more).splitlines()]


class Printer:
    """A program that obeys lines and prints others."""

    def __init__(self, command, **more):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, **more)
        self.pid = self.process.pid
        self.rest = b""

    def tell(self, command):
        self.process.stdin.write(command.encode() + b"\n")

    def lines(self, seconds):
        """The words of each line that it prints from now on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.process.stdout], [], [], left)[0]:
                continue
            got = os.read(self.process.stdout.fileno(), 1 << 16)
            if not got:
                raise AssertionError(f"the program ended: {self.process.wait()}")
            *whole, self.rest = (self.rest + got).split(b"\n")
            yield from (line.decode().split() for line in whole)

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()
