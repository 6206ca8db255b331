// What the paths of /proc/PID/cgroup say about the container and the pod that a process is in.
#pragma once

#include <string>
#include <string_view>

namespace time_chaos::targets {

struct ContainerPath {
  std::string container;  // its id, 64 hexadecimal digits; empty: in none
  std::string pod;        // the UID of its pod as pod_uid() has it, or the id of podman's pod
};

// `text`: of /proc/PID/cgroup, of either version or both, as docker, containerd, CRI-O and podman
// name their groups, with systemd's driver or without. Of nested containers the innermost. What
// watches over a container in a group of its own (conmon) is in none.
ContainerPath parse_container_path(std::string_view text);

// A UID as the kubelet writes it in any place: "_" for "-" in the names of slices. Lower case, "-".
std::string pod_uid(std::string_view text);

// /proc/PID/mountinfo names the pod whose /etc/hosts or /dev/termination-log the kubelet has
// mounted into the container. Empty: none. It is known there also where a cgroup namespace hides
// it. Other mounts say nothing: whoever serves pods (kubelet, CSI drivers, kind's nodes) has files
// of theirs.
std::string parse_pod_mounts(std::string_view mountinfo);

}  // namespace time_chaos::targets
