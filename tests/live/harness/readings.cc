// Parsing and judging the lines of targets (see readings.h).
#include "tests/live/harness/readings.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <ctime>
#include <sstream>

namespace time_chaos::live {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// "12.5" as nanoseconds, exactly; nullopt for what is not a non-negative decimal number.
std::optional<int64_t> decimal_ns(std::string_view text) {
  int64_t whole = 0;
  int64_t fraction = 0;
  int64_t scale = kSecond;
  bool after_point = false;
  if (text.empty()) return std::nullopt;
  for (const char c : text) {
    if (c == '.' && !after_point) {
      after_point = true;
    } else if (std::isdigit(static_cast<unsigned char>(c)) == 0) {
      return std::nullopt;
    } else if (after_point) {
      scale /= 10;
      fraction += (c - '0') * scale;
    } else {
      whole = whole * 10 + (c - '0');
    }
  }
  return whole * kSecond + fraction;
}

clockid_t clock_of(const std::string& field) {
  return field == "tai" ? CLOCK_TAI : CLOCK_REALTIME;
}

Status check_one(const Reading& reading, const ShiftCheck& check) {
  for (const std::string field : {"rt", "gtod", "time", "coarse", "tai", "raw", "vdso"}) {
    if (!reading.has(field)) continue;
    const bool exempt =
        std::find(check.unshifted.begin(), check.unshifted.end(), field) != check.unshifted.end();
    const Nanoseconds expected = exempt ? Nanoseconds{0} : check.expected;
    const Nanoseconds off = reading.shift(field) - expected;
    // time() holds whole seconds: up to one second less.
    const Nanoseconds low = -kReadingTolerance - Nanoseconds{field == "time" ? kSecond : 0};
    if (off < low || off > kReadingTolerance) {
      return fail(Exit::kFailed,
                  fmt::format("{} is off by {} ns, not {} ns, in \"{}\"", field,
                              reading.shift(field).count(), expected.count(), reading.line()));
    }
  }
  return {};
}

}  // namespace

int64_t host_ns(clockid_t clock) {
  timespec t{};
  ::syscall(SYS_clock_gettime, clock, &t);
  return t.tv_sec * kSecond + t.tv_nsec;
}

int64_t host_mono_ns() {
  return host_ns(CLOCK_MONOTONIC);
}

int64_t host_distance_ns(clockid_t clock) {
  // The closest of three, in case the test loses the CPU in between.
  int64_t best = 0;
  int64_t narrowest = INT64_MAX;
  for (int i = 0; i < 3; ++i) {
    const int64_t before = host_mono_ns();
    const int64_t value = host_ns(clock);
    const int64_t after = host_mono_ns();
    if (after - before < narrowest) {
      narrowest = after - before;
      best = value - before;
    }
  }
  return best;
}

std::optional<Reading> Reading::parse(std::string_view line) {
  Reading reading;
  reading.line_ = line;
  std::istringstream words{reading.line_};
  std::string name;
  for (std::string word; words >> word;) {
    if (const auto value = decimal_ns(word); value && !name.empty()) {
      reading.fields_[name] = *value;
      name.clear();
    } else {
      name = word;
    }
  }
  if (!reading.has("rt") || !reading.has("mono")) return std::nullopt;
  return reading;
}

int64_t Reading::ns(const std::string& field) const {
  const auto found = fields_.find(field);
  return found == fields_.end() ? -1 : found->second;
}

Nanoseconds Reading::shift(const std::string& field) const {
  return Nanoseconds{ns(field) - ns("mono") - host_distance_ns(clock_of(field))};
}

Result<Reading> next_reading(Child& target, int64_t since, Milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::ceil<Milliseconds>(end - std::chrono::steady_clock::now());
    TC_TRY(const std::string line, target.read_line(std::max(left, Milliseconds{1})));
    auto reading = Reading::parse(line);
    if (reading && reading->ns("mono") >= since) return *reading;
    if (std::chrono::steady_clock::now() >= end) {
      return fail(Exit::kFailed,
                  fmt::format("no reading newer than {} ns; last line \"{}\"", since, line));
    }
  }
}

Status check_shift(Child& target, const ShiftCheck& check) {
  const int64_t since = check.since != 0 ? check.since : host_mono_ns();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{10};
  for (int seen = 0; seen < check.count;) {
    TC_TRY(const Reading reading, next_reading(target, since));
    if (std::chrono::steady_clock::now() > end) {
      return fail(Exit::kFailed, fmt::format("{} readings of \"{}\" did not come within 10 s",
                                             check.count, check.only_label));
    }
    if (!reading.line().starts_with(check.only_label)) continue;
    TC_CHECK(check_one(reading, check));
    ++seen;
  }
  return {};
}

Result<int> check_lines(const std::string& text, Nanoseconds expected,
                        const std::vector<std::string>& unshifted) {
  std::istringstream lines{text};
  int count = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto reading = Reading::parse(line);
    if (!reading) continue;
    TC_CHECK(check_one(*reading, {.expected = expected, .unshifted = unshifted}));
    count++;
  }
  return count;
}

}  // namespace time_chaos::live
