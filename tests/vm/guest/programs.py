"""The programs of a case: targets, and the agent. Whatever a case leaves running is ended after it."""

import contextlib
import os
import select
import signal
import subprocess
import time

from tap import Failed, Skip, check

PATIENCE = 60  # seconds until a program that says nothing has failed


class Program:
    """A child whose output is read line by line."""

    watchers = 1  # threads that watch the clock

    def __init__(self, *command, ready="ready", **options):
        if "/" in command[0] and not os.path.exists(command[0]):
            raise Skip(f"{command[0]} was not built: its compiler is missing")
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, **options)
        self.pid = self.process.pid
        self.lines = []
        self._rest = b""
        if ready:
            self.wait_for(lambda line: line == ready)

    def __str__(self):
        return f"{os.path.basename(self.command[0])} ({self.pid})"

    def _read(self, patience):
        """More output into self.lines; False at its end."""
        if not select.select([self.process.stdout], [], [], patience)[0]:
            raise Failed(f"{self} said nothing for {patience} s; before that:\n" + self.text())
        data = os.read(self.process.stdout.fileno(), 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.lines += [line.decode(errors="replace") for line in lines]
        return bool(data)

    def wait_for(self, condition, patience=PATIENCE):
        """The first line, of those not looked at yet, for which the condition holds."""
        seen = 0
        while True:
            for line in self.lines[seen:]:
                if condition(line):
                    return line
            seen = len(self.lines)
            check(self._read(patience), f"{self} ended:\n" + self.text())

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, line, patience=PATIENCE, meanwhile=None):
        """Writes a line, and returns the one that answers it; until then calls `meanwhile`."""
        before = len(self.lines)
        self.tell(line)
        while len(self.lines) == before:
            if meanwhile and not select.select([self.process.stdout], [], [], 0)[0]:
                meanwhile()
            else:
                check(self._read(patience), f"{self} ended:\n" + self.text())
        return self.lines[before]

    def read_to_end(self):
        """Its exit code, when it has ended by itself."""
        while self._read(PATIENCE):
            pass
        return self.process.wait(PATIENCE)

    def end(self, number=signal.SIGTERM):
        """Ends it with a signal and reads what it still has to say. Returns its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.read_to_end()

    def running(self):
        return self.process.poll() is None

    def text(self):
        return "\n".join([*self.lines, self._rest.decode(errors="replace")])

    def kill(self):
        if self.running():
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Stage:
    """All programs of one case; a context manager that leaves none of them running."""

    def __init__(self):
        self._programs = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in reversed(self._programs):
            program.kill()

    def program(self, *command, **options):
        program = Program(*command, **options)
        self._programs.append(program)
        return program

    def watch(self, kind, threads=2):
        """One of the programs that watch the clock: raw, vdso, mixed, musl, 32, go, python."""
        if kind == "python":
            return self.program("/bin/python3", "-I", "-S", "/targets/watch.py")
        watch = self.program(f"/targets/watch_{kind}", *([] if kind == "go" else [str(threads)]))
        watch.watchers = 1 if kind == "go" else threads
        return watch

    def agent(self, targets, *flags, command=("time-chaos",), **options):
        pids = [part for target in targets for part in ("--pid", str(target.pid))]
        return self.program(*command, "agent", *pids, *flags, ready=None, **options)


def read_once_more(watches):
    """Returns when every thread has read the clock in every way once more."""
    laps = {}
    for watch in watches:
        laps[watch] = watch.lines.count("lap") + watch.watchers
        watch.process.send_signal(signal.SIGUSR1)
    for watch in watches:
        watch.wait_for(lambda _: watch.lines.count("lap") >= laps[watch])


def time_chaos(*arguments, command=("time-chaos",)):
    """Runs a command to its end: (exit code, what it printed)."""
    done = subprocess.run([*command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout


def now():
    """On the clock that the spans of the watch programs are on."""
    return time.monotonic_ns()


def eventually(condition, patience=10):
    """True as soon as the condition holds; the kernel frees programs and links a little later."""
    until = time.monotonic() + patience
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
