// What is refused before anything changes: clocks that would step back, and times that no clock of
// the kernel can show.
#pragma once

#include <chrono>

#include "agent/base/error.h"
#include "agent/clock/clock_maps.h"
#include "agent/clock/course.h"

namespace time_chaos::clock {

// A monotonic clock that is `present` ahead gets `shift`.
Status check_monotonic(int clock, std::chrono::nanoseconds shift, std::chrono::nanoseconds present);
// A monotonic clock never runs or steps back on the way.
Status check_course(int clock, const ClockSpec& spec, const Course& course);
// `now` and `shift` on, and `lowest` more, are between 1970 (the boot) and 2262.
Status check_range(int clock, Reading now, std::chrono::nanoseconds shift, int64_t lowest);
// A page has one table, and a monotonic clock that is not in the request may still be on its way
// through an old one.
Status check_one_table(const ClockSpec& spec, const ClockMaps& released);
// CPU-time clocks are each process's and each thread's own: they have no start in common.
Status check_cpu_time(int clock);
Error no_date(int clock);

}  // namespace time_chaos::clock
