// The names of containers, from the files that containerd, CRI-O, podman and docker keep about
// those that run. No socket: who may speak to theirs may do anything on the machine.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace time_chaos::targets {

struct ContainerNames {
  std::string name;           // "app"
  std::string pod;            // "payments-7c9d"; empty: in none
  std::string pod_namespace;  // of Kubernetes
  std::string pod_uid;
  bool sandbox = false;  // holds a pod's namespaces, and runs nothing of its own

  [[nodiscard]] bool known() const { return !name.empty() || sandbox; }
  // What it answers to: "app", "payments-7c9d/app", "shop/payments-7c9d/app".
  [[nodiscard]] std::vector<std::string> all() const;
};

// Where "/" may be: the agent's own, and that of the machine where the agent is a container that
// sees all of its processes.
std::vector<std::string> machine_roots();

// Nothing known where no runtime keeps anything of it that may be read.
ContainerNames read_container_names(const std::string& id, const std::vector<std::string>& roots);

// The parts of that, for one file each. What cannot be understood is not known.
ContainerNames names_in_bundle(std::string_view json);  // config.json of the OCI
ContainerNames names_in_docker(std::string_view json);  // config.v2.json
ContainerNames names_in_storage(std::string_view json, const std::string& id);  // containers.json

}  // namespace time_chaos::targets
