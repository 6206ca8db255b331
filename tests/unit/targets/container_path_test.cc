// What /proc/PID/cgroup looks like in a container, as recorded from each runtime with each driver.
#include "agent/targets/container_path.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace time_chaos::targets {
namespace {

const std::string kId = "4f0e1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7";
const std::string kOther = "9b8a7c6d5e4f30213243546576879809a1b2c3d4e5f60718293a4b5c6d7e8f90";
const std::string kUid = "3f6a1c9e-7a52-4a7c-9d0b-5a2f1c0e8b77";
const std::string kUidInSlice = "3f6a1c9e_7a52_4a7c_9d0b_5a2f1c0e8b77";
const std::string kStatic = "e1b2c3d4e5f60718293a4b5c6d7e8f90";

struct Case {
  std::string what;
  std::string text;
  std::string container;
  std::string pod;
};
std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.what;
}

// All of version 1's lines that have a path below a container.
std::string first(const std::string& path) {
  std::string text;
  int number = 12;
  for (const char* name : {"perf_event", "memory", "cpu,cpuacct", "pids", "name=systemd"}) {
    text += std::to_string(number--) + ":" + name + ":" + path + "\n";
  }
  return text;
}
std::string second(const std::string& path) {
  return "0::" + path + "\n";
}

