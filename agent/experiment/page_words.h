// What a clock page says of itself to people: what was asked for, and what that comes to now.
#pragma once

#include <chrono>
#include <string>

#include "agent/clock/clock_maps.h"
#include "agent/clock/clock_spec.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::experiment {

void write_words(tc_clock_page& page, const std::string& words);
// The page is the target's to write to: only what is fit to print.
std::string read_words(const tc_clock_page& page);

// The first of these clocks; 0 if there is none.
int first_clock(clock::ClockSet clocks);
// What that one is shifted by.
std::chrono::nanoseconds first_shift(const clock::ClockMaps& maps, clock::ClockSet clocks,
                                     const clock::HostReadings& now);

// What a page shows at this moment.
struct InForce {
  std::string kind;  // "offset", "rate", "schedule"
  std::string words;
  clock::Reading shown;
  int clock = 0;
  std::chrono::nanoseconds shift{0};
  double rate = 1;  // the clock's own, beside a schedule
};
InForce in_force(const tc_clock_page& page, const clock::HostReadings& now);

// "+1h"; "drift +200ppm (now +3ms)"; "at 2030-01-01T00:00:00Z, frozen (now -5m)".
std::string text(const InForce& map);

}  // namespace time_chaos::experiment
