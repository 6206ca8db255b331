#include "agent/experiment/page_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "agent/clock/duration.h"
#include "agent/clock/rate.h"

namespace time_chaos::experiment {

void write_words(tc_clock_page& page, const std::string& words) {
  std::memset(page.words, 0, sizeof page.words);
  words.copy(page.words, sizeof page.words - 1);
}

std::string read_words(const tc_clock_page& page) {
  std::string words(page.words, ::strnlen(page.words, sizeof page.words));
  const auto unprintable = [](unsigned char c) { return c < 0x20 || c >= 0x7f; };
  std::replace_if(words.begin(), words.end(), unprintable, '?');
  return words;
}

int first_clock(clock::ClockSet clocks) {
  for (int c = 0; c < TC_CLOCK_COUNT; c++) {
    if (clocks.has(c)) return c;
  }
  return 0;
}

std::chrono::nanoseconds first_shift(const clock::ClockMaps& maps, clock::ClockSet clocks,
                                     const clock::HostReadings& now) {
  const int clock = first_clock(clocks);
  return clock::shift_at(maps, clock, now[static_cast<size_t>(clock)]);
}

namespace {

// It changes all the time: the digits that matter.
std::chrono::nanoseconds rounded(std::chrono::nanoseconds shift) {
  const auto size = shift < std::chrono::nanoseconds(0) ? -shift : shift;
  const int64_t step = size < std::chrono::milliseconds(1) ? 1
                       : size < std::chrono::seconds(1)    ? 1'000
                                                           : 1'000'000;
  return std::chrono::nanoseconds(shift.count() / step * step);
}

}  // namespace

InForce in_force(const tc_clock_page& page, const clock::HostReadings& now) {
  const clock::ClockMaps maps = clock::maps_in_force(page);
  InForce out;
  out.clock = first_clock(clock::ClockSet(page.clocks));
  const auto i = static_cast<size_t>(out.clock);
  const tc_clock_map& map = maps[i];
  out.words = read_words(page);
  out.shown = clock::apply(maps, out.clock, now[i]);
  out.shift = clock::shift_at(maps, out.clock, now[i]);
  out.kind = map.kind == TC_MAP_OFFSET ? "offset" : map.kind == TC_MAP_RATE ? "rate" : "schedule";
  if (map.kind != TC_MAP_OFFSET) out.rate = clock::rate_number(map.rate);
  return out;
}

std::string text(const InForce& map) {
  if (map.kind == "offset" || map.words.empty()) return clock::format_offset(map.shift);
  return fmt::format("{} (now {})", map.words, clock::format_offset(rounded(map.shift)));
}

}  // namespace time_chaos::experiment
