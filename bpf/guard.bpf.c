// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A target must not set the machine's clock: it would set it to the time that it is shown. Every
 * way of doing so (clock_settime, settimeofday, adjtimex, clock_adjtime, stime, a real-time clock's
 * ioctl) asks for CAP_SYS_TIME first; from a target's hands the kernel takes it as missing: EPERM.
 * An object of its own, which may fail to load. */
#include "maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define CAP_SYS_TIME 25 /* include/uapi/linux/capability.h */
#define EPERM 1

SEC("fmod_ret/security_settime64")
int BPF_PROG(tchaos_settime, const void* time, const void* zone, int result) {
  return !result && current_target() ? -EPERM : result;
}

/* Reads, adjtimex included, do not come here. */
SEC("fmod_ret/security_capable")
int BPF_PROG(tchaos_capable, const void* credentials, void* namespace, int capability,
             unsigned int options, int result) {
  if (capability != CAP_SYS_TIME || result) return result;
  return current_target() ? -EPERM : 0;
}
