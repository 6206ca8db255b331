#include "agent/clock/schedule.h"

namespace time_chaos::clock {
namespace {

__extension__ using Wide = __int128;
using std::chrono::nanoseconds;

constexpr int64_t kDay = 86'400 * TC_NSEC_PER_SEC;
// One second more than the day has is shown in the time of a day: 24 h of clock in 24 h and 1 s.
constexpr int64_t kSmearRate = TC_RATE_ONE - TC_RATE_ONE / 86'401;

// How long it takes a clock to advance by `span`, rounded up.
nanoseconds time_for(int64_t span, int64_t rate) {
  return nanoseconds(static_cast<int64_t>(((static_cast<Wide>(span) << 32) + rate - 1) / rate));
}

Step step(nanoseconds at) {
  Step step;
  step.at = at;
  return step;
}

}  // namespace

Schedule schedule_of(const Strobe& strobe) {
  Schedule schedule;
  schedule.steps = {step(nanoseconds(0)), step(strobe.period)};
  schedule.steps[0].offset = nanoseconds(0);
  schedule.steps[1].offset = strobe.delta;
  schedule.loop = Schedule::Loop{nanoseconds(0), 2 * strobe.period};
  return schedule;
}

Schedule schedule_of(Leap leap, Reading shown, int64_t rate) {
  Schedule schedule;
  int64_t left = kDay - (shown.sec % 86'400 * TC_NSEC_PER_SEC + shown.nsec);  // of this day
  if (leap == Leap::kSmear) {
    const int64_t until_noon = left - kDay / 2;
    const nanoseconds begin = time_for(until_noon > 0 ? until_noon : 0, rate);
    const int64_t smeared = until_noon > 0 ? kDay : left + kDay / 2;
    Step slow = step(begin);
    slow.rate = kSmearRate;
    const auto slow_rate = static_cast<int64_t>((static_cast<Wide>(rate) * kSmearRate) >> 32);
    if (begin > nanoseconds(0)) schedule.steps.push_back(step(nanoseconds(0)));
    schedule.steps.push_back(slow);
    schedule.steps.push_back(step(begin + time_for(smeared, slow_rate)));
    return schedule;
  }
  int64_t until = left;
  if (leap == Leap::kDelete) until -= TC_NSEC_PER_SEC;
  if (until < 0) until += kDay;
  Step at_midnight = step(time_for(until, rate));
  at_midnight.by = std::chrono::seconds(leap == Leap::kInsert ? -1 : 1);
  schedule.steps = {step(nanoseconds(0)), at_midnight};
  return schedule;
}

}  // namespace time_chaos::clock
