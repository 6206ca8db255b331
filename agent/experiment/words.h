// Small pieces of what the program says: moments, times of stop, patches, libraries.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/clock/map_plan.h"
#include "agent/payload/layout.h"
#include "agent/vdso/recover.h"

namespace time_chaos::experiment {

// RFC 3339 in UTC: "2030-01-01T00:00:00.25Z"; no fraction when `fraction` is false. Readings of
// clocks that do not tell the date are given in seconds.
std::string moment(clock::Reading reading, bool fraction);
std::string reading_text(int clock, clock::Reading reading);
std::string milliseconds(std::chrono::nanoseconds time);  // "0.14 ms"
double microseconds(std::chrono::nanoseconds time);
std::string patch_method(const payload::PatchRecord& patch);  // "one-byte", "five-byte"
std::string patches_text(const std::vector<payload::PatchRecord>& patches);

// "clock_gettime and time by libmine.so; gettimeofday is real": of an experiment by --fake.
std::string fake_text(const std::vector<payload::PatchRecord>& patches, const std::string& library);
// What became of the library at the end.
std::string unloaded_text(const vdso::RecoverReport& report);

}  // namespace time_chaos::experiment
