"""Packages of other Debian suites, from the mirror that this machine's own apt uses, by apt itself but
with a state of its own: the machine's package lists and installed packages stay as they are.

No address of a mirror is written down here, and none goes into a message.
"""

import pathlib
import re
import subprocess

KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Missing(Exception):
    """Why something cannot be had; the text is for the user."""


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        # The mirror's address is this machine's business.
        last = re.sub(r"\w+://\S+", "(mirror)", last)
        raise Missing(f"{command[0]} failed: {last}")
    return done.stdout


def mirrors():
    """(main, security): base addresses of the Debian archive as this machine's apt knows them."""
    listing = run(["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)",
                   "Identifier: Packages"])
    main = security = None
    for line in listing.splitlines():
        address, release, component = line.split("|")
        if component != "main" or not re.fullmatch(r"[a-z]+(-(updates|backports|security))?", release):
            continue  # somebody else's packages
        if release.endswith("-security"):
            security = security or address
        else:
            main = main or address
    if not main:
        raise Missing("this machine's apt has no Debian suite to take a mirror from")
    return main, security or re.sub(r"/debian/?$", "/debian-security/", main)


class Suites:
    """One suite, or several that apt is to see together. `status` is what counts as installed:
    nothing, or the machine's own /var/lib/dpkg/status. `sources`: source packages, and no others."""

    def __init__(self, names, root, status="/dev/null", sources=False):
        self.sources = sources
        self.root = root / "_".join(names)
        for part in ("state/lists/partial", "cache/archives/partial", "parts"):
            (self.root / part).mkdir(parents=True, exist_ok=True)
        # Read with -c, after the machine's configuration, so that #clear removes its hooks.
        (self.root / "apt.conf").write_text(f"""\
Dir::State "{self.root}/state";
Dir::State::status "{status}";
Dir::Cache "{self.root}/cache";
Dir::Etc::sourcelist "{self.root}/sources.list";
Dir::Etc::sourceparts "{self.root}/parts";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{self.root}/parts";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::Retries "2";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
""")
        problem = None
        # An old suite may have moved to the archive part of the mirror.
        for moved in (False, True):
            try:
                self._update(names, moved)
                return
            except Missing as why:
                problem = problem or why
        raise Missing(f"suite {' '.join(names)} cannot be read from this machine's mirror ({problem})")

    def _update(self, names, moved):
        main, security = mirrors()
        signed = f" signed-by={KEYRING}" if KEYRING.exists() else ""
        lines = []
        for name in names:
            base = security if name.endswith("-security") else main
            if moved:
                base = re.sub(r"/(debian[a-z-]*)/?$", r"/debian-archive/\1/", base)
            kind = "deb-src" if self.sources else "deb"
            lines.append(f"{kind} [arch=amd64{signed}] {base} {name} main\n")
        (self.root / "sources.list").write_text("".join(lines))
        self.apt("apt-get", "-q", "update")

    def apt(self, tool, *arguments, **options):
        return run([tool, "-c", str(self.root / "apt.conf"), *arguments], **options)

    def unpack(self, package, version, into):
        """Downloads one package and unpacks its files below `into`, a new directory."""
        into.mkdir(parents=True)
        self.apt("apt-get", "-q", "download", f"{package}={version}", cwd=into)
        archive = next(into.glob("*.deb"))
        run(["dpkg", "-x", str(archive), str(into)])
        archive.unlink()

    def unpack_newest(self, package, into):
        """The same of the version that apt would take."""
        shown = self.apt("apt-cache", "show", "--no-all-versions", package)
        self.unpack(package, re.search(r"^Version: (.*)$", shown, re.M).group(1), into)

    def unpack_source(self, package, into):
        """Downloads a source package and unpacks it, patched, as the new directory `into`."""
        with_files = self.root / "source"
        with_files.mkdir()
        self.apt("apt-get", "-q", "--download-only", "source", package, cwd=with_files)
        run(["dpkg-source", "--no-check", "-x", str(next(with_files.glob("*.dsc"))), str(into)])
        for original in into.parent.glob("*.orig.tar.*"):  # dpkg-source leaves it beside
            original.unlink()

    def unpack_with_dependencies(self, package, suite, into):
        """The package out of `suite` and all that it needs and that is not installed, unpacked."""
        self.apt("apt-get", "-q", "-y", "--no-install-recommends", "--download-only", "-t", suite,
                 "install", package)
        for archive in sorted((self.root / "cache/archives").glob("*.deb")):
            run(["dpkg", "-x", str(archive), str(into)])
