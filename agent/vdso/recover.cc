#include "agent/vdso/recover.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "agent/targets/shared_memory.h"
#include "agent/tracee/session.h"
#include "agent/tracee/waits_anew.h"
#include "agent/vdso/clock_page.h"
#include "agent/vdso/hold.h"
#include "agent/vdso/patch.h"
#include "agent/vdso/plt_copies.h"
#include "agent/vdso/references.h"
#include "agent/vdso/run_stub.h"

namespace time_chaos::vdso {
namespace {

constexpr uint64_t kPage = payload::kPageSize;
constexpr int kSharedRounds = 20;
constexpr std::chrono::milliseconds kSharedRound(10);

class Recover {
 public:
  Recover(pid_t pid, bool suspend_seccomp, tracee::Memory memory)
      : pid_(pid), suspend_seccomp_(suspend_seccomp), memory_(std::move(memory)) {}

  // `seen`: what the caller means to undo.
  Result<RecoverReport> run(const Found& seen) {
    TC_TRY(const Hold hold, Hold::take(pid_));
    // Now that nobody else can change it: as it is, not as it was found before.
    TC_TRY(auto found, find_experiment(pid_));
    if (!found) {
      report_.bytes_restored = report_.unmapped = true;
      return report_;
    }
    // What looked like an agent's remains was an agent at work, which is done by now.
    const bool same = seen.state == State::kShifted && seen.page_identity == found->page_identity;
    if (found->state == State::kShifted && !same) {
      return fail(
          Exit::kFailed,
          fmt::format("another agent has just begun experiment {} in it", found->page.experiment),
          "change it with time-chaos set, or end it with time-chaos recover");
    }
    found_ = std::move(*found);
    TC_TRY(const PatchRun restored, restore_bytes(pid_, memory_, found_.patches()));
    report_.world_stopped = restored.world_stopped;
    if (found_.slots) {
      TC_TRY(const SlotRun slots, restore_slots(pid_, memory_, found_.plt()));
      report_.world_stopped = slots.world_stopped;
      TC_CHECK(hold.write(memory_, [&] { return deactivate(memory_, found_.plt()); }));
    }
    report_.bytes_restored = true;
    // From here on a failure leaves inert code behind, no more.
    if (auto unmapped = unmap(hold); !unmapped) {
      report_.still_mapped_because = unmapped.error().message();
    } else {
      report_.unmapped = true;
    }
    return report_;
  }

 private:
  // A vfork child is gone in a moment, mostly.
  Status check_memory_unshared() const {
    for (int rounds = 0;; rounds++) {
      const auto other = targets::find_memory_sharer(pid_);
      if (!other) return {};
      if (rounds == kSharedRounds) {
        return fail(Exit::kFailed,
                    fmt::format("process {} has the same memory, as after vfork", *other));
      }
      std::this_thread::sleep_for(kSharedRound);
    }
  }

  Status unmap(const Hold& hold) {
    // Its threads are not looked at, and may be in our code.
    TC_CHECK(check_memory_unshared());
    // The place of the stub, too: an agent that was killed may have left a thread in it.
    Ranges ranges = code_ranges();
    const bool left_over = found_.stub_written;
    if (found_.slots) TC_CHECK(check_no_copies(pid_, memory_, found_.plt()));
    if (left_over) ranges.push_back({found_.stub.address, found_.stub.size});
    TC_CHECK(check_unreferenced(pid_, memory_, ranges));
    if (left_over) TC_CHECK(look_again());
    if (!found_.pages.empty()) {
      take_marks();
      auto ran = send(hold, /*drop_private_pages=*/true);
      // A sealed vDSO (mseal) refuses MADV_DONTNEED; the pages go all the same.
      if (!ran && ours(found_.pages.back())) ran = send(hold, /*drop_private_pages=*/false);
      TC_CHECK(ran);
    } else if (left_over) {
      TC_CHECK(hold.write(memory_, [&] { return wipe_stub(memory_, found_.stub); }));
    }
    TC_TRY(const auto left, find_experiment(pid_));
    if (left) return fail(Exit::kFailed, "something of it is still mapped");
    return {};
  }

  // A thread that an agent, killed since, had sent on its way may have mapped pages after we looked
  // for them and before it was seen to have left. The stub's header names them; once it is wiped
  // nothing does.
  Status look_again() {
    TC_TRY(auto found, find_experiment(pid_));
    if (found) found_ = std::move(*found);
    return {};
  }

  // One thread unmaps everything; once it is home, the stub's place is empty again.
  Status send(const Hold& hold, bool drop_private_pages) {
    auto ran = hold.run(memory_, job(drop_private_pages));
    const Ranges place{{found_.stub.address, found_.stub.size}};
    TC_CHECK(check_unreferenced(pid_, memory_, place, stub_thread()));
    TC_CHECK(hold.write(memory_, [&] { return wipe_stub(memory_, found_.stub); }));
    if (!ran) return fail(ran.error());
    report_.stopped += ran->stopped;
    return {};
  }

