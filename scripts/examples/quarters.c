/* SPDX-License-Identifier: Apache-2.0 */
/* A clock whose hands move every quarter of an hour: an example for `time-chaos agent --fake`.
 *
 *     cc -shared -fPIC -O2 -nostdlib -Iinclude scripts/examples/quarters.c -o libquarters.so */
#include <time_chaos/fake.h>

enum { QUARTER = 15 * 60 };

int fake_clock_gettime(clockid_t clock, struct timespec* into,
                       const struct time_chaos_original* original) {
  int result = original->clock_gettime(clock, into);
  if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
  into->tv_sec -= into->tv_sec % QUARTER;
  into->tv_nsec = 0;
  return 0;
}

int fake_gettimeofday(struct timeval* into, void* zone,
                      const struct time_chaos_original* original) {
  int result = original->gettimeofday(into, zone);
  if (result != 0 || !into) return result;
  into->tv_sec -= into->tv_sec % QUARTER;
  into->tv_usec = 0;
  return 0;
}

time_t fake_time(time_t* into, const struct time_chaos_original* original) {
  time_t now = original->time(NULL);
  now -= now % QUARTER;
  if (into) *into = now;
  return now;
}
