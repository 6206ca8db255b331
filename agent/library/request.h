// A tc_clock, as C programs fill it in, checked and in the agent's terms.
#pragma once

#include "agent/base/error.h"
#include "agent/clock/clock_spec.h"
#include "time_chaos/time_chaos.h"

namespace time_chaos::library {

// kUsage, naming the field.
Result<clock::ClockSpec> checked(const tc_clock& request);

}  // namespace time_chaos::library
