"""Writes an initramfs: an uncompressed cpio archive in the "newc" format, which needs neither cpio nor root
(Documentation/driver-api/early-userspace/buffer-format.rst). The kernel takes several, one after the other.
"""

import pathlib
import re
import stat
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
DIRECTORIES = "bin applets proc sys dev tmp run etc lib lib64 usr mnt root"


class Archive:
    def __init__(self):
        self._entries = {}  # name -> (mode, data, (major, minor), time of change)

    def _add(self, name, mode, data=b"", device=(0, 0), changed=0):
        name = name.strip("/")
        parent = name.rpartition("/")[0]
        if parent and parent not in self._entries:
            self.directory(parent)
        self._entries[name] = (mode, data, device, changed)

    def directory(self, name):
        self._add(name, stat.S_IFDIR | 0o755)

    def symlink(self, name, to):
        self._add(name, stat.S_IFLNK | 0o777, to.encode())

    def text(self, name, text, mode=0o755):
        self._add(name, stat.S_IFREG | mode, text.encode())

    def device(self, name, major, minor):
        self._add(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def file(self, name, path):
        path = pathlib.Path(path)
        status = path.stat()
        mode = 0o755 if status.st_mode & 0o111 else 0o644
        # The time, because Python holds its compiled files against it.
        self._add(name, stat.S_IFREG | mode, path.read_bytes(), changed=int(status.st_mtime))

    def program(self, source, name=None, path=None):
        """A program as /bin/NAME or as `path`, and the shared libraries that it needs."""
        source = pathlib.Path(source)
        self.file(path or f"bin/{name or source.name}", source)
        # Fails for what is not an ELF file or needs no library.
        listing = subprocess.run(["ldd", str(source)], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listing):
            if library.strip("/") not in self._entries:
                self.file(library, library)

    def write(self, path):
        with open(path, "wb") as out:
            for number, (name, entry) in enumerate(self._entries.items(), start=1):
                self._write(out, number, name, *entry)
            self._write(out, 0, "TRAILER!!!", 0, b"", (0, 0), 0)

    @staticmethod
    def _write(out, number, name, mode, data, device, changed):
        name = name.encode() + b"\0"
        fields = [number, mode, 0, 0, 1, changed, len(data), 0, 0, *device, len(name), 0]
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        out.write(header + bytes(-len(header) % 4) + data + bytes(-len(data) % 4))


def base():
    """Busybox, and the first process."""
    archive = Archive()
    for name in DIRECTORIES.split():
        archive.directory(name)
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3)
    busybox = subprocess.run(["sh", "-c", "command -v busybox"], capture_output=True, text=True).stdout.strip()
    if not busybox:
        raise FileNotFoundError("busybox is not installed (scripts/packages.sh vm)")
    archive.program(busybox, "busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout
    for applet in applets.split():
        archive.symlink(f"applets/{applet}", "/bin/busybox")
    archive.symlink("bin/sh", "/bin/busybox")  # what system(3) and scripts call
    archive.text("init", (HERE / "init").read_text())
    return archive
