#include "agent/vdso/plt_copies.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "agent/base/files.h"
#include "agent/targets/mappings.h"
#include "agent/tracee/world.h"

namespace time_chaos::vdso {
namespace {

constexpr uint64_t kPage = payload::kPageSize;
// What is read in 0.1 s or so, for which everybody stands still.
constexpr uint64_t kMostMemory = uint64_t{256} << 20;
constexpr uint64_t kPiece = uint64_t{1} << 20;
// Documentation/admin-guide/mm/pagemap.rst.
constexpr uint64_t kPresent = uint64_t{1} << 63;
constexpr uint64_t kSwapped = uint64_t{1} << 62;

using Words = std::vector<uint64_t>;

// The pages of a process that hold something: the others read as zeros, and would be made by that.
class Resident {
 public:
  static Result<Resident> open(pid_t pid) {
    TC_TRY(auto file, open_file(fmt::format("/proc/{}/pagemap", pid), O_RDONLY));
    return Resident(std::move(file));
  }
  // Adjoining pages as one.
  Result<std::vector<payload::PageRange>> of(const targets::Mapping& mapping) const {
    std::vector<payload::PageRange> ranges;
    for (uint64_t at = mapping.start; at < mapping.end;) {
      Words entries(std::min<uint64_t>((mapping.end - at) / kPage, 65536));
      const auto size = static_cast<ssize_t>(entries.size() * sizeof(uint64_t));
      const ssize_t got = ::pread(file_.get(), entries.data(), entries.size() * sizeof(uint64_t),
                                  static_cast<off_t>(at / kPage * sizeof(uint64_t)));
      if (got != size) return fail(Exit::kFailed, "cannot see which pages of it are in use");
      for (const uint64_t entry : entries) {
        if ((entry & (kPresent | kSwapped)) != 0) {
          const bool adjoins = !ranges.empty() && ranges.back().start + ranges.back().size == at;
          adjoins ? static_cast<void>(ranges.back().size += kPage) : ranges.push_back({at, kPage});
        }
        at += kPage;
      }
    }
    return ranges;
  }

 private:
  explicit Resident(ScopedFd file) : file_(std::move(file)) {}
  ScopedFd file_;
};

class Search {
 public:
  Search(const tracee::Memory& memory, std::set<uint64_t> wanted)
      : memory_(memory), wanted_(std::move(wanted)) {
    low_ = *wanted_.begin();
    high_ = *wanted_.rbegin();
  }

  [[nodiscard]] bool is_one(uint64_t word) const {
    return word >= low_ && word <= high_ && wanted_.count(word) != 0;
  }

  Status registers(const tracee::StoppedWorld::Thread& thread) const {
    const auto& raw = thread.registers.raw;
    const uint64_t all[] = {raw.rax, raw.rbx, raw.rcx, raw.rdx, raw.rsi, raw.rdi, raw.rbp, raw.r8,
                            raw.r9,  raw.r10, raw.r11, raw.r12, raw.r13, raw.r14, raw.r15, raw.rip};
    if (std::none_of(std::begin(all), std::end(all), [&](uint64_t r) { return is_one(r); })) {
      return {};
    }
    return fail(Exit::kFailed,
                fmt::format("thread {} has a copy of a slot in a register", thread.thread.tid()));
  }

  Status range(payload::PageRange range) {
    if ((left_ -= std::min(left_, range.size)) == 0) {
      return fail(Exit::kFailed, "it has more memory than is searched for copies of its slots");
    }
    for (uint64_t done = 0; done < range.size; done += kPiece) {
      Words words(std::min(kPiece, range.size - done) / sizeof(uint64_t));
      const size_t bytes = words.size() * sizeof(uint64_t);
      const size_t got = memory_.read_as_target(range.start + done,
                                                {reinterpret_cast<uint8_t*>(words.data()), bytes});
      const auto end = words.begin() + static_cast<std::ptrdiff_t>(got / sizeof(uint64_t));
      const auto found = std::find_if(words.begin(), end, [&](uint64_t w) { return is_one(w); });
      if (found == end) continue;
      const auto index = static_cast<uint64_t>(found - words.begin());
      return fail(Exit::kFailed, fmt::format("a copy of one of its slots is at {:#x}",
                                             range.start + done + index * sizeof(uint64_t)));
    }
    return {};
  }

 private:
  const tracee::Memory& memory_;
  std::set<uint64_t> wanted_;
  uint64_t low_ = 0;
  uint64_t high_ = 0;
  uint64_t left_ = kMostMemory;
};

}  // namespace

Status check_no_copies(pid_t pid, const tracee::Memory& memory, const PltPlace& place) {
  TC_TRY(const payload::SlotTable table, read_slot_table(memory, place));
  std::set<uint64_t> hooks;
  for (uint32_t function = 0; function < payload::kImportedCount; function++) {
    if ((table.copied & 1U << function) != 0) hooks.insert(place.hook({0, 0, function, 0}));
  }
  if (hooks.empty()) return {};
  Search search(memory, std::move(hooks));
  TC_TRY(const Resident resident, Resident::open(pid));
  TC_TRY(tracee::StoppedWorld world, tracee::StoppedWorld::stop(pid));
  for (const auto& thread : world.threads()) TC_CHECK(search.registers(thread));
  TC_TRY(const targets::Mappings mappings, targets::Mappings::read(pid));
  for (const targets::Mapping& mapping : mappings.all()) {
    if (mapping.perms[0] != 'r' || mapping.perms[1] != 'w') continue;
    TC_TRY(const auto ranges, resident.of(mapping));
    for (const payload::PageRange& range : ranges) TC_CHECK(search.range(range));
  }
  return {};
}

}  // namespace time_chaos::vdso
