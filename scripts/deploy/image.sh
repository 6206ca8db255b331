#!/usr/bin/env bash
# Builds the container image of time-chaos with buildah, from scratch: the program, the libraries that it is
# linked with, and nothing else: no shell, no package manager, no users.
#
#   scripts/deploy/image.sh [--program FILE] [--tag NAME] [--archive FILE]
#
#   --program FILE  default: build/time-chaos, built if it is not there
#   --tag NAME      default: localhost/time-chaos:VERSION
#   --archive FILE  also write a docker archive, for `ctr -n k8s.io image import` and `podman load`
#
# Needs `scripts/packages.sh deploy`, and no root where rootless buildah works. Prints the image's name and
# its size. Nothing is pulled: there is no base image.
set -euo pipefail
self=$(realpath "$0")
program=$(dirname "$self")/../../build/time-chaos
tag=
archive=
while (($#)); do
  case $1 in
    --program) program=$(realpath -m "${2:?image.sh: --program needs a file}"); shift ;;
    --tag) tag=${2:?image.sh: --tag needs a name}; shift ;;
    --archive) archive=$(realpath -m "${2:?image.sh: --archive needs a file}"); shift ;;
    -h | --help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$self"; exit 0 ;;
    *) echo "image.sh: $1 is not known; see scripts/deploy/image.sh --help" >&2; exit 2 ;;
  esac
  shift
done

cd "$(dirname "$self")/../.."
if [[ ! -x $program ]]; then
  scripts/packages.sh build
  cmake --preset release -DTIME_CHAOS_TESTS=OFF >/dev/null
  cmake --build build --target time-chaos
fi
version=$("$program" --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)
tag=${tag:-localhost/time-chaos:$version}

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# put FILE PATH: what is linked to is copied, stripped, not the link.
put() { install -D -m 755 "$1" "$root/$2" && strip --strip-unneeded "$root/$2"; }

put "$program" usr/local/sbin/time-chaos
# "libfmt.so.9 => /lib/.../libfmt.so.9 (0x...)", and the loader as "/lib64/ld-linux-x86-64.so.2 (0x...)".
while read -r path; do
  put "$path" "$path"
done < <(ldd "$program" | grep -oE '/[^ ]+ \(0x' | sed 's/ (0x$//')
# So that mounts of /proc, /sys, /run and /etc find their places under a read-only root.
mkdir -p "$root"/{dev,etc,proc,run,sys,tmp}
# Nothing of this image depends on when, or by whom, it was built.
find "$root" -exec touch --no-dereference --date=@0 {} +

container=$(buildah from scratch)
trap 'buildah rm "$container" >/dev/null 2>&1 || true; rm -rf "$root"' EXIT
buildah copy --quiet "$container" "$root" / >/dev/null
# User 0: Kubernetes gives added capabilities to root only (see the comments in kubernetes/base).
buildah config \
  --entrypoint '["/usr/local/sbin/time-chaos"]' --cmd doctor --user 0:0 --workingdir / \
  --label org.opencontainers.image.title=time-chaos \
  --label org.opencontainers.image.version="$version" \
  --label org.opencontainers.image.licenses=Apache-2.0 "$container"
buildah commit --quiet --timestamp 0 --format docker "$container" "$tag" >/dev/null
if [[ $archive ]]; then
  rm -f "$archive"
  buildah push --quiet "$tag" "docker-archive:$archive:$tag" >/dev/null
fi
size=$(find "$root" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.1f MB", sum / 1e6 }')
printf '%s: %s, %d files\n' "$tag" "$size" "$(find "$root" -type f | wc -l)"
