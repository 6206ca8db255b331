/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The caller's own memory, from where the kernel is about to read for how long to wait: it holds
 * something else until the kernel has read it, some microseconds later, and is then put back.
 *
 * Threads may share such a place. The first one there writes; the others, who find what it wrote,
 * only say that they need it as well; and the last one puts it back. What two threads do about a
 * place they do one after the other: a lock, which a program holds that cannot be preempted. */
#ifndef TIME_CHAOS_BPF_WAIT_MEMORY_H
#define TIME_CHAOS_BPF_WAIT_MEMORY_H

#include "maps.h"

#define WAITS_AT_ONCE 4096 /* between the beginning of a call and what follows its reading */
/* Who holds the lock is not preempted, but a virtual processor may be: a million attempts take
 * hundreds of milliseconds. The verifier counts each of four loops, within each other, once. */
#define LOCK_ROUNDS 32

struct wait_place {
  __u64 memory; /* the address space */
  __u64 at;
};

/* Of 8, 16 or 32 bytes; what lies behind is 0. */
struct wait_bytes {
  __u64 word[4];
};

struct wait_held {
  struct wait_bytes callers, ours;
  __u64 users; /* threads */
};

/* What a thread has to put back. */
struct wait_debt {
  struct wait_place place;
  __u64 function; /* of the kernel's, that was about to read it */
  __u32 size;
  __u32 timer;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WAITS_AT_ONCE);
  __type(key, struct wait_place);
  __type(value, __u32);
} tchaos_wlocks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WAITS_AT_ONCE);
  __type(key, struct wait_place);
  __type(value, struct wait_held);
} tchaos_wheld SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WAITS_AT_ONCE);
  __type(key, __u32); /* of the thread, as the kernel numbers them */
  __type(value, struct wait_debt);
} tchaos_wdebts SEC(".maps");

/* Programs of their own for the verifier, which would follow each attempt to the end of its caller.
 * 5.10 takes numbers only. */
__attribute__((noinline)) int tchaos_lock(__u64 memory, __u64 at) {
  struct wait_place place = {memory, at};
  __u32 taken = 1;
#pragma nounroll
  for (int i = 0; i < LOCK_ROUNDS; i++) {
    if (bpf_map_update_elem(&tchaos_wlocks, &place, &taken, BPF_NOEXIST) == 0) return 1;
  }
  return 0;
}

#define LOCK_BY(name, attempt)                                  \
  __attribute__((noinline)) int name(__u64 memory, __u64 at) {  \
    _Pragma("nounroll") for (int i = 0; i < LOCK_ROUNDS; i++) { \
      if (attempt(memory, at)) return 1;                        \
    }                                                           \
    return 0;                                                   \
  }

LOCK_BY(tchaos_lock_2, tchaos_lock)
LOCK_BY(tchaos_lock_3, tchaos_lock_2)
LOCK_BY(tchaos_lock_4, tchaos_lock_3)

static __always_inline bool lock_place(const struct wait_place* place) {
  return tchaos_lock_4(place->memory, place->at);
}

static __always_inline void unlock_place(const struct wait_place* place) {
  bpf_map_delete_elem(&tchaos_wlocks, place);
}

static __always_inline bool read_bytes(__u64 at, __u32 size, struct wait_bytes* bytes) {
  bytes->word[1] = bytes->word[2] = bytes->word[3] = 0;
  if (size == 8) return !bpf_probe_read_user(bytes, 8, (void*)at);
  if (size == 16) return !bpf_probe_read_user(bytes, 16, (void*)at);
  return !bpf_probe_read_user(bytes, 32, (void*)at);
}

static __always_inline bool write_bytes(__u64 at, __u32 size, const struct wait_bytes* bytes) {
  if (size == 8) return !bpf_probe_write_user((void*)at, bytes, 8);
  if (size == 16) return !bpf_probe_write_user((void*)at, bytes, 16);
  return !bpf_probe_write_user((void*)at, bytes, 32);
}

static __always_inline bool same_bytes(const struct wait_bytes* a, const struct wait_bytes* b) {
  return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] &&
         a->word[3] == b->word[3];
}

/* Under the lock. Memory that holds something else meanwhile is the program's own affair. */
static __always_inline void leave_place(const struct wait_place* place, __u32 size) {
  struct wait_held* held = bpf_map_lookup_elem(&tchaos_wheld, place);
  if (!held) return;
  if (held->users > 1) {
    held->users--;
    return;
  }
  struct wait_bytes now;
  bool changed = read_bytes(place->at, size, &now) && same_bytes(&now, &held->ours);
  if (changed && !write_bytes(place->at, size, &held->callers)) {
    held->users = 0; /* a thread that ends may not write: whoever comes there next puts it back */
    return;
  }
  bpf_map_delete_elem(&tchaos_wheld, place);
}

static __always_inline struct wait_debt* debt_of_thread(void) {
  __u32 thread = bpf_get_current_pid_tgid();
  return bpf_map_lookup_elem(&tchaos_wdebts, &thread);
}

/* Of the thread that runs: the kernel has read what it wanted. */
static __always_inline void put_back(const struct wait_debt* debt) {
  __u32 thread = bpf_get_current_pid_tgid();
  if (!lock_place(&debt->place)) return; /* its next call pays */
  leave_place(&debt->place, debt->size);
  unlock_place(&debt->place);
  bpf_map_delete_elem(&tchaos_wdebts, &thread);
}

/* Under the lock. From here on the kernel finds `fresh->ours` at that place, or what `held` says
 * that is `there` now. False: it does not. */
static __always_inline bool take_place(const struct wait_debt* debt, struct wait_held* held,
                                       bool there, struct wait_held* fresh) {
  __u32 thread = bpf_get_current_pid_tgid();
  if (bpf_map_update_elem(&tchaos_wdebts, &thread, debt, BPF_ANY)) return false;
  if (held && there) {
    held->users++;
    return true;
  }
  fresh->users = held ? held->users + 1 : 1;
  if (bpf_map_update_elem(&tchaos_wheld, &debt->place, fresh, BPF_ANY) == 0) {
    if (write_bytes(debt->place.at, debt->size, &fresh->ours)) return true;
    /* It may lie on two pages, of which the first one could be written. */
    write_bytes(debt->place.at, debt->size, &fresh->callers);
    leave_place(&debt->place, debt->size);
  }
  bpf_map_delete_elem(&tchaos_wdebts, &thread);
  return false;
}

#endif
