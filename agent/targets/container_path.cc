#include "agent/targets/container_path.h"

#include <algorithm>
#include <cctype>

#include "agent/targets/proc_text.h"

namespace time_chaos::targets {
namespace {

constexpr size_t kIdLength = 64;
constexpr size_t kUidLength = 36;
constexpr size_t kStaticUidLength = 32;  // of a static pod: a hash, without dashes

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_uid(std::string_view text) {
  if (text.size() == kStaticUidLength) return is_hex(text);
  if (text.size() != kUidLength) return false;
  for (size_t i = 0; i < text.size(); i++) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !is_hex(text.substr(i, 1))) return false;
  }
  return true;
}

// "cri-containerd-ID.scope" and, where systemd's name was used without systemd,
// "kubepods-burstable-podUID.slice:cri-containerd:ID".
void read_part(std::string_view part, ContainerPath& into) {
  if (const size_t colon = part.find(':'); colon != std::string_view::npos) {
    read_part(part.substr(0, colon), into);
    return read_part(part.substr(part.rfind(':') + 1), into);
  }
  for (const std::string_view suffix : {".scope", ".slice", ".service"}) {
    if (part.ends_with(suffix)) part.remove_suffix(suffix.size());
  }
  if (part.size() >= kIdLength && is_hex(part.substr(part.size() - kIdLength))) {
    const std::string_view id = part.substr(part.size() - kIdLength);
    const std::string_view before = part.substr(0, part.size() - kIdLength);
    if (before.ends_with("libpod_pod_")) {
      into.pod = id;
      into.container.clear();
    } else if (before.ends_with("conmon-")) {
      into.container.clear();
    } else if (before.empty() || before.ends_with('-')) {
      into.container = id;
    }
    return;
  }
  const size_t pod = part.rfind("pod");
  if (pod == std::string_view::npos || (pod != 0 && part[pod - 1] != '-')) return;
  const std::string uid = pod_uid(part.substr(pod + 3));
  if (!is_uid(uid)) return;
  into.pod = uid;
  into.container.clear();
}

// "/var/lib/kubelet/pods/UID/etc-hosts", or from "/pods" on where that has a file system.
std::string pod_in_path(std::string_view path) {
  constexpr std::string_view kPlace = "/pods/";
  for (size_t at = path.find(kPlace); at != std::string_view::npos;
       at = path.find(kPlace, at + 1)) {
    const std::string_view rest = path.substr(at + kPlace.size());
    const std::string_view uid = rest.substr(0, rest.find('/'));
    if (is_uid(uid)) return std::string(uid);
  }
  return "";
}

ContainerPath read_path(std::string_view path) {
  ContainerPath found;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    read_part(path.substr(0, end), found);
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return found;
}

}  // namespace

std::string pod_uid(std::string_view text) {
  std::string uid(text);
  for (char& c : uid) {
    c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return uid;
}

ContainerPath parse_container_path(std::string_view text) {
  ContainerPath found;
  while (!text.empty()) {
    std::string_view line = next_line(text);  // "4:memory:/docker/ID"
    for (int field = 0; field < 2; field++) {
      const size_t colon = line.find(':');
      line.remove_prefix(colon == std::string_view::npos ? line.size() : colon + 1);
    }
    const ContainerPath here = read_path(line);
    // Of several hierarchies one may know less than the others.
    if (found.container.empty()) found.container = here.container;
    if (found.pod.empty()) found.pod = here.pod;
    if (!found.container.empty() && !found.pod.empty()) break;
  }
  return found;
}

std::string parse_pod_mounts(std::string_view mountinfo) {
  while (!mountinfo.empty()) {
    std::string_view line = next_line(mountinfo);  // "36 35 98:0 /root/in/its/fs /mount/point ..."
    for (int field = 0; field < 3; field++) (void)next_field(line);
    const std::string_view root = next_field(line);
    const std::string_view point = next_field(line);
    if (point != "/etc/hosts" && point != "/dev/termination-log") continue;
    std::string uid = pod_in_path(root);
    if (!uid.empty()) return uid;
  }
  return "";
}

}  // namespace time_chaos::targets
