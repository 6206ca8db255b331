#include "agent/clock/clock_spec.h"

#include <fmt/format.h>

#include <random>
#include <vector>

#include "agent/clock/date.h"
#include "agent/clock/duration.h"
#include "agent/clock/rate.h"

namespace time_chaos::clock {
namespace {

using std::chrono::nanoseconds;

const char* name(Leap leap) {
  switch (leap) {
    case Leap::kInsert:
      return "insert";
    case Leap::kDelete:
      return "delete";
    case Leap::kSmear:
      break;
  }
  return "smear";
}

std::string schedule_words(const Schedule& schedule) {
  std::string text = fmt::format("schedule of {} step{}", schedule.steps.size(),
                                 schedule.steps.size() == 1 ? "" : "s");
  if (!schedule.loop) return text;
  const nanoseconds period = schedule.loop->end - schedule.loop->from;
  return text + fmt::format(", repeating every {}", format_duration(period));
}

}  // namespace

nanoseconds bump_of(const ClockSpec& spec) {
  if (!spec.bump) return nanoseconds(0);
  // Not std::uniform_int_distribution: a seed is to mean the same step with every library.
  std::mt19937_64 random(spec.seed);
  const auto width = static_cast<uint64_t>(spec.bump->high.count()) -
                     static_cast<uint64_t>(spec.bump->low.count()) + 1;
  const uint64_t drawn = width == 0 ? random() : random() % width;
  return nanoseconds(static_cast<int64_t>(static_cast<uint64_t>(spec.bump->low.count()) + drawn));
}

std::string words(const ClockSpec& spec) {
  std::vector<std::string> parts;
  if (spec.offset) parts.push_back(format_offset(*spec.offset));
  if (spec.date) parts.push_back("at " + format_date(*spec.date));
  if (spec.bump) parts.push_back("bumped by " + format_offset(bump_of(spec)));
  if (spec.rate != TC_RATE_ONE) parts.push_back(rate_words(spec.rate));
  if (spec.strobe) {
    parts.push_back(fmt::format("strobe {} every {}", format_offset(spec.strobe->delta),
                                format_duration(spec.strobe->period)));
  }
  if (spec.leap) parts.push_back(fmt::format("leap second {}", name(*spec.leap)));
  if (spec.schedule) parts.push_back(schedule_words(*spec.schedule));
  if (spec.jitter) parts.push_back("jitter " + format_duration(spec.jitter->amplitude));
  if (spec.bump || spec.jitter) parts.push_back(fmt::format("seed {}", spec.seed));
  return parts.empty() ? "+0s" : fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace time_chaos::clock