std::vector<Case> cases() {
  const std::string slice =
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kUidInSlice + ".slice/";
  const std::string guaranteed = "/kubepods.slice/kubepods-pod" + kUidInSlice + ".slice/";
  const std::string plain = "/kubepods/burstable/pod" + kUid + "/";
  return {
      {"docker, cgroupfs, v1", first("/docker/" + kId), kId, ""},
      {"docker, cgroupfs, v2", second("/docker/" + kId), kId, ""},
      {"docker, systemd, v1", first("/system.slice/docker-" + kId + ".scope"), kId, ""},
      {"docker, systemd, v2", second("/system.slice/docker-" + kId + ".scope"), kId, ""},
      {"docker, hybrid", first("/docker/" + kId) + second("/"), kId, ""},
      {"docker with systemd inside", second("/docker/" + kId + "/system.slice/nginx.service"), kId,
       ""},
      {"docker in docker: the inner", second("/docker/" + kOther + "/docker/" + kId), kId, ""},
      {"kind: a pod in a docker node",
       second("/docker/" + kOther + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" +
              kUidInSlice + ".slice/cri-containerd-" + kId + ".scope"),
       kId, kUid},
      {"containerd, systemd, v2", second(slice + "cri-containerd-" + kId + ".scope"), kId, kUid},
      {"containerd, systemd, v1", first(slice + "cri-containerd-" + kId + ".scope"), kId, kUid},
      {"containerd, systemd, guaranteed", second(guaranteed + "cri-containerd-" + kId + ".scope"),
       kId, kUid},
      {"containerd, cgroupfs, v1", first(plain + kId), kId, kUid},
      {"containerd, cgroupfs, v2", second(plain + kId), kId, kUid},
      {"containerd, cgroupfs, guaranteed", second("/kubepods/pod" + kUid + "/" + kId), kId, kUid},
      {"containerd, systemd's names without systemd",
       first("/system.slice/containerd.service/kubepods-burstable-pod" + kUidInSlice +
             ".slice:cri-containerd:" + kId),
       kId, kUid},
      {"containerd, hybrid", first("/") + "4:memory:" + plain + kId + "\n" + second("/"), kId,
       kUid},
      {"containerd, no parent", second("/k8s.io/" + kId), kId, ""},
      {"nerdctl", second("/system.slice/nerdctl-" + kId + ".scope"), kId, ""},
      {"nerdctl, cgroupfs", second("/default/" + kId), kId, ""},
      {"cri-dockerd", second(slice + "docker-" + kId + ".scope"), kId, kUid},
      {"CRI-O, systemd, v2", second(slice + "crio-" + kId + ".scope"), kId, kUid},
      {"CRI-O, its group below", second(slice + "crio-" + kId + ".scope/container"), kId, kUid},
      {"CRI-O, cgroupfs, v1", first(plain + "crio-" + kId), kId, kUid},
      {"CRI-O's conmon", second(slice + "crio-conmon-" + kId + ".scope"), "", kUid},
      {"podman, systemd, v2", second("/machine.slice/libpod-" + kId + ".scope"), kId, ""},
      {"podman, split", second("/machine.slice/libpod-" + kId + ".scope/container"), kId, ""},
      {"podman, cgroupfs, v1", first("/libpod_parent/libpod-" + kId), kId, ""},
      {"podman, rootless",
       second("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + kId + ".scope"),
       kId, ""},
      {"podman's pod, systemd",
       second("/machine.slice/machine-libpod_pod_" + kOther + ".slice/libpod-" + kId + ".scope"),
       kId, kOther},
      {"podman's pod, cgroupfs", first("/libpod_parent/" + kOther + "/libpod-" + kId), kId, ""},
      {"podman's conmon", second("/machine.slice/libpod-conmon-" + kId + ".scope"), "", ""},
      {"a static pod",
       second("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kStatic +
              ".slice/cri-containerd-" + kId + ".scope"),
       kId, kStatic},
      {"a neighbour, from a private cgroup namespace",
       second("/../cri-containerd-" + kId + ".scope"), kId, ""},
      {"another pod, from a private cgroup namespace",
       second("/../../kubepods-besteffort-pod" + kUidInSlice + ".slice/crio-" + kId + ".scope"),
       kId, kUid},
      {"the pod itself, no container", second(slice), "", kUid},
      {"the agent's own, privately", second("/"), "", ""},
      {"a session", second("/user.slice/user-0.slice/session-3.scope"), "", ""},
      {"a service with many digits", second("/system.slice/run-r" + kId + ".service"), "", ""},
      {"no UID", second("/kubepods/podium/x"), "", ""},
      {"an id cut short", second("/docker/" + kId.substr(1)), "", ""},
      {"capitals are no id", second("/docker/" + std::string(64, 'A')), "", ""},
      {"nothing", "", "", ""},
      {"cut off", "0:", "", ""},
      {"no newline at the end", "0::/docker/" + kId, kId, ""},
  };
}

class ContainerPaths : public testing::TestWithParam<Case> {};

TEST_P(ContainerPaths, SayContainerAndPod) {
  const ContainerPath found = parse_container_path(GetParam().text);
  EXPECT_EQ(found.container, GetParam().container) << GetParam().text;
  EXPECT_EQ(found.pod, GetParam().pod) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(Recorded, ContainerPaths, testing::ValuesIn(cases()));

TEST(PodUid, IsWrittenInOneWay) {
  EXPECT_EQ(pod_uid(kUidInSlice), kUid);
  EXPECT_EQ(pod_uid("3F6A1C9E-7A52-4A7C-9D0B-5A2F1C0E8B77"), kUid);
}

TEST(PodMounts, NameThePod) {
  EXPECT_EQ(parse_pod_mounts("1201 1187 8:1 /var/lib/kubelet/pods/" + kUid +
                             "/etc-hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw\n"),
            kUid);
  EXPECT_EQ(parse_pod_mounts("30 1 0:9 / /etc/resolv.conf rw - tmpfs tmpfs rw\n"
                             "1202 1187 8:1 /pods/" +
                             kUid + "/containers/app/0a1b2c3d /dev/termination-log rw - ext4 a rw"),
            kUid);
  EXPECT_EQ(parse_pod_mounts("1 2 8:1 /srv/pods/x /pods/ rw - ext4 /dev/sda1 rw\n"), "");
  EXPECT_EQ(parse_pod_mounts(""), "");
}

// Who serves pods is in none of them.
TEST(PodMounts, OfOthersSayNothing) {
  const std::string directory = "/var/lib/kubelet/pods/" + kUid;
  const std::vector<std::string> lines = {
      // The kubelet, a CSI driver, a node of kind: the volumes of a pod, as mounts of theirs.
      "812 700 0:90 / " + directory + "/volumes/kubernetes.io~projected/token rw - tmpfs t rw",
      "812 700 8:1 " + directory + "/volumes/x /var/lib/kubelet/pods rw - ext4 /dev/sda1 rw",
      "812 700 8:1 " + directory + " /host/etc/hosts rw - ext4 /dev/sda1 rw",
      "812 700 8:1 / /etc/hosts rw - ext4 " + directory + "/etc-hosts rw",
      "812 700 8:1 /var/lib/docker/containers/x/hosts /etc/hosts rw - ext4 /dev/sda1 rw",
      "812 700 8:1 /etc/hosts",
  };
  for (const std::string& line : lines) {
    EXPECT_EQ(parse_pod_mounts(line + "\n"), "") << line;
  }
}

}  // namespace
}  // namespace time_chaos::targets
