// Schedules, dates and rates as users write them: no input may crash the parsers, and by what they
// accept no clock may leave its time, at whatever moment it is read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/clock/clock_maps.h"
#include "agent/clock/date.h"
#include "agent/clock/program.h"
#include "agent/clock/rate.h"
#include "agent/clock/rate_map.h"
#include "agent/clock/schedule_file.h"

using namespace time_chaos::clock;

namespace {

constexpr Reading kStart{1'800'000'000, 7};

void check(bool holds) {
  if (!holds) std::abort();
}

template <typename Value>
void check_error(const time_chaos::Result<Value>& result) {
  if (result) return;
  check(result.error().line().find('\n') == std::string::npos);
  check(result.error().kind() == time_chaos::Exit::kUsage);
}

void follow(const Program& program) {
  ClockMaps maps = identity_maps();
  maps[0] = make_rate_map_fixed(kStart, kStart, TC_RATE_ONE);
  maps[0].kind = TC_MAP_SCHEDULE;
  for (int64_t t = 0; t >= 0 && t < INT64_MAX / 4; t = t * 3 + 1) {
    maps.table = program.table(t);
    const auto due = program.refill_after(t);
    check(!due || *due > t);
    const Reading real = plus(kStart, std::chrono::nanoseconds(t));
    const Reading shown = apply(maps, 0, real);
    check(shown >= Reading{} && shown.sec <= TC_LAST_SEC && shown.nsec < TC_NSEC_PER_SEC);
    const Span span = shown_between(maps, 0, real, plus(real, std::chrono::milliseconds(1)));
    check(span.low <= shown && shown <= span.high);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto date = parse_date(text);
  check_error(date);
  if (date) check(parse_date(format_date(*date)).value() == *date);
  check_error(parse_rate(text));
  check_error(parse_drift(text));
  const auto schedule = parse_schedule(text, "f");
  check_error(schedule);
  if (!schedule || schedule->steps.size() > 1000) return 0;
  const auto program = Program::compile(*schedule, TC_RATE_ONE, kStart);
  check_error(program);
  if (program) follow(*program);
  return 0;
}
