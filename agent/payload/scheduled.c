/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules, as the payload evaluates them: compiled to assembly, which hook_x86_64.S includes. The
 * rules for that code are there; CMakeLists.txt has the compiler options that keep them. It may
 * call nothing and have no data. */
#include "time_chaos/abi/clock_map.h"

struct tc_shown {
  int64_t sec;
  int64_t nsec;
};

struct tc_shown tc_payload_scheduled(const struct tc_clock_map* map,
                                     const struct tc_clock_table* table, int64_t sec, int64_t nsec);

struct tc_shown tc_payload_scheduled(const struct tc_clock_map* map,
                                     const struct tc_clock_table* table, int64_t sec,
                                     int64_t nsec) {
  struct tc_shown shown = {sec, nsec};
  tc_apply_schedule(map, table, &shown.sec, &shown.nsec);
  return shown;
}
