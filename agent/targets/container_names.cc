#include "agent/targets/container_names.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "agent/base/files.h"
#include "agent/targets/container_path.h"
#include "agent/targets/namespaces.h"
#include "agent/targets/process.h"

namespace time_chaos::targets {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kMostBytes = size_t{4} << 20;
// The directories in which containerd keeps a directory a namespace, and there one a container.
constexpr const char* kContainerd[] = {
    "/run/containerd/io.containerd.runtime.v2.task",
    "/run/k3s/containerd/io.containerd.runtime.v2.task",
    "/var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task",
    "/run/docker/containerd/daemon/io.containerd.runtime.v2.task"};
constexpr const char* kDocker = "/var/lib/docker/containers";
// In which podman and CRI-O have "overlay-containers", by the name of the storage driver.
constexpr const char* kStorageRuns[] = {"/run/containers/storage"};
constexpr const char* kStorages[] = {"/var/lib/containers/storage"};

Json parsed(std::string_view text) {
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string text_at(const Json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const Json& at(const Json& object, const char* key) {
  static const Json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found != object.end() ? *found : nothing;
}

// By the first of the keys that is there: each runtime has its own.
std::string any_of(const Json& annotations, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (std::string value = text_at(annotations, key); !value.empty()) return value;
  }
  return "";
}

ContainerNames names_in_annotations(const Json& annotations) {
  ContainerNames names;
  names.name =
      any_of(annotations, {"io.kubernetes.cri.container-name", "io.kubernetes.container.name"});
  names.pod = any_of(annotations, {"io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"});
  names.pod_namespace =
      any_of(annotations, {"io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"});
  names.pod_uid =
      pod_uid(any_of(annotations, {"io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"}));
  const std::string kind =
      any_of(annotations, {"io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType",
                           "io.kubernetes.docker.type"});
  names.sandbox = kind == "sandbox" || kind == "podsandbox" || names.name == "POD";
  return names;
}

template <typename Reader>
bool read_into(const fs::path& path, const Reader& reader, ContainerNames& into) {
  const auto text = read_file(path, kMostBytes);
  if (!text) return false;
  into = reader(*text);
  return into.known();
}

// "overlay-containers", "vfs-containers", ...
std::vector<fs::path> storages_in(const fs::path& directory) {
  std::vector<fs::path> list;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().ends_with("-containers")) list.push_back(it->path());
  }
  return list;
}

bool read_from(const std::string& root, const std::string& id, ContainerNames& into) {
  for (const char* place : kContainerd) {
    std::error_code error;
    for (fs::directory_iterator it(root + place, error), end; !error && it != end;
         it.increment(error)) {
      if (read_into(it->path() / id / "config.json", names_in_bundle, into)) return true;
    }
  }
  if (read_into(fs::path(root + kDocker) / id / "config.v2.json", names_in_docker, into))
    return true;
  for (const char* place : kStorageRuns) {
    for (const fs::path& storage : storages_in(root + place)) {
      if (read_into(storage / id / "userdata/config.json", names_in_bundle, into)) return true;
    }
  }
  const auto stored = [&](std::string_view text) { return names_in_storage(text, id); };
  for (const char* place : kStorages) {
    for (const fs::path& storage : storages_in(root + place)) {
      if (read_into(storage / "containers.json", stored, into)) return true;
    }
  }
  return false;
}

}  // namespace

std::vector<std::string> ContainerNames::all() const {
  std::vector<std::string> list;
  if (name.empty()) return list;
  list.push_back(name);
  if (pod.empty()) return list;
  list.push_back(pod + "/" + name);
  if (!pod_namespace.empty()) list.push_back(pod_namespace + "/" + pod + "/" + name);
  return list;
}

ContainerNames names_in_bundle(std::string_view json) {
  return names_in_annotations(at(parsed(json), "annotations"));
}

ContainerNames names_in_docker(std::string_view json) {
  const Json config = parsed(json);
  ContainerNames names = names_in_annotations(at(at(config, "Config"), "Labels"));
  if (!names.name.empty()) return names;
  names.name = text_at(config, "Name");
  if (names.name.starts_with('/')) names.name.erase(0, 1);
  return names;
}

ContainerNames names_in_storage(std::string_view json, const std::string& id) {
  ContainerNames names;
  for (const Json& container : parsed(json)) {
    if (text_at(container, "id") != id) continue;
    for (const Json& name : at(container, "names")) {
      if (name.is_string()) names.name = name.get<std::string>();
    }
    // CRI-O keeps the Kubernetes names in a text of JSON of its own.
    const Json metadata = parsed(text_at(container, "metadata"));
    if (const std::string pod = text_at(metadata, "pod-name"); !pod.empty()) {
      names.pod = pod;
      names.sandbox = metadata.contains("pause-container") && metadata["pause-container"] == true;
    }
  }
  return names;
}

std::vector<std::string> machine_roots() {
  std::vector<std::string> roots{""};
  const auto pids = namespace_inode("self", "pid");
  const auto ours = namespace_inode("self", "mnt");
  const auto machines = namespace_inode("1", "mnt");
  if (pids && *pids == kInitialPidNamespace && ours && machines && *ours != *machines) {
    roots.emplace_back("/proc/1/root");
  }
  return roots;
}

ContainerNames read_container_names(const std::string& id, const std::vector<std::string>& roots) {
  ContainerNames names;
  for (const std::string& root : roots) {
    if (read_from(root, id, names)) break;
  }
  return names;
}

}  // namespace time_chaos::targets
