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
// Most of which may not be in use; seen to be so in about as long.
constexpr uint64_t kMostSpace = uint64_t{64} << 30;
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

tl::unexpected<Error> too_much() {
  return fail(Exit::kFailed, "it has more memory than is searched for copies of its slots");
}

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

  // `all_ours`: what we cannot read there nobody can, a guard page for one, so nothing is in it.
  // Elsewhere (memfd_secret(2), a device) the target may read what we cannot.
  Status range(payload::PageRange range, bool all_ours) {
    if ((left_ -= std::min(left_, range.size)) == 0) return too_much();
    const uint64_t end = range.start + range.size;
    for (uint64_t at = range.start; at < end;) {
      Words words(std::min(kPiece, end - at) / sizeof(uint64_t));
      const size_t bytes = words.size() * sizeof(uint64_t);
      const size_t got =
          memory_.read_as_target(at, {reinterpret_cast<uint8_t*>(words.data()), bytes});
      words.resize(got / sizeof(uint64_t));
      const auto found =
          std::find_if(words.begin(), words.end(), [&](uint64_t w) { return is_one(w); });
      if (found != words.end()) {
        const auto index = static_cast<uint64_t>(found - words.begin());
        return fail(Exit::kFailed, fmt::format("a copy of one of its slots is at {:#x}",
                                               at + index * sizeof(uint64_t)));
      }
      if (got != bytes && !all_ours) {
        return fail(Exit::kFailed, "some of its memory cannot be searched for copies of its slots");
      }
      at += got == bytes ? got : got / kPage * kPage + kPage;
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

bool private_anonymous(const targets::Mapping& mapping) {
  return mapping.perms[3] == 'p' &&
         (mapping.anonymous() || mapping.path == "[heap]" || mapping.path.rfind("[stack", 0) == 0 ||
          mapping.path.rfind("[anon:", 0) == 0);
}

// What can be written, and what may have been until it was made read-only.
bool may_hold_copies(const targets::Mapping& mapping) {
  if (mapping.perms[0] != 'r') return false;
  return mapping.perms[1] == 'w' || (mapping.perms[2] != 'x' && private_anonymous(mapping));
}

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
  uint64_t space = 0;
  for (const targets::Mapping& mapping : mappings.all()) {
    if (!may_hold_copies(mapping)) continue;
    if ((space += mapping.size()) > kMostSpace) return too_much();
    TC_TRY(const auto ranges, resident.of(mapping));
    for (const payload::PageRange& range : ranges) {
      TC_CHECK(search.range(range, private_anonymous(mapping)));
    }
  }
  return {};
}

}  // namespace time_chaos::vdso
