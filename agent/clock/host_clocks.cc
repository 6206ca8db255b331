// Readings of this machine's clocks by system call, never through the vDSO: a vDSO may be detoured.
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/clock/clock_spec.h"

namespace time_chaos::clock {

HostReadings read_host_clocks() {
  HostReadings readings{};
  for (size_t id = 0; id < readings.size(); id++) {
    timespec now{};
    // EINVAL: no such clock here; the alarm clocks need a real-time clock device.
    if (::syscall(SYS_clock_gettime, static_cast<clockid_t>(id), &now) == 0) {  // NOLINT(*-vararg)
      readings[id] = {now.tv_sec, now.tv_nsec};
    }
  }
  return readings;
}

}  // namespace time_chaos::clock
