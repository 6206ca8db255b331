// Clock names are the kernel's (include/uapi/linux/time.h), without CLOCK_ and in lower case.
#include "agent/clock/clock_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "agent/clock/quoted.h"

namespace time_chaos::clock {
namespace {

// By clock id. 10 was CLOCK_SGI_CYCLE; no kernel since 3.18 has it.
constexpr std::array<std::string_view, TC_CLOCK_COUNT> kNames = {"realtime",
                                                                 "monotonic",
                                                                 "process_cputime_id",
                                                                 "thread_cputime_id",
                                                                 "monotonic_raw",
                                                                 "realtime_coarse",
                                                                 "monotonic_coarse",
                                                                 "boottime",
                                                                 "realtime_alarm",
                                                                 "boottime_alarm",
                                                                 "",
                                                                 "tai"};

constexpr ClockSet kWall((1U << 0) | (1U << 5) | (1U << 8) | (1U << 11));
constexpr ClockSet kMonotonicFamily((1U << 1) | (1U << 4) | (1U << 6) | (1U << 7) | (1U << 9));

ClockSet every_named_clock() {
  uint32_t bits = 0;
  for (size_t id = 0; id < kNames.size(); id++) {
    if (!kNames[id].empty()) bits |= 1U << id;
  }
  return ClockSet(bits);
}

// ASCII only, whatever the locale.
std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string known_names() {
  std::string list = "known are wall, monotonic-family, all";
  for (const std::string_view name : kNames) {
    if (!name.empty()) list.append(", ").append(name);
  }
  return list;
}

Result<ClockSet> parse_one(std::string_view word) {
  const std::string lower = lower_case(word);
  if (lower == "wall") return kWall;
  if (lower == "monotonic-family") return kMonotonicFamily;
  if (lower == "all") return every_named_clock();
  std::string_view name = lower;
  constexpr std::string_view kPrefix = "clock_";
  if (name.substr(0, kPrefix.size()) == kPrefix) name.remove_prefix(kPrefix.size());
  for (size_t id = 0; id < kNames.size() && !name.empty(); id++) {
    if (kNames[id] == name) return ClockSet(1U << id);
  }
  return fail(Exit::kUsage, "there is no clock " + quoted(word), known_names());
}

}  // namespace

ClockSet ClockSet::wall() {
  return kWall;
}

ClockSet ClockSet::monotonic_family() {
  return kMonotonicFamily;
}

std::vector<std::string> ClockSet::names() const {
  std::vector<std::string> names;
  for (int id = 0; id < TC_CLOCK_COUNT; id++) {
    if (has(id)) names.push_back(clock_name(id));
  }
  return names;
}

std::string ClockSet::text() const {
  if (*this == kWall) return "wall";
  if (empty()) return "none";
  return fmt::format("{}", fmt::join(names(), ","));
}

std::string clock_name(int clock) {
  if (clock >= 0 && clock < TC_CLOCK_COUNT) {
    const std::string_view name = kNames[static_cast<size_t>(clock)];
    if (!name.empty()) return std::string(name);
  }
  return fmt::format("clock {}", clock);
}

bool is_monotonic(int clock) {
  return !kWall.has(clock);
}

Result<ClockSet> parse_clocks(std::string_view text) {
  if (text.empty()) return fail(Exit::kUsage, "the list of clocks is empty", known_names());
  ClockSet set;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (end == begin) {
      return fail(Exit::kUsage, "the list of clocks " + quoted(text) + " has an empty entry",
                  "put one comma between two names");
    }
    TC_TRY(const ClockSet one, parse_one(text.substr(begin, end - begin)));
    set = set | one;
    begin = end + 1;
  }
  return set;
}

}  // namespace time_chaos::clock
