/* SPDX-License-Identifier: Apache-2.0 */
/* time-chaos, the library: a program gives itself another clock.
 *
 * It replaces its own vDSO functions (clock_gettime, gettimeofday, time, clock_getres), through
 * which all code of the process reads the clock: no ptrace, no privileges, no LD_PRELOAD, and
 * nothing has to be linked in any special way. Link with -ltime_chaos (pkg-config time-chaos, or
 * CMake: find_package(time-chaos), time_chaos::time_chaos). The types are those of POSIX: with
 * -std=c99 or c11, not gnu99 or gnu11, define _POSIX_C_SOURCE as 200809L.
 *
 * What is in force is a stack of layers, which can be put on and taken off in any order: clock maps
 * (tc_install_map) and functions of your own (tc_install). For each clock, and each function, the
 * topmost layer that covers it decides.
 *
 * Threads: all functions here may be called by any thread at any time, while other threads read the
 * clock as fast as they can; a reading is the old one or the new one. Changes are made one after
 * the other. The functions here, but for those of tc_originals(), must not be called from signal
 * handlers; reading the clock in one is fine. After fork the child has a stack of its own, the same
 * at first.
 *
 * Not reached are system calls that go round the vDSO, and deadlines: a thread that sleeps until a
 * date sleeps in the kernel's time. (The program time-chaos reaches both.) */
#ifndef TIME_CHAOS_TIME_CHAOS_H
#define TIME_CHAOS_TIME_CHAOS_H

#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TC_API __attribute__((visibility("default")))

/* 0 and above: done. Below: refused, and nothing has changed, but where it says otherwise. */
typedef enum tc_status {
  TC_OK = 0,
  /* The layer is gone; monotonic clocks that were ahead stay ahead, for they never step back. */
  TC_KEPT = 1,
  TC_ERROR_INVALID = -1,     /* an argument makes no sense; or a monotonic clock would step back */
  TC_ERROR_NO_LAYER = -2,    /* no such layer: restored already? */
  TC_ERROR_UNSUPPORTED = -3, /* not with this machine's vDSO, or it has none */
  TC_ERROR_PERMISSION = -4,  /* the vDSO is sealed, or the system forbids writing to code */
  TC_ERROR_BUSY = -5,        /* called from inside a callback; or, at restore, a callback has not
                                returned for 10 s: the layer is gone, but its code is in use */
  TC_ERROR_FAILED = -6,      /* anything else: tc_message() says what */
} tc_status;

/* Why the last call of this thread failed: one line. "" if it did not. */
TC_API const char* tc_message(void);

/* Names a layer, for as long as it is installed. Never 0, never used twice. */
typedef uint64_t tc_layer;

/* The machine's own clock: what the vDSO answers without us. Like the vDSO, they return 0 or a
 * negative errno value, and leave errno alone. They may be called from anywhere. */
struct tc_original {
  int (*clock_gettime)(clockid_t clock, struct timespec* into);
  int (*gettimeofday)(struct timeval* into, void* zone);
  time_t (*time)(time_t* into);
  int (*clock_getres)(clockid_t clock, struct timespec* into);
};
/* Never NULL. */
TC_API const struct tc_original* tc_originals(void);

/* ------------------------------------------------------------------------------------------------
 * Functions of your own. A NULL leaves that function alone; at least one must be given.
 *
 * They are called in place of the vDSO's, by every thread, also in signal handlers: what is not
 * safe there is not safe in them. Results are those of struct tc_original. Whatever a callback, or
 * a signal handler that interrupts it, reads from the clock is the machine's own, so it never calls
 * itself. It must return: no longjmp, no exceptions. */
struct tc_functions {
  int (*clock_gettime)(clockid_t clock, struct timespec* into, const struct tc_original* original,
                       void* data);
  int (*gettimeofday)(struct timeval* into, void* zone, const struct tc_original* original,
                      void* data);
  time_t (*time)(time_t* into, const struct tc_original* original, void* data);
  int (*clock_getres)(clockid_t clock, struct timespec* into, const struct tc_original* original,
                      void* data);
};

/* Puts a layer on top. `functions` is copied; `data` is handed to every call. */
TC_API tc_status tc_install(const struct tc_functions* functions, void* data, tc_layer* layer);

/* ------------------------------------------------------------------------------------------------
 * Clock maps. */

#define TC_CLOCK_BIT(id) (UINT32_C(1) << (id))
/* The wall clock: REALTIME, REALTIME_COARSE, REALTIME_ALARM, TAI, gettimeofday and time. */
#define TC_WALL_CLOCKS UINT32_C(0x921)
/* MONOTONIC, its RAW and COARSE kin, BOOTTIME and BOOTTIME_ALARM. */
#define TC_MONOTONIC_CLOCKS UINT32_C(0x2d2)

typedef enum tc_start {
  TC_FROM_NOW = 0,  /* from what the clock shows */
  TC_BY_OFFSET = 1, /* `value` from the machine's time; negative: tv_sec < 0, tv_nsec >= 0 */
  TC_AT = 2,        /* at the date `value`, since 1970; wall clocks only */
} tc_start;

#define TC_ALLOW_MONOTONIC_STEP UINT32_C(1) /* monotonic clocks may step back, at restore too */

struct tc_clock {
  uint32_t clocks; /* TC_CLOCK_BIT()s; 0: TC_WALL_CLOCKS. The other clocks are not covered */
  uint32_t start;  /* enum tc_start */
  struct timespec value;
  double rate; /* how fast it runs from there: 1 as real time does, 0 not at all */
  uint32_t flags;
  uint32_t reserved; /* 0 */
};
/* As the machine's clocks are: fill in what shall be different. */
#define TC_CLOCK_INIT \
  { 0, TC_FROM_NOW, {0, 0}, 1.0, 0, 0 }

/* Puts a layer on top. */
TC_API tc_status tc_install_map(const struct tc_clock* clock, tc_layer* layer);
/* Another map for a layer that is installed: all functions and threads see it from one instant on.
 */
TC_API tc_status tc_change(tc_layer layer, const struct tc_clock* clock);

/* ------------------------------------------------------------------------------------------------
 * Undo. */

/* Takes a layer off, wherever in the stack it is. Afterwards no thread is in a callback of it, so
 * that its code and data may go. With the last layer the vDSO's own bytes return. What stays
 * mapped, unused until the next install, are three pages "[anon:time-chaos]" (by name only where
 * the kernel has CONFIG_ANON_VMA_NAME) and at most one landing page for each function: a thread may
 * be just about to leave them. */
TC_API tc_status tc_restore(tc_layer layer);
TC_API tc_status tc_restore_all(void);

#ifdef __cplusplus
}
#endif
#endif
