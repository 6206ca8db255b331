/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The result of one system call, at its exit, replaced by what the target's map shows. */
#ifndef TIME_CHAOS_BPF_SHIFT_H
#define TIME_CHAOS_BPF_SHIFT_H

#include "reading.h"

#define STA_NANO 0x2000 /* include/uapi/linux/timex.h */

enum call_kind {
  CALL_CLOCK_GETTIME = 1, /* struct __kernel_timespec */
  CALL_GETTIMEOFDAY,
  CALL_ADJTIMEX,
  CALL_CLOCK_ADJTIME,
  CALL_SYSINFO,
  CALL_CLOCK_GETTIME32, /* the same with 32-bit fields */
  CALL_GETTIMEOFDAY32,
  CALL_ADJTIMEX32,
  CALL_CLOCK_ADJTIME32,
  CALL_SYSINFO32,
};

struct pair64 {
  __s64 sec, fraction;
};

struct pair32 {
  __s32 sec, fraction;
};

/* Where a call left a reading, and of which kind. */
struct place {
  __u64 at;
  __u32 clock;
  __u32 unit;  /* nanoseconds of one step of the second field; 0: whole seconds alone */
  bool narrow; /* 32-bit fields */
};

static __always_inline bool read_place(const struct place* place, struct reading* real) {
  if (!place->unit && place->narrow) {
    __s32 sec;
    if (bpf_probe_read_user(&sec, sizeof sec, (void*)place->at)) return false;
    real->sec = sec;
  } else if (!place->unit) {
    if (bpf_probe_read_user(&real->sec, sizeof real->sec, (void*)place->at)) return false;
  } else if (place->narrow) {
    struct pair32 pair;
    if (bpf_probe_read_user(&pair, sizeof pair, (void*)place->at)) return false;
    real->sec = pair.sec;
    real->nsec = (__s64)pair.fraction * place->unit;
  } else {
    struct pair64 pair;
    if (bpf_probe_read_user(&pair, sizeof pair, (void*)place->at)) return false;
    real->sec = pair.sec;
    real->nsec = pair.fraction * place->unit;
  }
  return true;
}

/* 32 bits end in 2038: a clock stands still there, instead of being in 1901. */
static __always_inline bool write_place(const struct place* place, const struct reading* shown) {
  void* to = (void*)place->at;
  __u64 fraction = place->unit == 1000 ? (__u64)shown->nsec / 1000 : (__u64)shown->nsec;
  struct pair64 wide = {shown->sec, fraction};
  __s64 last = 0x7fffffff;
  struct pair32 narrow = {shown->sec < last ? shown->sec : last, fraction};
  if (!place->unit && place->narrow) return !bpf_probe_write_user(to, &narrow, sizeof narrow.sec);
  if (!place->unit) return !bpf_probe_write_user(to, &wide, sizeof wide.sec);
  if (place->narrow) return !bpf_probe_write_user(to, &narrow, sizeof narrow);
  return !bpf_probe_write_user(to, &wide, sizeof wide);
}

/* The uptime is CLOCK_BOOTTIME's seconds, rounded up (do_sysinfo, kernel/sys.c). Its fraction is
 * gone, and is asked for again. In a time namespace the clock is another: then the seconds must do.
 */
static __always_inline void add_fraction(struct reading* uptime) {
  __u64 now = bpf_ktime_get_boot_ns();
  struct reading boot = {now / TC_NSEC_PER_SEC, now % TC_NSEC_PER_SEC};
  __s64 rounded = boot.sec + (boot.nsec != 0);
  if (rounded == uptime->sec || rounded == uptime->sec + 1) *uptime = boot;
}

static __always_inline void shift(const struct tc_bpf_target* target, const struct place* place) {
  struct reading real = {0, 0}, shown;
  if (!read_place(place, &real)) return count(target, place->clock, false);
  /* Another thread has written over it. */
  if (real.nsec < 0 || real.nsec >= TC_NSEC_PER_SEC) return;
  __s64 whole = real.sec;
  if (!place->unit) add_fraction(&real);
  if (!map_reading(target, place->clock, &real, &shown, 2)) return;
  if (shown.sec == real.sec && shown.nsec == real.nsec) return;
  if (!place->unit) {
    shown.sec += shown.nsec != 0;
    if (shown.sec == whole) return;
  }
  count(target, place->clock, write_place(place, &shown));
}

/* Where status and time stand in struct __kernel_timex and in struct old_timex32
 * (include/uapi/linux/timex.h, include/linux/time32.h). */
static __always_inline bool locate_timex(__u64 at, struct place* place) {
  __s32 status;
  if (bpf_probe_read_user(&status, sizeof status, (void*)(at + (place->narrow ? 20 : 40)))) {
    return false;
  }
  place->unit = status & STA_NANO ? 1 : 1000;
  place->at = at + (place->narrow ? 36 : 72);
  return true;
}

/* clock_adjtime serves CLOCK_REALTIME and the clocks of devices, which have negative ids. clockid_t
 * is an int: the kernel ignores the register's upper half. */
static __always_inline bool locate(__u32 kind, __u64 first, __u64 second, struct place* place) {
  place->clock = CLOCK_REALTIME;
  place->narrow = kind >= CALL_CLOCK_GETTIME32;
  switch (kind) {
    case CALL_CLOCK_GETTIME:
    case CALL_CLOCK_GETTIME32:
      place->clock = (__u32)first;
      place->at = second;
      place->unit = 1;
      return place->clock < TC_CLOCK_COUNT;
    case CALL_GETTIMEOFDAY:
    case CALL_GETTIMEOFDAY32:
      place->at = first;
      place->unit = 1000;
      return first != 0;
    case CALL_ADJTIMEX:
    case CALL_ADJTIMEX32:
      return locate_timex(first, place);
    case CALL_CLOCK_ADJTIME:
    case CALL_CLOCK_ADJTIME32:
      return (__u32)first == CLOCK_REALTIME && locate_timex(second, place);
    case CALL_SYSINFO: /* it is the first field of struct sysinfo */
    case CALL_SYSINFO32:
      place->clock = CLOCK_BOOTTIME;
      place->at = first;
      place->unit = 0;
      return true;
  }
  return false;
}

/* Only the calls that adjust the clock return something else than 0 when they succeed. */
static __always_inline bool succeeded(__u32 kind, long result) {
  bool adjusts = kind == CALL_ADJTIMEX || kind == CALL_ADJTIMEX32 || kind == CALL_CLOCK_ADJTIME ||
                 kind == CALL_CLOCK_ADJTIME32;
  return result == 0 || (result > 0 && adjusts);
}

/* `regs`: the registers with which the program entered the kernel, of a type that the verifier
 * knows. */
static __always_inline void shift_call(const struct tc_bpf_target* target, __u32 kind, bool ia32,
                                       struct pt_regs* regs) {
  __u64 ip = regs->ip;
  if (ip >= target->vdso_start && ip < target->vdso_end) return;
  __u64 first = ia32 ? (__u32)regs->bx : regs->di;
  __u64 second = ia32 ? (__u32)regs->cx : regs->si;
  struct place place;
  if (locate(kind, first, second, &place)) shift(target, &place);
}

#endif
