// What an experiment is called.
#include <fmt/format.h>
#include <unistd.h>

#include <ctime>

#include "agent/experiment/request.h"

namespace time_chaos::experiment {

Result<std::string> name_of(const std::vector<std::string>& asked) {
  if (asked.size() > 1) {
    return fail(Exit::kUsage, "an experiment has one name", "give --experiment once");
  }
  if (asked.empty()) {
    // Told apart by the agent that made it; two of the same pid never live at once.
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return fmt::format("tc-{}-{:x}", ::getpid(), now.tv_sec & 0xffff);
  }
  const std::string& name = asked.front();
  const bool plain = name.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                         "0123456789._-") == std::string::npos;
  if (name.empty() || name.size() >= TC_EXPERIMENT_NAME_MAX || !plain) {
    return fail(Exit::kUsage, "--experiment takes letters, digits, dots, dashes and underscores",
                fmt::format("at most {} of them", TC_EXPERIMENT_NAME_MAX - 1));
  }
  return name;
}

}  // namespace time_chaos::experiment
