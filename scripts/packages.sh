#!/usr/bin/env bash
# Installs what a part of the project needs, on Debian 12. The one list of packages: whoever needs
# something adds it here.
#
#   scripts/packages.sh PART...      PART: build demo test vm bench lint deploy containers kubernetes
#
# Does nothing, quickly, where all is there. "package=command" is there as well when the command is:
# somebody may have installed it by other means.
set -euo pipefail

declare -A packages
packages[build]="g++ cmake ninja-build pkgconf libfmt-dev libexpected-dev libcli11-dev nlohmann-json3-dev
       libzydis-dev libyaml-cpp-dev clang-14 bpftool libbpf-dev libcap-ng-dev"
packages[demo]="python3=python3 golang-go=go"
# Compilers and interpreters of the programs under test; python3 and what unpacks kernel
# packages for the golden set.
packages[test]="libgtest-dev libgmock-dev libbenchmark-dev golang-go=go default-jdk-headless=javac
      nodejs=node perl=perl python3=python3 rustc=rustc musl-tools gcc-multilib libcap2-bin
      util-linux zstd=zstd xz-utils=xz strace=strace
      python3-pytest python3-pip python3-setuptools python3-wheel"
# What is put into the virtual machines, besides our own. QEMU and the kernels: scripts/vm/fetch.py.
packages[vm]="busybox-static=busybox bpftool=bpftool util-linux libcap2-bin libc-bin python3=python3"
packages[bench]="libbenchmark-dev faketime"
# What scripts/deploy/image.sh builds with. golang-github-containers-common has the policy that buildah asks.
packages[deploy]="buildah=buildah binutils=strip golang-github-containers-common"
# What pods are run in, in the tests, and what speaks to it. runc and not crun, which knows no hybrid control groups.
packages[containers]="${packages[deploy]} podman=podman conmon=conmon containerd=containerd runc
      containernetworking-plugins gcc libc6-dev libcap2-bin protobuf-compiler=protoc systemd=systemd-analyze
      python3 python3-grpcio python3-protobuf python3-yaml python3-kubernetes"
# What scripts/deploy/kubernetes-e2e.sh builds Kubernetes with, and keeps its state in.
packages[kubernetes]="golang-go=go dpkg-dev=dpkg-source procps=sysctl etcd-server=etcd openssl=openssl iproute2=ip
      iptables=iptables ethtool conntrack socat"
packages[lint]="clang-format-14 clang-tidy-14 python3=python3"

missing=()
for part in "$@"; do
  if [[ -z ${packages[$part]:-} ]]; then
    echo "packages.sh: no part $part; there are: build demo test vm bench lint deploy containers kubernetes" >&2
    exit 2
  fi
  for entry in ${packages[$part]}; do
    package=${entry%%=*}
    if [[ $entry == *=* ]] && command -v "${entry#*=}" >/dev/null; then continue; fi
    missing+=("$package")
  done
done

# One query for all of them. What dpkg does not know at all is not in its answer.
if ((${#missing[@]})); then
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${missing[@]}" 2>/dev/null |
    awk '$1 == "installed" { print $2 }' || true)
  wanted=("${missing[@]}")
  missing=()
  for package in "${wanted[@]}"; do
    grep -qxF "$package" <<<"$installed" || missing+=("$package")
  done
fi
((${#missing[@]})) || exit 0

if ((EUID != 0)); then
  echo "packages.sh: packages are missing; as root: apt-get install ${missing[*]}" >&2
  exit 3
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A few tries: mirrors fail now and then.
for try in 1 2 3; do
  if apt-get update </dev/null >"$log" 2>&1 &&
    apt-get install -y --no-install-recommends "${missing[@]}" </dev/null >>"$log" 2>&1; then
    exit 0
  fi
  ((try == 3)) || sleep $((try * 5))
done
tail -n 20 "$log" >&2
echo "packages.sh: apt-get could not install ${missing[*]}" >&2
exit 1
