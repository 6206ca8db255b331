"""A Python for the guest: this machine's interpreter, and of its library only the modules that are asked
for, with all that they import."""

import json
import pathlib
import subprocess
import sys

LIST = """
import importlib, json, os, sys, sysconfig
for name in sys.argv[1:]:
    importlib.import_module(name)
files = {os.__file__}
for module in list(sys.modules.values()):
    # Most are frozen into the interpreter; it looks for the library by os.py all the same.
    for name in (getattr(module, "__file__", None), getattr(module, "__cached__", None)):
        if name and os.path.exists(name):
            files.add(name)
print(json.dumps([os.path.realpath(sys.executable), sysconfig.get_path("platstdlib"), sorted(files)]))
"""
INTERPRETERS = ("/usr/bin/python3", sys.executable)


def add_python(archive, modules):
    interpreter = next(path for path in INTERPRETERS if pathlib.Path(path).exists())
    done = subprocess.run([interpreter, "-I", "-S", "-c", LIST, *modules], capture_output=True, text=True,
                          check=True)
    program, library, files = json.loads(done.stdout)
    archive.program(program, path=program)
    archive.symlink("bin/python3", program)
    archive.directory(f"{library}/lib-dynload")
    for file in files:
        if file.endswith(".so"):
            archive.program(file, path=file)  # with the libraries that it needs
        else:
            archive.file(file, file)
