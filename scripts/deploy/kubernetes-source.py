#!/usr/bin/python3
"""Unpacks the source of Debian 12's Kubernetes as a new directory: what scripts/deploy/kubernetes-e2e.sh builds.

    kubernetes-source.py DIRECTORY
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "vm"))

from cache import scratch
from debian import Missing, Suites


def main():
    try:
        with scratch() as work:
            Suites(["bookworm"], work, sources=True).unpack_source("kubernetes", pathlib.Path(sys.argv[1]).absolute())
    except Missing as why:
        sys.exit(f"kubernetes-source.py: {why}")


if __name__ == "__main__":
    main()
