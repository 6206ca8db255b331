#include "agent/cli/clock_options.h"

#include <fmt/format.h>

#include <charconv>
#include <random>

#include "agent/cli/options.h"
#include "agent/clock/date.h"
#include "agent/clock/duration.h"
#include "agent/clock/rate.h"
#include "agent/clock/schedule_file.h"

namespace time_chaos::cli {
namespace {

using std::chrono::nanoseconds;
using Given = std::optional<std::string>;

constexpr nanoseconds kMostJitter = std::chrono::hours(24);

tl::unexpected<Error> bad(const char* option, const std::string& why, const std::string& remedy) {
  return fail(Exit::kUsage, fmt::format("{}: {}", option, why), remedy);
}

// The options of a group of which one at most may be given.
Status at_most_one(std::initializer_list<std::pair<const char*, bool>> group) {
  const char* first = nullptr;
  for (const auto& [option, given] : group) {
    if (!given) continue;
    if (first != nullptr) {
      return fail(Exit::kUsage, fmt::format("{} and {} contradict each other", first, option),
                  "leave out one of them");
    }
    first = option;
  }
  return {};
}

template <typename Value>
Result<Value> named(Result<Value> parsed, const char* option) {
  if (!parsed) return fail(option_error(parsed.error(), option));
  return parsed;
}

// "A" or "A,B".
Result<std::pair<nanoseconds, std::optional<nanoseconds>>> durations(const std::string& text,
                                                                     const char* option) {
  const size_t comma = text.find(',');
  TC_TRY(const nanoseconds first, named(clock::parse_duration(text.substr(0, comma)), option));
  if (comma == std::string::npos) return std::pair(first, std::optional<nanoseconds>());
  TC_TRY(const nanoseconds second, named(clock::parse_duration(text.substr(comma + 1)), option));
  return std::pair(first, std::optional(second));
}

Status parse_start(const ClockOptions& options, clock::ClockSpec& spec) {
  TC_CHECK(at_most_one({{"--offset", options.offset.has_value()},
                        {"--at", options.at.has_value()},
                        {"--bump", options.bump.has_value()}}));
  if (options.offset) {
    TC_TRY(spec.offset, named(clock::parse_duration(*options.offset), "--offset"));
  }
  if (options.at) {
    TC_TRY(spec.date, named(clock::parse_date(*options.at), "--at"));
  }
  if (!options.bump) return {};
  TC_TRY(const auto bounds, durations(*options.bump, "--bump"));
  const auto& [first, second] = bounds;
  if (!second && first <= nanoseconds(0)) {
    return bad("--bump", "the bound is not above 0", "write --bump 5m, or --bump LOW,HIGH");
  }
  spec.bump = second ? clock::Bump{first, *second} : clock::Bump{-first, first};
  if (spec.bump->low <= spec.bump->high) return {};
  return bad("--bump", "the first bound is above the second", "write --bump LOW,HIGH");
}

Status parse_motion(const ClockOptions& options, clock::ClockSpec& spec) {
  TC_CHECK(at_most_one({{"--freeze", options.freeze},
                        {"--rate", options.rate.has_value()},
                        {"--drift", options.drift.has_value()},
                        {"--schedule", options.schedule.has_value()}}));
  if (options.freeze) spec.rate = 0;
  if (options.rate) {
    TC_TRY(spec.rate, named(clock::parse_rate(*options.rate), "--rate"));
  }
  if (options.drift) {
    TC_TRY(spec.rate, named(clock::parse_drift(*options.drift), "--drift"));
  }
  return {};
}

Result<clock::Strobe> parse_strobe(const std::string& text) {
  TC_TRY(const auto both, durations(text, "--strobe"));
  const auto& [delta, period] = both;
  if (!period) return bad("--strobe", "the period is missing", "write --strobe 200ms,1s");
  if (delta == nanoseconds(0)) return bad("--strobe", "it strobes by nothing", "give a DELTA");
  if (*period < std::chrono::microseconds(1) || *period > std::chrono::hours(24 * 365)) {
    return bad("--strobe", "the period is not between 1us and a year",
               "write --strobe DELTA,PERIOD, like 200ms,1s");
  }
  return clock::Strobe{delta, *period};
}

Result<clock::Leap> parse_leap(const std::string& text) {
  if (text == "insert") return clock::Leap::kInsert;
  if (text == "delete") return clock::Leap::kDelete;
  if (text == "smear") return clock::Leap::kSmear;
  return bad("--leap-second", fmt::format("{} is not known", text), "use insert, delete or smear");
}

Result<clock::Jitter> parse_jitter(const std::string& text) {
  TC_TRY(const auto both, durations(text, "--jitter"));
  const auto& [amplitude, interval] = both;
  if (amplitude < nanoseconds(1) || amplitude > kMostJitter) {
    return bad("--jitter", "the amplitude is not between 1ns and 24h", "write it like 5ms");
  }
  if (interval &&
      (*interval < std::chrono::microseconds(1) || *interval > std::chrono::hours(24 * 365))) {
    return bad("--jitter", "the interval is not between 1us and a year",
               "write --jitter AMPLITUDE,INTERVAL, like 5ms,1s");
  }
  return clock::Jitter{amplitude, interval};
}

Status parse_course(const ClockOptions& options, clock::ClockSpec& spec) {
  TC_CHECK(at_most_one({{"--strobe", options.strobe.has_value()},
                        {"--leap-second", options.leap_second.has_value()},
                        {"--schedule", options.schedule.has_value()}}));
  if (options.strobe) {
    TC_TRY(spec.strobe, parse_strobe(*options.strobe));
  }
  if (options.leap_second) {
    TC_TRY(spec.leap, parse_leap(*options.leap_second));
  }
  if (options.schedule) {
    TC_TRY(auto read, named(clock::read_schedule(*options.schedule), "--schedule"));
    spec.schedule = std::make_shared<const clock::Schedule>(std::move(read));
  }
  if (options.jitter) {
    TC_TRY(spec.jitter, parse_jitter(*options.jitter));
  }
  return {};
}

Result<uint64_t> parse_seed(const Given& text) {
  if (!text) return std::random_device()();
  uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seed);
  if (error == std::errc() && end == text->data() + text->size()) return seed;
  return bad("--seed", fmt::format("{} is not a number", *text), "use a whole number, 0 or more");
}

}  // namespace

