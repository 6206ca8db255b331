// PLT mode, staying: libraries that are loaded later, and slots that a thread has bound anew, are
// led to our functions as well. A look costs a read of the loader's list and of the slots, and some
// seconds long after a change of that list one of the libraries' relocations; the process is
// stopped only when there is something to do.
//
// What a library reads between its loading and the next look, its constructors above all, is the
// host's time.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/vdso/find.h"

namespace time_chaos::vdso {

class PltWatch {
 public:
  PltWatch(pid_t pid, std::vector<std::string> modules) : pid_(pid), modules_(std::move(modules)) {}

  [[nodiscard]] pid_t pid() const { return pid_; }
  // How many slots were led to us by this look. An error: it cannot be looked at now.
  Result<size_t> look();

 private:
  Result<size_t> lead(const PltPlace& place, const std::vector<std::string>& wanted) const;

  pid_t pid_;
  std::vector<std::string> modules_;
  std::vector<elf::Module> loaded_;  // at the last look, and
  std::vector<uint64_t> values_;     // what stood in the slots
  int looks_left_ = 0;               // for slots, although neither has changed
};

}  // namespace time_chaos::vdso
