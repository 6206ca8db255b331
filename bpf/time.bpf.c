// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* time(2) answers in a register. A program can change that only where the kernel lets it stand in
 * for the whole call; so this is an object of its own, which may fail to load. The entry for 32-bit
 * programs, __ia32_sys_time32, is nowhere among the calls for which kernels do.
 *
 * The call's own clock is CLOCK_REALTIME_COARSE, of which it returns the seconds. No helper reads
 * that one; it stands in the data that the kernel shares with the vDSO, which is where the detour's
 * time() has it from as well. */
#include "maps.h"
#include "reading.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct vdso_timestamp {
  __u64 sec, nsec;
};
struct vdso_clock {
  __u32 seq;
  struct vdso_timestamp basetime[12];
};
struct vdso_time_data {
  struct vdso_clock clock_data[2];
};
#pragma clang attribute pop

/* Of the kernel's variable of that name, found by tchaos_find; 0: it has none. */
__u64 time_data = 0;
static const char kTimeData[] = "vdso_k_time_data";

SEC("syscall")
int tchaos_find(void* ctx) {
  __u64 address = 0;
  if (bpf_kallsyms_lookup_name(kTimeData, sizeof kTimeData, 0, &address) != 0) return 1;
  time_data = address;
  return 0;
}

struct attempt {
  char* clock;
  struct reading now;
  bool whole;
};

/* The reading, unless it is being changed meanwhile: then the sequence is odd, or becomes another.
 */
static long read_once(__u32 index, struct attempt* attempt) {
  __u32 before = 0, after = 0;
  char* sequence = attempt->clock + bpf_core_field_offset(struct vdso_clock, seq);
  char* stamp = attempt->clock + bpf_core_field_offset(struct vdso_clock, basetime) +
                CLOCK_REALTIME_COARSE * bpf_core_type_size(struct vdso_timestamp);
  if (bpf_probe_read_kernel(&before, sizeof before, sequence)) return 1;
  barrier();
  bpf_probe_read_kernel(&attempt->now.sec, sizeof attempt->now.sec,
                        stamp + bpf_core_field_offset(struct vdso_timestamp, sec));
  bpf_probe_read_kernel(&attempt->now.nsec, sizeof attempt->now.nsec,
                        stamp + bpf_core_field_offset(struct vdso_timestamp, nsec));
  barrier();
  if (bpf_probe_read_kernel(&after, sizeof after, sequence)) return 1;
  attempt->whole = before == after && !(before & 1);
  return attempt->whole;
}

/* Who changes it needs less than a microsecond, but a guest's processor may lose its own in the
 * middle of that. The vDSO waits without end. */
#define MOST_ATTEMPTS 65536

static __always_inline bool read_coarse(struct reading* now) {
  char* data = 0;
  if (!time_data || bpf_probe_read_kernel(&data, sizeof data, (void*)time_data) || !data) {
    return false;
  }
  struct attempt attempt = {.clock =
                                data + bpf_core_field_offset(struct vdso_time_data, clock_data)};
  bpf_loop(MOST_ATTEMPTS, read_once, &attempt, 0);
  *now = attempt.now;
  return attempt.whole;
}

/* What the call returns instead; 0: it is made as it is. After the last program it is left real. */
static __always_inline long shifted_time(struct pt_regs* regs, bool last) {
  struct tc_bpf_target* target = current_target();
  if (!target) return 0;
  __u64 ip = regs->ip;
  if (ip >= target->vdso_start && ip < target->vdso_end) return 0;
  struct reading real, shown;
  if (!read_coarse(&real)) {
    if (last) count(target, CLOCK_REALTIME, false);
    return 0;
  }
  if (!map_reading(target, CLOCK_REALTIME, &real, &shown, 1) || shown.sec == real.sec) return 0;
  void* to = (void*)regs->di;
  bool written = !to || !bpf_probe_write_user(to, &shown.sec, sizeof shown.sec);
  if (written || last) count(target, CLOCK_REALTIME, written);
  return written ? shown.sec : 0;
}

/* The kernel skips a program while another task was preempted inside the same one on that processor
 * (recursion_misses). Then the next of these takes the call. After one that stands in for the call
 * the others do not run; after one whose map has just changed the next makes another attempt. Where
 * one alone lost 6 calls in 100 (48 threads, preempt=full), six lost some in one run of four,
 * twelve none in any. */
#define STAND_IN(name, last)                              \
  SEC("fmod_ret/__x64_sys_time")                          \
  int BPF_PROG(name, struct pt_regs* regs, long result) { \
    return shifted_time(regs, last);                      \
  }

STAND_IN(tchaos_time, false)
STAND_IN(tchaos_time_2, false)
STAND_IN(tchaos_time_3, false)
STAND_IN(tchaos_time_4, false)
STAND_IN(tchaos_time_5, false)
STAND_IN(tchaos_time_6, false)
STAND_IN(tchaos_time_7, false)
STAND_IN(tchaos_time_8, false)
STAND_IN(tchaos_time_9, false)
STAND_IN(tchaos_time_10, false)
STAND_IN(tchaos_time_11, false)
STAND_IN(tchaos_time_12, true)
