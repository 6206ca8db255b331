/* SPDX-License-Identifier: Apache-2.0 */
/* A clock of your own for another process: what the library of `time-chaos agent --fake LIBRARY`
 * defines.
 *
 * The agent loads it into the target, and calls of the vDSO's clock_gettime, gettimeofday and time,
 * which is how programs read the clock, become calls of these. A function that the library does not
 * define stays real; one at least there must be. When the target is recovered, the library is
 * unloaded.
 *
 * They are called in place of the vDSO's, at any moment, by every thread: in signal handlers, under
 * any lock, on small stacks. So they must
 *
 * - do only what is safe in a signal handler: no memory is allocated, no lock taken, nothing
 * printed;
 * - not read the clock but by `original`: clock_gettime() would call them again, for ever;
 * - return: no longjmp, no exceptions; and use little stack, a few hundred bytes;
 * - have no thread-local variables of their own (errno is to be left alone, too).
 *
 * `original` leads to the machine's own time, and is good for as long as the call lasts. Results
 * are those of the vDSO: 0 or a negative errno value, and time's is the time. `zone` and time's
 * `into` may be NULL, and so may gettimeofday's.
 *
 * Constructors and destructors of the library run in a thread of the target that waits for
 * something else meanwhile, with all signals blocked and on a stack of 256 KiB; they must not wait
 * for other threads. The library is best linked with no others, so that it fits a target with any C
 * library:
 *
 *     cc -shared -fPIC -O2 -nostdlib mine.c -o libmine.so */
#ifndef TIME_CHAOS_FAKE_H
#define TIME_CHAOS_FAKE_H

#include <sys/time.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TIME_CHAOS_FAKE __attribute__((visibility("default"), used))

struct time_chaos_original {
  int (*clock_gettime)(clockid_t clock, struct timespec* into);
  int (*gettimeofday)(struct timeval* into, void* zone);
  time_t (*time)(time_t* into);
};

TIME_CHAOS_FAKE int fake_clock_gettime(clockid_t clock, struct timespec* into,
                                       const struct time_chaos_original* original);
TIME_CHAOS_FAKE int fake_gettimeofday(struct timeval* into, void* zone,
                                      const struct time_chaos_original* original);
TIME_CHAOS_FAKE time_t fake_time(time_t* into, const struct time_chaos_original* original);

#ifdef __cplusplus
}
#endif
#endif
