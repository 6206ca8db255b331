// Processes by container and by pod.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/targets/container_names.h"

namespace time_chaos::targets {

// Both must hold; an empty one always does.
struct ContainerQuery {
  std::string container;                   // the beginning of an id or of a name, or a whole one
  std::string pod;                         // as pod_uid() has it
  [[nodiscard]] std::string text() const;  // "--container payments"
  bool operator==(const ContainerQuery&) const = default;
};

class Containers {
 public:
  explicit Containers(ContainerQuery query, std::vector<std::string> roots = machine_roots());

  [[nodiscard]] const ContainerQuery& query() const { return query_; }

  // The processes of what it selects, ascending; without the agent and its own container, zombies,
  // what holds a pod's namespaces (pause), and containers that are still being made. kUsage: the
  // beginning of an id that several have.
  Result<std::vector<pid_t>> processes();
  // Something of its pod is there, if only what holds its namespaces: the kubelet may start it
  // again. Nothing: it has no pod that we know of.
  [[nodiscard]] std::optional<bool> pod_lives();

 private:
  struct Member {
    pid_t pid = 0;
    std::string container;
    std::string pod;
  };
  [[nodiscard]] std::vector<Member> members() const;
  Status choose(const std::vector<Member>& members);
  Status choose_by_id(const std::set<std::string>& ids);
  void choose_by_name(const std::set<std::string>& ids);
  const ContainerNames& names_of(const std::string& id);

  ContainerQuery query_;
  std::vector<std::string> roots_;
  std::map<std::string, ContainerNames> names_;
  std::set<std::string> chosen_;  // of all that are there now
  std::string id_;                // what the beginning of an id has turned out to mean
  ContainerNames restarted_;      // and what it is called, with its pod: under another id later
  std::string pod_;               // the pod of what was last found
};

// Everything in our pid namespace but the agent, its container, what holds the pod's namespaces and
// containers that are still being made. kUsage in the machine's own namespace.
Result<std::vector<pid_t>> all_but_ours();

}  // namespace time_chaos::targets
