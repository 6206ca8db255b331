/* A clock for tests: ten days ahead, or what -DAHEAD says, without the functions that are left out.
 */
#include <time_chaos/fake.h>

#ifndef AHEAD
#define AHEAD 864000
#endif

#ifdef WITH_TLS
__thread int counted;
#endif
#ifdef WITH_CONSTRUCTOR
void* malloc(__SIZE_TYPE__);
void free(void*);
static void* volatile block;
__attribute__((constructor)) static void begin(void) {
  block = malloc(10000);
}
__attribute__((destructor)) static void end(void) {
  free(block);
}
#endif
#ifdef WITH_WAITS /* an agent that is killed is killed in the middle */
int poll(void*, unsigned long, int);
__attribute__((constructor)) static void wait_first(void) {
  poll(0, 0, 40);
}
__attribute__((destructor)) static void wait_last(void) {
  poll(0, 0, 40);
}
#endif

#ifndef NO_CLOCK_GETTIME
int fake_clock_gettime(clockid_t clock, struct timespec* into,
                       const struct time_chaos_original* original) {
  int result = original->clock_gettime(clock, into);
#ifdef WITH_TLS
  counted++;
#endif
  if (result == 0) into->tv_sec += AHEAD;
  return result;
}
#endif

#ifndef NO_OTHERS
int fake_gettimeofday(struct timeval* into, void* zone,
                      const struct time_chaos_original* original) {
  int result = original->gettimeofday(into, zone);
  if (result == 0 && into) into->tv_sec += AHEAD;
  return result;
}

time_t fake_time(time_t* into, const struct time_chaos_original* original) {
  time_t now = original->time(0) + AHEAD;
  if (into) *into = now;
  return now;
}
#endif
