#include "agent/vdso/attach.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "agent/tracee/session.h"
#include "agent/vdso/clock_page.h"
#include "agent/vdso/find.h"
#include "agent/vdso/hold.h"
#include "agent/vdso/jump.h"
#include "agent/vdso/loader_call.h"
#include "agent/vdso/patch.h"
#include "agent/vdso/plt_slots.h"
#include "agent/vdso/recover.h"

namespace time_chaos::vdso {
namespace {

constexpr uint64_t kPage = payload::kPageSize;
constexpr uint64_t kNoFd = static_cast<uint64_t>(-1);

Status lead(pid_t pid, tracee::Memory& memory, const PltPlace& place,
            const std::vector<std::string>& modules, AttachReport& report) {
  TC_TRY(const SlotRun run, lead_slots(pid, memory, place, modules));
  report.world_stopped = run.world_stopped;
  TC_TRY(report.led, find_led(pid, memory, place));
  return {};
}

class Attach {
 public:
  Attach(pid_t pid, const AttachPlan& plan, const AttachOptions& options, tracee::Memory memory)
      : pid_(pid), plan_(plan), options_(options), memory_(std::move(memory)) {}

  Status rehearse() {
    TC_TRY(const Hold hold, Hold::take(pid_));
    TC_CHECK(hold.rehearse(memory_, job()));
    return plan_.fake ? rehearse_loader(pid_, memory_, plan_.fake->loader) : Status();
  }

  // Everything up to the jumps; the clocks are still shown as they are.
  Result<AttachReport> install(const std::function<void(tc_clock_page&)>& header) {
    TC_TRY(const Hold hold, Hold::take(pid_));
    // Again: its threads may be elsewhere by now.
    if (plan_.fake) TC_CHECK(rehearse_loader(pid_, memory_, plan_.fake->loader));
    TC_CHECK(map_pages(hold));
    TC_CHECK(hold.write(memory_, [&] { return write_pages(header); }));
    if (plan_.fake) TC_CHECK(load(hold));
    std::vector<payload::PatchRecord> patches;
    std::vector<Move> moves;
    for (const FunctionPlan& function : plan_.functions) {
      patches.push_back(function.record);
      Move move;
      move.entry = function.entry;
      move.boundaries = function.boundaries;
      move.copy = function.moved;
      moves.push_back(std::move(move));
    }
    TC_TRY(const PatchRun patched, write_jumps(pid_, memory_, patches, moves));
    report_.world_stopped = patched.world_stopped;
    if (plan_.plt) {
      TC_CHECK(lead(pid_, memory_, {plan_.code, plan_.plt->place}, options_.modules, report_));
    }
    if (plan_.fake) {
      TC_CHECK(hold.write(memory_, [&] { return set_fake(memory_, plan_.fake->place, true); }));
    }
    report_.code = plan_.code;
    report_.patches = patches;
    return report_;
  }

  // Something in the target is ours by now, or may be.
  [[nodiscard]] bool changed() const { return asked_; }

 private:
  Status map_pages(const Hold& hold) {
    const auto run = hold.run(memory_, job());
    if (run) {
      report_.stopped = run->stopped;
      report_.attempts = run->attempts;
    }
    Status mapped = run ? check_mapped() : fail(run.error());
    if (mapped || mapped.error().kind() != Exit::kFailed) return mapped;
    return fail(Error::from_errno(EEXIST, mapped.error().message()).with_remedy("try again"));
  }

  Status load(const Hold& hold) {
    TC_TRY(report_.loaded, load_fake(pid_, memory_, *plan_.fake));
    report_.stopped += report_.loaded->stopped;
    return hold.write(memory_, [&] { return route_fake(memory_, *plan_.fake, *report_.loaded); });
  }

