// A clock of the user's own (--fake): a library is loaded into the target, and the vDSO's functions
// lead to it. The pages are payload/fake.h's.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/clock/reading.h"
#include "agent/elf/library_file.h"
#include "agent/payload/fake.h"
#include "agent/tracee/memory.h"
#include "agent/vdso/loader.h"

namespace time_chaos::vdso {

// The library's function that takes the place of one of the vDSO's: "fake_clock_gettime".
std::string fake_symbol(payload::Function function);
// kUsage for a library that has none of them.
Result<std::array<uint64_t, payload::kMaxFunctions>> fake_functions(
    const elf::LibraryFile& library);

// What is to be loaded, and how.
struct FakePlan {
  std::shared_ptr<const elf::LibraryFile> library;
  std::array<uint64_t, payload::kMaxFunctions> functions{};  // as in its file; 0: it has none
  Loader loader;
  uint64_t place = 0;  // of the pages
  [[nodiscard]] bool has(payload::Function function) const {
    return functions[static_cast<size_t>(function)] != 0;
  }
};
Result<FakePlan> plan_fake(pid_t pid, const tracee::Memory& memory,
                           std::shared_ptr<const elf::LibraryFile> library);

// What stands in a target. Not trusted.
struct FakeFound {
  uint64_t place = 0;
  payload::FakeRecord record;
  payload::FakeData data;
  [[nodiscard]] std::string name() const;  // fit to print
  [[nodiscard]] std::vector<std::string> functions() const;
};
std::optional<FakeFound> read_fake(const tracee::Memory& memory, uint64_t place);

// The pages, with routes that lead to real time.
Status write_fake_pages(tracee::Memory& memory, const FakePlan& plan, uint64_t code);
// The library is asked from now on, or not any more.
Status set_fake(tracee::Memory& memory, uint64_t place, bool on);

struct Loaded {
  std::chrono::nanoseconds stopped{0};  // one thread, while it loaded
  clock::Reading host;                  // the machine's time, and what the library made of it
  clock::Reading shown;
  std::string reader;                                        // by this function of it
  std::array<uint64_t, payload::kMaxFunctions> functions{};  // where they are
};
// Inside tracee::in_session().
Result<Loaded> load_fake(pid_t pid, tracee::Memory& memory, const FakePlan& plan);
// The routes, which are off, lead to it.
Status route_fake(tracee::Memory& memory, const FakePlan& plan, const Loaded& loaded);

// Until no thread is at a call of the loader that an agent, killed since, had asked for; without a
// stop, which could cost that thread what the kernel remembers of the wait that it came from. Gives
// up after some seconds.
void await_loader(const tracee::Memory& memory, uint64_t place);

struct Unloaded {
  std::chrono::nanoseconds stopped{0};
  std::string stays;  // why the library is still loaded; empty: it is not
};
// Routes are off, nobody is in them. kFailed where a thread may still be in the library. Inside
// tracee::in_session().
Result<Unloaded> unload_fake(pid_t pid, tracee::Memory& memory, uint64_t place);

// The vDSO's functions lead to the library: everything on the way is as it was written.
Status check_routes(pid_t pid, const FakeFound& fake,
                    const std::vector<payload::PatchRecord>& patches);

}  // namespace time_chaos::vdso
