// Who has come under a selected name or into a selected group since it was last asked: by the
// kernel's process events where it tells us, else by looking again and again.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/targets/cgroup.h"
#include "agent/targets/containers.h"
#include "agent/targets/process_events.h"

namespace time_chaos::targets {

// A name, a control group, containers, or everything in a pod of which the agent is a part.
struct Selector {
  std::string name;
  std::optional<Cgroup> cgroup;
  std::shared_ptr<Containers> containers = nullptr;  // which know what they have found before
  bool all_but_ours = false;

  [[nodiscard]] bool by_name() const { return !cgroup && !containers && !all_but_ours; }
  // Without the agent itself, kernel threads and zombies.
  [[nodiscard]] Result<std::vector<pid_t>> members() const;
  [[nodiscard]] std::string text() const;  // "--name payments"
};

struct Arrival {
  pid_t pid = 0;
  size_t selector = 0;
  bool executed = false;  // it has just executed a program, or changed its name
};

class Arrivals {
 public:
  static constexpr std::chrono::milliseconds kPeriod{1000};
  static constexpr std::chrono::milliseconds kContainerPeriod{500};

  explicit Arrivals(std::vector<Selector> selectors);

  [[nodiscard]] const std::vector<Selector>& selectors() const { return selectors_; }
  [[nodiscard]] bool by_events() const { return events_.has_value(); }
  // Why not by events, with the remedy.
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  // Readable when there is something to take; -1 where the kernel does not tell us.
  [[nodiscard]] int fd() const { return events_ ? events_->fd() : -1; }
  // take(true) is wanted so often; nothing: never. The kernel has no event for a process that is
  // moved into a control group.
  [[nodiscard]] std::optional<std::chrono::milliseconds> period() const;
  // How often who comes by that selector is looked for, where there are no events.
  static std::chrono::milliseconds period_of(const Selector& selector);

  // `all`: whoever is there now, known or not; else who the events name. Without the agent itself,
  // kernel threads and zombies.
  std::vector<Arrival> take(bool all);

 private:
  void add_all(std::vector<Arrival>& list) const;
  void add(const std::vector<pid_t>& pids, std::vector<Arrival>& list) const;

  std::vector<Selector> selectors_;
  std::optional<ProcessEvents> events_;
  std::string why_not_;
};

}  // namespace time_chaos::targets
