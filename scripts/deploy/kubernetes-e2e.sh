#!/usr/bin/env bash
# Runs the overlays of scripts/deploy/kubernetes in a real Kubernetes: builds it from Debian's source package
# (1.20, with Go 1.19), starts etcd, apiserver, controller-manager, scheduler,
# kubelet and containerd as a node of one, in a network namespace of its own, and applies sidecar, DaemonSet
# and Job. Not part of scripts/test.sh: tests/containers speaks the kubelet's language to containerd instead.
#
#   scripts/deploy/kubernetes-e2e.sh [--build-only]
#
# As root, with cgroups that it may write to. What is built is kept in .cache/kubernetes ($TIME_CHAOS_CACHE).
# All that is started is ended, by pid. Kubernetes 1.20 knows no native sidecars (1.29), so the plain one is run.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."
here=$PWD
cache=${TIME_CHAOS_CACHE:-$here/.cache}/kubernetes
commands=(kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl)

# As the package does, less its build system; its go.mod is too old for Go 1.19.
in_source() { (cd "$source" && env GO111MODULE=off GOPATH="$cache/go" GOCACHE="$cache/go-cache" GOFLAGS= CGO_ENABLED=0 nice "$@"); }

# The descriptions of the API's types, which the API server is built with, are not in the source.
generate_openapi() {
  local package=pkg/generated/openapi types
  [[ -s $source/$package/zz_generated.openapi.go ]] && return
  in_source go build -o "$cache/bin/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  types=$(in_source grep -rlE --include='*.go' '^\s*//\s*\+k8s:openapi-gen=' pkg/apis staging/src/k8s.io | xargs -n1 dirname |
    sort -u | grep -vE '/_examples/|sample-apiserver|/apis/example|testapigroup' |
    sed 's,^staging/src,vendor,; s,^,k8s.io/kubernetes/,' | paste -sd,)
  in_source "$cache/bin/openapi-gen" --logtostderr -i "$types" -p "k8s.io/kubernetes/$package" -O zz_generated.openapi \
    -h hack/boilerplate/boilerplate.generatego.txt -r /dev/null
}

build_kubernetes() {
  local command source=$cache/go/src/k8s.io/kubernetes
  for command in "${commands[@]}"; do
    [[ -x $cache/bin/$command ]] && continue
    [[ -d $source ]] || { mkdir -p "${source%/*}"; scripts/deploy/kubernetes-source.py "$source"; }
    generate_openapi
    echo "building $command"
    in_source go build -ldflags "-s -w" -o "$cache/bin/$command" "./cmd/$command"
  done
}

if [[ ${1:-} == -h || ${1:-} == --help ]]; then sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$self"; exit 0; fi
if [[ ${1:-} != --inside ]]; then
  scripts/packages.sh deploy containers kubernetes
  build_kubernetes
  [[ ${1:-} == --build-only ]] && exit
  [[ -x build/time-chaos ]] || { cmake --preset release -DTIME_CHAOS_TESTS=OFF && cmake --build build --target time-chaos; }
  exec unshare --net --mount "$self" --inside
fi

# From here on in a network namespace of our own: every address below is this namespace's loopback device. And in a
# mount namespace, where the kubelet's logs are nobody else's.
ip link set lo up
ip address add 198.18.0.1/32 dev lo
mount -t tmpfs tmpfs /var/log
# The kubelet sets these for the whole machine.
tunables=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys
  kernel.keys.root_maxbytes)
