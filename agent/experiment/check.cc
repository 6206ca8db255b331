#include "agent/experiment/check.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "agent/clock/clock_set.h"
#include "agent/syscalls/bpf_probe.h"
#include "agent/vdso/computed.h"
#include "agent/vdso/mirror.h"

namespace time_chaos::experiment {
namespace {

using clock::Reading;
using std::chrono::nanoseconds;
using vdso::Mirror;
using vdso::MirrorReading;

// Coarse clocks advance once a tick (CONFIG_HZ = 100 at the slowest), and the vDSO's copy follows
// the kernel's own.
constexpr nanoseconds kTick = std::chrono::milliseconds(10);
constexpr nanoseconds kExact{0};

constexpr const char* kRemedy = "recover the target";

std::string text(Reading reading) {
  return fmt::format("{}.{:09}", reading.sec, reading.nsec);
}

Reading in_steps(Reading reading, int64_t nanoseconds_a_step) {
  return {reading.sec, reading.nsec - reading.nsec % nanoseconds_a_step};
}

// What a target shows, held against the maps that it should show it by.
class Judge {
 public:
  Judge(const tc_clock_page& page, const Mirror& mirror) : page_(page), mirror_(mirror) {
    maps_ = clock::maps_in_force(page);
  }

  [[nodiscard]] Status check() const {
    for (int id = 0; id < TC_CLOCK_COUNT; id++) TC_CHECK(check_clock(id));
    TC_CHECK(check_reading("gettimeofday", CLOCK_REALTIME, mirror_.gettimeofday, kExact, 1000));
    if (mirror_.has_time) {
      TC_CHECK(check_reading("time", CLOCK_REALTIME, mirror_.time, kTick, TC_NSEC_PER_SEC));
    }
    if (mirror_.tz_minuteswest != page_.tz_minuteswest || mirror_.tz_dsttime != page_.tz_dsttime) {
      return fail(Exit::kFailed, "gettimeofday shows another time zone than the kernel", kRemedy);
    }
    return {};
  }

  // The first clock of the experiment that the machine has.
  [[nodiscard]] Checked checked(const char* engine) const {
    Checked out;
    out.engine = engine;
    for (int id = TC_CLOCK_COUNT - 1; id >= 0; id--) {
      const bool readable = mirror_.clocks[static_cast<size_t>(id)].result == 0;
      if (clock::ClockSet(page_.clocks).has(id) && readable) out.clock = id;
    }
    const MirrorReading& reading = mirror_.clocks[static_cast<size_t>(out.clock)];
    const tc_clock_map& map = maps_[static_cast<size_t>(out.clock)];
    out.host = reading.before;
    out.target = reading.shown;
    // The two were read some nanoseconds apart; a constant shift is known exactly.
    out.offset = map.kind == TC_MAP_OFFSET ? clock::shift_at(maps_, out.clock, reading.before)
                                           : clock::minus(reading.shown, reading.before);
    return out;
  }

 private:
  [[nodiscard]] Status check_clock(int id) const {
    const MirrorReading& reading = mirror_.clocks[static_cast<size_t>(id)];
    const std::string name = fmt::format("clock {}", clock::clock_name(id));
    const bool coarse = id == CLOCK_REALTIME_COARSE || id == CLOCK_MONOTONIC_COARSE;
    return check_reading(name, id, reading, coarse ? kTick : kExact, 1);
  }

  // Between what the map makes of the host's clock before, less how far the reading may lag, and
  // after; both as the function rounds.
  [[nodiscard]] Status check_reading(const std::string& what, int map, const MirrorReading& reading,
                                     nanoseconds lag, int64_t step) const {
    if (reading.result != reading.host_result) {
      return fail(Exit::kFailed,
                  fmt::format("{} returns {}, the system call {}", what, reading.result,
                              reading.host_result),
                  kRemedy);
    }
    if (reading.result != 0) return {};
    const clock::Span span =
        clock::shown_between(maps_, map, clock::plus(reading.before, -lag), reading.after);
    const Reading low = in_steps(span.low, step);
    const Reading high = in_steps(span.high, step);
    if (reading.shown >= low && reading.shown <= high) return {};
    return fail(Exit::kFailed,
                fmt::format("{} reads {}, not between {} and {}", what, text(reading.shown),
                            text(low), text(high)),
                kRemedy);
  }

