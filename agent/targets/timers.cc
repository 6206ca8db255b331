#include "agent/targets/timers.h"

#include <fmt/format.h>

#include <optional>

#include "agent/targets/proc_text.h"

namespace time_chaos::targets {
namespace {

// "name: rest" -> "rest"
std::optional<std::string_view> value_of(std::string_view line, std::string_view name) {
  if (line.substr(0, name.size()) != name) return std::nullopt;
  line.remove_prefix(name.size());
  if (line.empty() || line.front() != ':') return std::nullopt;
  line.remove_prefix(1);
  return trimmed(line);
}

// "(3, 250)"
bool read_pair(std::string_view text, int64_t* sec, int64_t* nsec) {
  const size_t comma = text.find(',');
  if (comma == std::string_view::npos || text.front() != '(' || text.back() != ')') return false;
  const auto first = to_number<int64_t>(trimmed(text.substr(1, comma - 1)));
  const auto second = to_number<int64_t>(trimmed(text.substr(comma + 1, text.size() - comma - 2)));
  if (!first || !second) return false;
  *sec = *first;
  *nsec = *second;
  return true;
}

// In /proc/PID/timers: of the timer with that id.
std::optional<std::string_view> field_of(std::string_view text, int timer, std::string_view name) {
  bool its = false;
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    if (const auto id = value_of(line, "ID")) its = to_number<int>(*id) == timer;
    const auto field = value_of(line, name);
    if (its && field) return field;
  }
  return std::nullopt;
}

}  // namespace

Result<Timerfd> parse_timerfd(std::string_view text) {
  Timerfd timer;
  int fields = 0;
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    if (const auto clock = value_of(line, "clockid")) {
      const auto number = to_number<int>(*clock);
      fields += number.has_value() ? 1 : 0;
      timer.clock = number.value_or(-1);
    } else if (const auto flags = value_of(line, "settime flags")) {
      const auto number = to_number<unsigned>(*flags, 8);
      fields += number.has_value() ? 1 : 0;
      timer.flags = number.value_or(0);
    } else if (const auto ticks = value_of(line, "ticks")) {
      const auto number = to_number<uint64_t>(*ticks);
      fields += number.has_value() ? 1 : 0;
      timer.ticks = number.value_or(0);
    } else if (const auto value = value_of(line, "it_value")) {
      fields += read_pair(*value, &timer.value_sec, &timer.value_nsec) ? 1 : 0;
    } else if (const auto interval = value_of(line, "it_interval")) {
      fields += read_pair(*interval, &timer.interval_sec, &timer.interval_nsec) ? 1 : 0;
    }
  }
  if (fields != 5) return fail(Exit::kNoTarget, "no timerfd");
  return timer;
}

Result<Timerfd> read_timerfd(pid_t pid, int fd) {
  TC_TRY(const std::string text, read_process_file(pid, fmt::format("fdinfo/{}", fd)));
  return parse_timerfd(text);
}

Result<int> parse_timer_clock(std::string_view text, int timer) {
  if (const auto clock = field_of(text, timer, "ClockID")) {
    if (const auto number = to_number<int>(*clock)) return *number;
  }
  return fail(Exit::kNoTarget, fmt::format("no timer {}", timer));
}

// "34/000055de5b3e9f60"
Result<int> parse_timer_signal(std::string_view text, int timer) {
  if (const auto signal = field_of(text, timer, "signal")) {
    if (const auto number = to_number<int>(signal->substr(0, signal->find('/')))) return *number;
  }
  return fail(Exit::kNoTarget, fmt::format("no timer {}", timer));
}

Result<int> read_timer_clock(pid_t pid, int timer) {
  TC_TRY(const std::string text, read_process_file(pid, "timers"));
  return parse_timer_clock(text, timer);
}

Result<int> read_timer_signal(pid_t pid, int timer) {
  TC_TRY(const std::string text, read_process_file(pid, "timers"));
  return parse_timer_signal(text, timer);
}

}  // namespace time_chaos::targets
