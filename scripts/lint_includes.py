#!/usr/bin/env python3
"""Holds the tree to the order of its rooms (DESIGN: "Includes run downward only").

A file of agent/X includes files of its own room, of rooms on a lower level, and of include/. Only
agent/tracee includes the headers of ptrace. No file of agent/ or include/ is longer than 400 lines.
Prints "file:line: what is wrong" for each finding, and exits with 1 when there is one.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# From the bottom to the top; rooms of one level do not include each other.
LEVELS = [
    ["base"],
    ["targets", "settings", "serve"],
    ["tracee"],
    ["payload", "clock", "elf", "bpf"],
    ["vdso", "syscalls"],
    ["experiment", "library"],
    ["cli"],
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
MAIN = len(LEVELS)  # agent/main.cc stands above all rooms
MAX_LINES = 400
INCLUDE = re.compile(r'\s*#\s*include\s+[<"]([^>"]+)[>"]')
PTRACE_HEADERS = {"sys/ptrace.h", "linux/ptrace.h", "asm/ptrace.h"}


def room_of(path: pathlib.PurePath):
    """The room of agent/ROOM/file; "" for a file of agent/ itself, None for one elsewhere."""
    if path.parts[0] != "agent":
        return None
    return path.parts[1] if len(path.parts) > 2 else ""


def check_include(path, header):
    room = room_of(path)
    if header in PTRACE_HEADERS and room != "tracee":
        return f"includes <{header}>: only agent/tracee traces"
    target = pathlib.PurePath(header)
    if room is None:
        return f"include/ must not include {header}" if target.parts[0] == "agent" else None
    if target.parts[0] in ("tests", "scripts"):
        return f"the program must not include {header}"
    below = room_of(target)
    if below is None or below == room:
        return None
    if below not in LEVEL:
        return f"includes {header}, of a room without a level (add it to scripts/lint_includes.py)"
    if LEVEL[below] >= LEVEL.get(room, MAIN):
        return f"includes {header}: {below} is not below {room}"
    return None


def check_file(path):
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    room = room_of(path)
    if room and room not in LEVEL:
        yield 1, f"agent/{room} has no level (add it to scripts/lint_includes.py)"
    if len(lines) > MAX_LINES:
        yield len(lines), f"{len(lines)} lines, more than {MAX_LINES}: split it"
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        problem = check_include(path, match.group(1)) if match else None
        if problem:
            yield number, problem


def main():
    files = [
        path.relative_to(ROOT)
        for top in ("agent", "include")
        for path in sorted((ROOT / top).rglob("*"))
        if path.suffix in (".h", ".cc", ".c", ".S")
    ]
    findings = [f"{path}:{line}: {what}" for path in files for line, what in check_file(path)]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