  StubJob job() {
    StubJob job;
    job.place = plan_.stub;
    job.header.code = plan_.code;
    std::copy(plan_.pads.begin(), plan_.pads.end(), job.header.pads);
    job.suspend_seccomp = options_.suspend_seccomp;
    calls_ = map_calls();
    job.remaining = [this] {
      std::vector<StubCall> left;
      std::copy_if(calls_.begin(), calls_.end(), std::back_inserter(left),
                   [this](const StubCall& c) { return !memory_.present(c.arguments[0]); });
      return left;
    };
    job.finished = [this] { return memory_.present(calls_.back().arguments[0]); };
    job.still_valid = [this] {
      auto valid = still_valid();
      asked_ = asked_ || valid;
      return valid;
    };
    return job;
  }

  [[nodiscard]] std::vector<StubCall> map_calls() const {
    const int64_t mmap = tracee::call_numbers().mmap;
    const auto call = [&](const char* name, uint64_t at, uint64_t size, int protection, int flags) {
      const auto all = static_cast<uint64_t>(flags | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE);
      return StubCall{fmt::format("mmap of {} at {:#x}", name, at),
                      mmap,
                      {at, size, static_cast<uint64_t>(protection), all, kNoFd, 0},
                      static_cast<int64_t>(at)};
    };
    std::vector<StubCall> calls;
    calls.push_back(call("the code page", plan_.code, kPage, PROT_READ | PROT_EXEC, MAP_PRIVATE));
    for (const payload::PageRange& pad : plan_.pads) {
      const bool data = plan_.fake && &pad == &plan_.pads[1];
      calls.push_back(call(plan_.fake ? "pages for a library" : "a landing pad", pad.start,
                           pad.size, data ? PROT_READ | PROT_WRITE : PROT_READ | PROT_EXEC,
                           MAP_PRIVATE));
    }
    const int access = ClockPage::sharing_permitted() ? PROT_READ : PROT_READ | PROT_WRITE;
    calls.push_back(call("the clock page", plan_.clock_page(), kPage, access, MAP_SHARED));
    return calls;
  }

  // While its thread is stopped: the vDSO is what was planned for, and its end is unused; so
  // neither an exec nor another agent came in between.
  Status still_valid() {
    if (asked_) return {};  // again, after a signal: now our own stub stands there
    const auto planned = plan_.image.bytes();
    TC_TRY(const auto now, memory_.read(plan_.vdso, planned.size()));
    if (!std::equal(now.begin(), now.end(), planned.begin())) {
      return fail(Exit::kFailed, "its vDSO has just changed (another agent?)", "try again");
    }
    const auto tail = plan_.image.tail();
    if (std::any_of(tail.begin(), tail.end(), [](uint8_t byte) { return byte != 0; })) {
      return fail(Exit::kUnsupported, "the end of its vDSO is in use");
    }
    return {};
  }

  Status check_mapped() {
    TC_TRY(const auto found, find_pages());
    if (found == 2 + plan_.pads.size()) return {};
    return fail(Exit::kFailed, "the target mapped something else where our pages should be",
                "try again");
  }

  Result<size_t> find_pages() {
    TC_TRY(const auto found, find_experiment(pid_));
    return found ? found->pages.size() : 0;
  }

  Status write_pages(const std::function<void(tc_clock_page&)>& header) {
    TC_TRY(ClockPage page, ClockPage::open(pid_, plan_.clock_page()));
    TC_CHECK(page.publish(clock::identity_maps(), [&](tc_clock_page& first) {
      first.magic = TC_PAGE_MAGIC;
      first.version = TC_PAGE_VERSION;
      timeval now{};
      struct timezone zone {};
      ::gettimeofday(&now, &zone);
      first.tz_minuteswest = zone.tz_minuteswest;
      first.tz_dsttime = zone.tz_dsttime;
      header(first);
    }));
    if (plan_.plt) {
      TC_CHECK(write_plt_pages(memory_, {plan_.code, plan_.plt->place}, plan_.plt->scan.library,
                               options_.modules));
    }
    if (plan_.fake) TC_CHECK(write_fake_pages(memory_, *plan_.fake, plan_.code));
    TC_CHECK(memory_.write(plan_.code, plan_.code_page));
    TC_TRY(const auto code, memory_.read(plan_.code, kPage));
    if (code != plan_.code_page) return fail(Exit::kFailed, "the code page is not as written");
    for (const FunctionPlan& function : plan_.functions) {
      if (function.pad == 0) continue;
      TC_CHECK(memory_.write(function.pad, pad_jump(function.pad, function.record.hook)));
    }
    return {};
  }

