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
  std::string container;  // a whole name, else the beginning of an id, else of names
  std::string pod;        // as pod_uid() has it, or "namespace/name"
  bool whole = false;     // a whole name and nothing else
  [[nodiscard]] std::string text() const;  // "--container payments"
  bool operator==(const ContainerQuery&) const = default;
};

class Containers {
 public:
  explicit Containers(ContainerQuery query, std::vector<std::string> roots = machine_roots());

  [[nodiscard]] const ContainerQuery& query() const { return query_; }

  // The processes of what it selects, ascending; without the agent and its own container, zombies,
  // what holds a pod's namespaces (pause), and containers that are still being made. What it has
  // once turned out to mean it means from then on: when that has ended, it is no other whose name
  // only begins so. kUsage: the beginning of an id that several have.
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
  void choose_called(const std::set<std::string>& ids, const std::set<std::string>& names);
  [[nodiscard]] std::set<std::string> names_that_begin_so(const std::set<std::string>& ids);
  const ContainerNames& names_of(const std::string& id);

  ContainerQuery query_;
  std::vector<std::string> roots_;
  std::map<std::string, ContainerNames> names_;
  std::set<std::string> chosen_;  // of all that are there now
  bool whole_ = false;            // it has turned out to be a whole name;
  std::string id_;                // or the beginning of that id,
  ContainerNames restarted_;      // which is called so, with its pod: under another id later;
  std::set<std::string> begun_;   // or the beginning of these names
  std::string pod_;               // the pod of what was last found
};

// Everything in our pid namespace but the agent, its container, what holds the pod's namespaces and
// containers that are still being made. kUsage in the machine's own namespace.
Result<std::vector<pid_t>> all_but_ours();

}  // namespace time_chaos::targets
