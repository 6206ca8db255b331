// Reading the shared reports of torture targets (see torture.h).
#include "tests/live/harness/torture.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "tests/live/harness/targets.h"

namespace time_chaos::live {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kSecond = 1'000'000'000;
constexpr Milliseconds kPoll{1};

template <typename T>
T load(const T& field) {
  return __atomic_load_n(&field, __ATOMIC_ACQUIRE);
}

// A sample that was not being written while it was copied.
std::optional<live_sample> copy_sample(const live_sample& from) {
  live_sample copy{};
  copy.sequence = load(from.sequence);
  copy.mono_ns = load(from.mono_ns);
  copy.realtime_ns = load(from.realtime_ns);
  copy.gettimeofday_ns = load(from.gettimeofday_ns);
  copy.time_s = load(from.time_s);
  if (copy.sequence % 2 != 0 || load(from.sequence) != copy.sequence) return std::nullopt;
  return copy;
}

}  // namespace

Result<Torture> Torture::start(const std::string& name, const std::vector<std::string>& arguments,
                               const std::vector<std::string>& after) {
  TC_TRY(SharedFile<live_report> report, SharedFile<live_report>::make());
  std::vector<std::string> all = arguments;
  all.push_back(report.path());
  all.insert(all.end(), after.begin(), after.end());
  TC_TRY(Child child, start_target(name, all));
  const auto end = Clock::now() + std::chrono::seconds{10};
  while (load(report->ready) == 0) {
    if (!child.running()) {
      const auto line = child.read_line(Milliseconds{100});
      if (line && *line == "unsupported") {
        return fail(Exit::kUnsupported, name + " says that this machine does not support it");
      }
      return fail(Exit::kFailed, name + " ended before it began");
    }
    if (Clock::now() > end) return fail(Exit::kFailed, name + " did not begin within 10 s");
    std::this_thread::sleep_for(kPoll);
  }
  return Torture(std::move(child), std::move(report));
}

void Torture::allow(const std::vector<Nanoseconds>& offsets) {
  live_report& r = report();
  // Never a moment in which an offset that stays allowed is not.
  for (size_t i = 0; i < offsets.size() && i < LIVE_OFFSETS; ++i) {
    __atomic_store_n(&r.allowed_ns[i], offsets[i].count(), __ATOMIC_RELAXED);
  }
  const uint64_t count = std::min<uint64_t>(offsets.size(), LIVE_OFFSETS);
  __atomic_store_n(&r.allowed_count, count, __ATOMIC_RELEASE);
}

Result<Nanoseconds> Torture::fresh_shift(int64_t since, Milliseconds timeout) {
  const auto end = Clock::now() + timeout;
  while (Clock::now() < end && child_.running()) {
    for (const live_sample& slot : report().samples) {
      const auto sample = copy_sample(slot);
      if (!sample || sample->sequence == 0 || sample->mono_ns < since) continue;
      const int64_t distance = host_distance_ns(CLOCK_REALTIME);
      const int64_t shift = sample->realtime_ns - sample->mono_ns - distance;
      const int64_t of_day = sample->gettimeofday_ns - sample->mono_ns - distance;
      const int64_t whole = sample->time_s * kSecond - sample->mono_ns - distance;
      const int64_t slack = kReadingTolerance.count();
      if (std::abs(of_day - shift) > slack || whole - shift > slack ||
          whole - shift < -kSecond - slack) {
        return fail(Exit::kFailed,
                    fmt::format("clock_gettime is off by {} ns, gettimeofday by {}, time by {}",
                                shift, of_day, whole));
      }
      return Nanoseconds{shift};
    }
    std::this_thread::sleep_for(kPoll);
  }
  return fail(Exit::kFailed, fmt::format("{} made no reading within {} ms ({})", pid(),
                                         timeout.count(), child_.running() ? "it hangs" : "dead"));
}

Status Torture::progress(uint64_t rounds, Milliseconds timeout) {
  const auto end = Clock::now() + timeout;
  const uint64_t goal = load(report().rounds) + rounds;
  while (load(report().rounds) < goal) {
    if (!child_.running()) {
      const auto status = child_.wait(Milliseconds{0});
      return fail(Exit::kFailed, fmt::format("the target died: {}",
                                             status ? text(*status) : std::string("unknown")));
    }
    if (Clock::now() > end) {
      return fail(Exit::kFailed,
                  fmt::format("the target made {} of {} rounds in {} ms",
                              load(report().rounds) + rounds - goal, rounds, timeout.count()));
    }
    std::this_thread::sleep_for(kPoll);
  }
  return {};
}

Status Torture::healthy() {
  const live_report& r = report();
  if (!child_.running()) return fail(Exit::kFailed, "the target is dead");
  if (load(r.bad) != 0 || load(r.bad_results) != 0 ||
      (load(r.interrupted) != 0 && !interruptions_tolerated_) || load(r.late) != 0) {
    return fail(Exit::kFailed,
                fmt::format("of {} rounds {} were bad (bits {:#x}, see report.h), {} calls had a "
                            "wrong result (last {}), {} got EINTR, {} were late (last by {} us)",
                            load(r.rounds), load(r.bad), load(r.bad_bits), load(r.bad_results),
                            load(r.last_bad_result), load(r.interrupted), load(r.late),
                            load(r.max_late_us)));
  }
  return {};
}

int64_t Torture::lost_ticks() {
  const auto end = Clock::now() + Milliseconds{300};
  int64_t fewest = INT64_MAX;
  uint64_t seen = load(report().handlers);
  while (Clock::now() < end || fewest == INT64_MAX) {
    if (const uint64_t now = load(report().handlers); now != seen) {
      seen = now;
      fewest = std::min(fewest, load(report().tick_deficit));
    }
    if (Clock::now() > end + std::chrono::seconds{5}) break;  // no signals at all
    std::this_thread::sleep_for(Milliseconds{1});
  }
  return fewest;
}

}  // namespace time_chaos::live