  pid_t pid_;
  const AttachPlan& plan_;
  const AttachOptions& options_;
  tracee::Memory memory_;
  std::vector<StubCall> calls_;
  AttachReport report_;
  bool asked_ = false;
};

void undo(pid_t pid, bool suspend_seccomp) {
  const auto found = find_experiment(pid);
  if (found && *found) (void)recover(pid, **found, suspend_seccomp);
}

}  // namespace

Status rehearse_attach(pid_t pid, const AttachPlan& plan, const AttachOptions& options) {
  TC_TRY(tracee::Memory memory, tracee::Memory::open(pid));
  Attach work(pid, plan, options, std::move(memory));
  const Status foreseen = tracee::in_session([&] { return work.rehearse(); });
  // It goes, or changes, or all its threads are busy: whoever attaches sees to that.
  return foreseen || foreseen.error().kind() == Exit::kFailed ? Status() : foreseen;
}

Result<AttachReport> attach(pid_t pid, const AttachPlan& plan, const AttachOptions& options,
                            const clock::ClockMaps& maps,
                            const std::function<void(tc_clock_page&)>& header) {
  TC_TRY(tracee::Memory memory, tracee::Memory::open(pid));
  Attach work(pid, plan, options, std::move(memory));
  auto report = tracee::in_session([&] { return work.install(header); });
  Status activated;
  if (report) {
    activated = [&]() -> Status {
      TC_TRY(ClockPage page, ClockPage::open(pid, plan.clock_page()));
      page.set_twin(options.twin);
      return page.publish(maps);
    }();
  }
  if (!report || !activated) {
    if (work.changed()) undo(pid, options.suspend_seccomp);
    return report ? fail(activated.error()) : fail(report.error());
  }
  return report;
}

namespace {

// Under the lock: still what it was when it was found.
Status check_still_inert(pid_t pid, const Found& found, const tracee::Memory& memory) {
  TC_TRY(const auto now, find_experiment(pid));
  if (!now || now->state != State::kInert || now->page_identity != found.page_identity) {
    return fail(Exit::kFailed, "another agent has just changed it", "try again");
  }
  const auto ours = payload::code().first(payload::original_offset());
  TC_TRY(const auto theirs, memory.read(found.code, ours.size()));
  if (std::equal(ours.begin(), ours.end(), theirs.begin())) return {};
  return fail(Exit::kFailed, "code of another version of time-chaos is still mapped in it",
              "recover it with that version, or restart the target");
}

}  // namespace

Result<AttachReport> reuse(pid_t pid, const Found& found, const AttachOptions& options,
                           const clock::ClockMaps& maps,
                           const std::function<void(tc_clock_page&)>& header) {
  TC_TRY(tracee::Memory memory, tracee::Memory::open(pid));
  TC_TRY(ClockPage page, ClockPage::open(pid, found.clock_page()));
  page.set_twin(options.twin);
  AttachReport report;
  report.code = found.code;
  report.patches = found.patches();
  bool begun = false;
  auto patched = tracee::in_session([&]() -> Result<PatchRun> {
    TC_TRY(const Hold hold, Hold::take(pid));
    TC_CHECK(check_still_inert(pid, found, memory));
    begun = true;
    TC_CHECK(page.publish(clock::identity_maps(), header));
    if (found.slots) {
      TC_CHECK(hold.write(memory, [&] { return activate(memory, found.plt(), options.modules); }));
      TC_CHECK(lead(pid, memory, found.plt(), options.modules, report));
      return PatchRun{report.world_stopped};
    }
    return write_jumps(pid, memory, report.patches, {});
  });
  if (patched) {
    report.world_stopped = patched->world_stopped;
    if (auto active = page.publish(maps); !active) patched = fail(active.error());
  }
  if (!patched) {
    if (begun) undo(pid, options.suspend_seccomp);
    return fail(patched.error());
  }
  return report;
}

}  // namespace time_chaos::vdso