settings=$(sysctl "${tunables[@]}")
work=$(mktemp -d /tmp/tc-kubernetes-XXXXXX)
pids=()
finish() {
  local code=$? pid
  set +e
  ((code == 0)) || {
    tail -n 5 "$work"/*.log
    k get pods
    k logs --all-containers --prefix --tail 5 -l app
  }
  k delete --all --wait=false --grace-period=0 --force deployments,daemonsets,jobs,pods >/dev/null 2>&1
  # The kubelet stops what it started, if it is given the time.
  sleep 8
  for pid in $(printf '%s\n' "${pids[@]}" | tac); do kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done
  # Shims that are left belong to our containerd: their socket directory is in $work.
  for pid in /proc/[0-9]*; do
    if { tr '\0' ' ' <"$pid/cmdline"; } 2>/dev/null | grep -q "containerd-shim.*$work"; then kill -KILL "${pid#/proc/}"; fi
  done
  sysctl --quiet --load - <<<"$settings"
  sleep 1
  awk -v work="$work" 'index($2, work) == 1 { print $2 }' /proc/mounts | tac | xargs -r umount --lazy
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT

# start NAME COMMAND...
start() {
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 </dev/null &
  pids+=($!)
}
# eventually SECONDS WHAT COMMAND...: fails when the command did not succeed in time.
eventually() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS > end)); then echo "FAILED: $what" >&2; return 1; fi
    sleep 1
  done
  echo "ok: $what"
}
server=https://127.0.0.1:6443
k() { "$cache/bin/kubectl" --kubeconfig "$work/kubeconfig" "$@"; }

cat >"$work/kubeconfig" <<END
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "$server", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: admin}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
END
echo 'admin,admin,admin,system:masters' >"$work/tokens"
openssl genrsa -out "$work/service.key" 2048 2>/dev/null

# The images, and containerd as in tests/containers.
mkdir -p "$work/containerd/cni" "$work/logs"
unique=$(/usr/bin/python3 -B - "$here" "$work" <<'END'
import pathlib, sys
here, work = map(pathlib.Path, sys.argv[1:])
sys.path[:0] = [str(here / "tests/containers")]
import images, json, node, podman, shutil
environment = podman.environment(work, images.PAUSE)
images.Images(work, environment, here / "build/time-chaos")
root = work / "containerd"
(root / "cni/10-tests.conflist").write_text(json.dumps(node.network(root)))
(root / "config.toml").write_text(node.CONFIG.format(root=root, runc=shutil.which("runc", path=node.PATH)))
print(images.UNIQUE)  # the application by a name that no other process of this machine has
END
)
start containerd containerd -c "$work/containerd/config.toml"
eventually 30 "containerd runs" ctr -a "$work/containerd/containerd.sock" version
for image in "$work"/*.tar; do ctr -a "$work/containerd/containerd.sock" -n k8s.io image import "$image" >/dev/null; done

start etcd etcd --data-dir "$work/etcd" --listen-client-urls http://127.0.0.1:2379 \
  --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
start apiserver "$cache/bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --cert-dir "$work/certificates" \
  --bind-address 127.0.0.1 --advertise-address 198.18.0.1 --secure-port 6443 --token-auth-file "$work/tokens" --authorization-mode AlwaysAllow \
  --service-account-issuer https://kubernetes.default --service-account-key-file "$work/service.key" \
  --service-account-signing-key-file "$work/service.key" --service-cluster-ip-range 198.19.0.0/16 \
  --disable-admission-plugins ServiceAccount --kubelet-preferred-address-types InternalIP
eventually 90 "the API server answers" k get --raw /readyz
start controller-manager "$cache/bin/kube-controller-manager" --kubeconfig "$work/kubeconfig" --leader-elect=false \
  --service-account-private-key-file "$work/service.key" --cert-dir "$work/certificates"
start scheduler "$cache/bin/kube-scheduler" --kubeconfig "$work/kubeconfig" --leader-elect=false \
  --cert-dir "$work/certificates"
cat >"$work/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
# How soon a ConfigMap's change reaches the pods.
syncFrequency: 5s
configMapAndSecretChangeDetectionStrategy: Watch
evictionHard: {memory.available: 1Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
END
start kubelet "$cache/bin/kubelet" --kubeconfig "$work/kubeconfig" --config "$work/kubelet.yaml" \
  --root-dir "$work/kubelet" --cert-dir "$work/certificates" --hostname-override node --node-ip 198.18.0.1 \
  --container-runtime remote \
  --container-runtime-endpoint "unix://$work/containerd/containerd.sock"
eventually 90 "the node is ready" k wait --for=condition=Ready node/node --timeout=1s

# Rendered by this kubectl's elder, and with the images that are here.
render() {
  /usr/bin/python3 -B - "$here" "$1" <<'END'
import sys
sys.path[:0] = [f"{sys.argv[1]}/tests/containers"]
import kubectl, manifests, yaml
print(yaml.safe_dump_all(manifests.with_images(manifests.render(kubectl.find(), sys.argv[2]))))
END
}
# How many seconds the newest reading of a pod's application is ahead, rounded.
ahead() { # SELECTOR
  k logs -l "$1" -c app --tail 1 | awk -v real="$(date +%s)" -v up="$(awk '{print $1}' /proc/uptime)" \
    'NF == 3 { printf "%d\n", ($2 - $1) / 1e9 - (real - up) + ($2 > $1 ? 0.5 : 0) }'
}
is_ahead() { local got; got=$(ahead "$1"); ((got >= $2 - 2 && got <= $2 + 2)); }

eventually 20 "the namespace has its service account" k get serviceaccount default
render sidecar-plain | k apply -f -
eventually 90 "sidecar: the application is shifted by -1h" is_ahead app=app -3600
k create configmap time-chaos --from-literal "experiment.yaml=offset: 2h" --dry-run=client -o yaml | k apply -f - 2>/dev/null
eventually 120 "sidecar: the ConfigMap's change is followed" is_ahead app=app 7200
k delete deployment app --wait=true >/dev/null

bare() { # NAME: the application alone
  cat <<END
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: $1}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - {name: app, image: "localhost/tc-app:test", command: ["/$unique"], securityContext: {runAsUser: 1000}}
END
}
bare one | k apply -f -
bare other | k apply -f -
k wait --for=condition=Ready pod/one pod/other --timeout=60s >/dev/null
render node | sed "s/--name=app/--name=$unique/" | k apply -f -
eventually 60 "DaemonSet: one application is shifted" is_ahead app=one -3600
eventually 60 "DaemonSet: the other, too" is_ahead app=other -3600
k delete daemonset time-chaos --wait=true >/dev/null
eventually 60 "DaemonSet: deleted, both are recovered" eval 'is_ahead app=one 0 && is_ahead app=other 0'

render job | sed "s/00000000-0000-0000-0000-000000000000/$(k get pod one -o 'jsonpath={.metadata.uid}')/; s/--duration=1m/--duration=20s/" |
  k apply -f -
eventually 60 "Job: the pod that it names is shifted" is_ahead app=one -3600
is_ahead app=other 0 && echo "ok: Job: the other is not"
eventually 60 "Job: it completes" k wait --for=condition=Complete job/time-chaos --timeout=1s
eventually 20 "Job: the pod is recovered" is_ahead app=one 0
echo "all ok, Kubernetes $(sed -n '1s/.*(\(.*\)).*/\1/p' "$cache/go/src/k8s.io/kubernetes/debian/changelog")"