void add_clocks(CLI::App& app, ClockOptions& clocks) {
  app.add_option("--offset", clocks.offset, "What is added to the clocks: -1h, 1h30m, 500ms, 2d")
      ->type_name("DURATION");
  app.add_option("--at", clocks.at,
                 "The date at which they start: 2030-01-01T00:00:00Z, or @UNIX seconds")
      ->type_name("DATE");
  app.add_option("--bump", clocks.bump,
                 "A step at random, by up to BOUND either way, or between two bounds LOW,HIGH")
      ->type_name("BOUND");
  app.add_flag("--freeze", clocks.freeze, "They stand still");
  app.add_option("--rate", clocks.rate, "They run at that many times the real speed: 2, 0.5")
      ->type_name("RATE");
  app.add_option("--drift", clocks.drift, "They run so much faster than real time: 200ppm, -50ppm")
      ->type_name("PPM");
  app.add_option("--strobe", clocks.strobe,
                 "Every PERIOD they step: to +DELTA, back to +0, and so on: 200ms,1s")
      ->type_name("DELTA,PERIOD");
  app.add_option("--leap-second", clocks.leap_second,
                 "At the end of the day that they show: insert, delete or smear")
      ->type_name("HOW");
  app.add_option("--schedule", clocks.schedule, "What they do from when on, as JSON (see README)")
      ->type_name("FILE");
  app.add_option("--jitter", clocks.jitter,
                 "They wander by up to AMPLITUDE either way, without running backwards; with an "
                 "INTERVAL: that fast, backwards if need be: 5ms or 5ms,1ms")
      ->type_name("AMPLITUDE");
  app.add_option("--seed", clocks.seed, "Repeats a --bump or --jitter (default: at random)")
      ->type_name("N");
  app.add_option("--clocks", clocks.clocks,
                 "Which clocks, by the kernel's names, comma-separated; also wall (the default: "
                 "realtime, realtime_coarse, tai, realtime_alarm), monotonic-family, all")
      ->type_name("LIST");
  app.add_flag("--allow-monotonic-step", clocks.allow_monotonic_step,
               "Let monotonic clocks step back, which no kernel's clock does");
}

Result<clock::ClockSpec> ClockOptions::parse() const {
  clock::ClockSpec spec;
  TC_CHECK(parse_start(*this, spec));
  TC_CHECK(parse_motion(*this, spec));
  TC_CHECK(parse_course(*this, spec));
  const bool asked = offset || at || bump || freeze || rate || drift || spec.has_course();
  if (!asked) {
    return fail(Exit::kUsage, "no clock given",
                "say what it is to show: --offset -1h, --at DATE, --rate 2, --freeze, ...");
  }
  spec.allow_monotonic_step = allow_monotonic_step;
  TC_TRY(spec.seed, parse_seed(seed));
  if (!clocks) return spec;
  TC_TRY(spec.clocks, named(clock::parse_clocks(*clocks), "--clocks"));
  return spec;
}

}  // namespace time_chaos::cli
