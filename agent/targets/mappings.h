// The address space of a process, as /proc/PID/maps shows it (proc_pid_maps(5)).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"

namespace time_chaos::targets {

struct Mapping {
  uint64_t start = 0;
  uint64_t end = 0;
  std::string perms;  // "r-xp"
  uint64_t offset = 0;
  std::string device;  // "00:01"
  uint64_t inode = 0;
  std::string path;  // empty for anonymous memory; "[vdso]", "[stack]", "/usr/bin/x", ...

  [[nodiscard]] uint64_t size() const { return end - start; }
  [[nodiscard]] bool anonymous() const { return path.empty(); }
};

// One line of maps; an error for a line that is not of that form.
Result<Mapping> parse_mapping(std::string_view line);

class Mappings {
 public:
  // Empty for a kernel thread, a zombie, and a process whose main thread has exited.
  static Result<Mappings> read(pid_t pid);
  static Result<Mappings> parse(std::string_view text);

  [[nodiscard]] const std::vector<Mapping>& all() const { return mappings_; }
  // The first mapping whose path is exactly `path` ("[vdso]"), or nullptr.
  [[nodiscard]] const Mapping* find(std::string_view path) const;
  // The mapping that contains `address`, or nullptr.
  [[nodiscard]] const Mapping* at(uint64_t address) const;
  // Nothing is mapped in [address, address + size), and it lies in user space above 64 KiB
  // and below 2^47 less a page. False for a size of 0.
  [[nodiscard]] bool is_free(uint64_t address, uint64_t size) const;

 private:
  std::vector<Mapping> mappings_;  // ascending
};

}  // namespace time_chaos::targets
