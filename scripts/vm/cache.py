"""Where fetched things are kept: .cache/ of this source tree, or $TIME_CHAOS_CACHE, which several
trees can share. Nothing in it is ever committed."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile

SOURCE_TREE = pathlib.Path(__file__).resolve().parents[2]


def cache():
    return pathlib.Path(os.environ.get("TIME_CHAOS_CACHE") or SOURCE_TREE / ".cache").absolute()


@contextlib.contextmanager
def locked():
    """One fetch at a time; the others wait, and then find what it fetched."""
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def scratch():
    """A directory on the cache's own file system, so that results can be renamed into place."""
    cache().mkdir(parents=True, exist_ok=True)
    path = pathlib.Path(tempfile.mkdtemp(prefix="fetch-", dir=cache()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def replace_directory(new, old):
    shutil.rmtree(old, ignore_errors=True)
    old.parent.mkdir(parents=True, exist_ok=True)
    new.rename(old)