  const tc_clock_page& page_;
  const Mirror& mirror_;
  clock::ClockMaps maps_{};
};

struct Engine {
  Result<Mirror> (*mirror)(pid_t, const vdso::Found*);
  const char* name;
};

constexpr Engine kRun = {[](pid_t pid, const vdso::Found* found) {
                           return found != nullptr ? vdso::read_through_mirror(pid, *found)
                                                   : vdso::read_unshifted_mirror(pid);
                         },
                         "vdso"};
constexpr Engine kComputed = {[](pid_t pid, const vdso::Found* found) {
                                return found != nullptr ? vdso::compute_mirror(pid, *found)
                                                        : vdso::compute_unshifted_mirror(pid);
                              },
                              "vdso (computed)"};

// `found`: nullptr for a process without an experiment.
Result<Checked> check(const Engine& engine, pid_t pid, const vdso::Found* found,
                      const tc_clock_page& page) {
  for (int attempt = 1;; attempt++) {
    TC_TRY(const Mirror mirror, engine.mirror(pid, found));
    const Judge judge(page, mirror);
    const Status verdict = judge.check();
    if (verdict) {
      return judge.checked(found != nullptr && found->slots ? "plt" : engine.name);
    }
    // Twice: a lease may have ended, or the host's clock been set, in the middle of the first.
    if (attempt == 2) return fail(verdict.error());
  }
}

Result<Checked> check(pid_t pid, const vdso::Found* found, const tc_clock_page& page) {
  auto checked = check(kRun, pid, found, page);
  if (checked || checked.error().kind() != Exit::kUnsupported) return checked;
  return check(kComputed, pid, found, page);
}

MirrorReading as_mirrored(const syscalls::RawReading& raw) {
  return {raw.before, raw.shown, raw.after, raw.result, raw.host_result};
}

// As if a vDSO had been run.
Mirror as_mirror(const syscalls::RawReadings& readings, bool has_time, const tc_clock_page& page) {
  Mirror mirror;
  std::transform(readings.clocks.begin(), readings.clocks.end(), mirror.clocks.begin(),
                 as_mirrored);
  mirror.gettimeofday = as_mirrored(readings.gettimeofday);
  mirror.time = as_mirrored(readings.time);
  mirror.has_time = has_time;
  // Not asked for: nothing changes it on the way.
  mirror.tz_minuteswest = page.tz_minuteswest;
  mirror.tz_dsttime = page.tz_dsttime;
  return mirror;
}

// The page of a process that shows the host's time, in the kernel's own time zone.
tc_clock_page unshifted_page() {
  tc_clock_page page{};
  struct timezone zone {};
  ::syscall(SYS_gettimeofday, nullptr, &zone);
  page.tz_minuteswest = zone.tz_minuteswest;
  page.tz_dsttime = zone.tz_dsttime;
  return page;
}

}  // namespace

Result<Checked> check_vdso(pid_t pid, const vdso::Found& found) {
  if (found.state != vdso::State::kShifted) {
    return fail(Exit::kFailed, "nothing of it is shifted", "try again");
  }
  // What the library shows is its own affair; the way to it is not, nor the time that it can ask
  // for.
  if (found.fake) TC_CHECK(vdso::check_routes(pid, *found.fake, found.patches()));
  return check(pid, &found, found.page);
}

Checked seen_at_load(const std::string& library, const vdso::Loaded& loaded) {
  Checked seen;
  seen.engine = library;
  seen.host = loaded.host;
  seen.target = loaded.shown;
  seen.offset = clock::minus(loaded.shown, loaded.host);
  return seen;
}

Result<Checked> check_syscalls(const BpfPlace& place) {
  for (int attempt = 1;; attempt++) {
    const tc_clock_page page = place.engine->page(place.page);
    TC_TRY(const auto readings, syscalls::read_through_bpf(*place.engine, place.page));
    const Mirror mirror = as_mirror(readings, place.engine->shifts_time(), page);
    const Judge judge(page, mirror);
    const Status verdict = judge.check();
    if (verdict) return judge.checked("syscall");
    if (attempt == 2) return fail(verdict.error());
  }
}

Result<Checked> check_recovered(pid_t pid) {
  TC_TRY(const auto found, vdso::find_experiment(pid));
  if (found && found->state != vdso::State::kInert) {
    return fail(Exit::kFailed, "something of an experiment is left in it", kRemedy);
  }
  return check(pid, nullptr, unshifted_page());
}

}  // namespace time_chaos::experiment