  // The only thread that can be in the stub, as its header says.
  [[nodiscard]] std::optional<pid_t> stub_thread() const {
    const auto header = memory_.read_value<payload::StubHeader>(found_.stub.address);
    if (!header || header->magic != payload::kStubMagic) return std::nullopt;
    return static_cast<pid_t>(header->tid);
  }

  [[nodiscard]] Ranges code_ranges() const {
    Ranges ranges;
    for (const payload::PageRange& page : found_.pages) {
      if (page.start != found_.clock_page()) ranges.push_back(page);
    }
    return ranges;
  }

  StubJob job(bool drop_private_pages) {
    StubJob job;
    job.place = found_.stub;
    job.header.code = found_.code;
    std::copy(std::begin(found_.record.pads), std::end(found_.record.pads), job.header.pads);
    job.suspend_seccomp = suspend_seccomp_;
    job.still_valid = [this] { return check_same_address_space(); };
    job.finished = [this] { return !ours(found_.pages.back()); };
    job.remaining = [this, drop_private_pages] { return calls(drop_private_pages); };
    return job;
  }

  Status check_same_address_space() {
    if (memory_.present(found_.pages.back().start)) return {};
    return fail(Exit::kNoTarget, "the address space is gone (exit or exec)");
  }

  // Still what we mapped, and not something that the target has put there since: a word of the
  // page that was not zero is as it was.
  [[nodiscard]] bool ours(const payload::PageRange& range) const {
    const auto mark = std::find_if(marks_.begin(), marks_.end(),
                                   [&](const Mark& m) { return m.page == range.start; });
    if (mark == marks_.end()) return memory_.present(range.start);
    const auto now = memory_.read_value<uint64_t>(mark->address);
    return now && *now == mark->word;
  }

  void take_marks() {
    for (const payload::PageRange& page : found_.pages) {
      for (uint64_t at = page.start; at < page.start + page.size; at += sizeof(uint64_t)) {
        const auto word = memory_.read_value<uint64_t>(at);
        if (!word) break;
        if (*word == 0) continue;
        marks_.push_back({page.start, at, *word});
        break;
      }
    }
  }

  std::vector<StubCall> calls(bool drop_private_pages) {
    const tracee::CallNumbers numbers = tracee::call_numbers();
    std::vector<StubCall> calls;
    for (const payload::PageRange& page : found_.pages) {
      if (!ours(page)) continue;
      calls.push_back({fmt::format("munmap at {:#x}", page.start),
                       numbers.munmap,
                       {page.start, page.size, 0, 0, 0, 0},
                       0});
    }
    if (calls.empty() || !drop_private_pages || found_.record.vdso == 0) return calls;
    // All of the vDSO before the page in which the stub stands.
    const uint64_t size = (found_.stub.address & ~(kPage - 1)) - found_.record.vdso;
    if (size != 0) {
      calls.insert(calls.begin(), {"madvise of the vDSO",
                                   numbers.madvise,
                                   {found_.record.vdso, size, MADV_DONTNEED, 0, 0, 0},
                                   0});
    }
    return calls;
  }

  pid_t pid_;
  Found found_;
  bool suspend_seccomp_;
  tracee::Memory memory_;
  RecoverReport report_;
  struct Mark {
    uint64_t page, address, word;
  };
  std::vector<Mark> marks_;
};

// Waits whose ends an agent, killed since, had mapped, or the BPF engine, get their real ones, now
// that the clocks show real time. A living agent that follows them sees to that itself; then, and
// where nobody mapped any, no slot is in use, and nobody is stopped.
void begin_waits_anew(pid_t pid, const Found& found, bool bpf) {
  const auto slots = found.call_slots();
  const auto memory = tracee::Memory::open(pid);
  if (bpf || (memory && tracee::any_in_use(*memory, slots)))
    (void)tracee::begin_waits_anew(pid, slots);
}

}  // namespace

Result<clock::ClockSet> put_clocks_back(ClockPage& page) {
  clock::ClockSet kept;
  TC_CHECK(page.update([&](clock::ClockMaps& maps, tc_clock_page& header) {
    const clock::MapPlan plan = clock::plan_recover(maps, clock::read_host_clocks());
    maps = plan.maps;
    kept = plan.kept;
    header.clocks = kept.bits();
    header.owner_pid = 0;
    return Status();
  }));
  return kept;
}

Result<RecoverReport> recover(pid_t pid, const Found& found, bool suspend_seccomp,
                              std::shared_ptr<ClockPage> twin) {
  RecoverReport report;
  if (found.state == State::kShifted) {
    // Before anything else, for all functions, threads and children at once.
    TC_TRY(ClockPage page, ClockPage::open(pid, found.clock_page()));
    const bool bpf = twin != nullptr;
    page.set_twin(std::move(twin));
    TC_TRY(report.kept, put_clocks_back(page));
    begin_waits_anew(pid, found, bpf);
    if (!report.kept.empty()) {
      report.still_mapped_because = "monotonic clocks stay ahead until the process ends";
      return report;
    }
  }
  TC_TRY(tracee::Memory memory, tracee::Memory::open(pid));
  return tracee::in_session(
      [&] { return Recover(pid, suspend_seccomp, std::move(memory)).run(found); });
}

}  // namespace time_chaos::vdso
