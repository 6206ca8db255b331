/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The caller's own memory, from where the kernel is about to read an instant: it holds another one
 * until the kernel has read it, some microseconds later, and is then put back.
 *
 * Threads may share such a place. The first one there writes; the others, who find what it wrote,
 * only say that they need it as well; and the last one puts it back. What two threads do about a
 * place they do one after the other: a lock, which a program holds that cannot be preempted. */
#ifndef TIME_CHAOS_BPF_WAIT_MEMORY_H
#define TIME_CHAOS_BPF_WAIT_MEMORY_H

#include "maps.h"

#define WAITS_AT_ONCE 4096 /* between the beginning of a call and what follows its reading */
#define LOCK_ATTEMPTS 5000 /* some hundred microseconds */
#define LOCK_ROUNDS 100    /* of so many attempts */

struct wait_place {
  __u64 memory; /* the address space */
  __u64 at;
};

struct wait_bytes {
  __u64 word[2]; /* the second one is 0 where eight bytes are all */
};

struct wait_held {
  struct wait_bytes callers, ours;
  __u64 users; /* threads */
};

/* What a thread has to put back. */
struct wait_debt {
  struct wait_place place;
  __u32 size;
  __u32 reserved;
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

/* A program of its own for the verifier, which would follow each attempt to the end of its caller.
 * 5.10 takes numbers only. */
__attribute__((noinline)) int tchaos_lock(__u64 memory, __u64 at) {
  struct wait_place place = {memory, at};
  __u32 taken = 1;
#pragma nounroll
  for (int i = 0; i < LOCK_ATTEMPTS; i++) {
    if (bpf_map_update_elem(&tchaos_wlocks, &place, &taken, BPF_NOEXIST) == 0) return 1;
  }
  return 0;
}

static __always_inline bool lock_place(const struct wait_place* place) {
  /* Who holds it is not preempted, but a virtual processor may be. */
#pragma nounroll
  for (int i = 0; i < LOCK_ROUNDS; i++) {
    if (tchaos_lock(place->memory, place->at)) return true;
  }
  return false;
}

static __always_inline void unlock_place(const struct wait_place* place) {
  bpf_map_delete_elem(&tchaos_wlocks, place);
}

static __always_inline bool read_bytes(__u64 at, __u32 size, struct wait_bytes* bytes) {
  bytes->word[1] = 0;
  return size == 8 ? !bpf_probe_read_user(bytes, 8, (void*)at)
                   : !bpf_probe_read_user(bytes, 16, (void*)at);
}

static __always_inline bool write_bytes(__u64 at, __u32 size, const struct wait_bytes* bytes) {
  return size == 8 ? !bpf_probe_write_user((void*)at, bytes, 8)
                   : !bpf_probe_write_user((void*)at, bytes, 16);
}

static __always_inline bool same_bytes(const struct wait_bytes* a, const struct wait_bytes* b) {
  return a->word[0] == b->word[0] && a->word[1] == b->word[1];
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
  if (read_bytes(place->at, size, &now) && same_bytes(&now, &held->ours)) {
    write_bytes(place->at, size, &held->callers);
  }
  bpf_map_delete_elem(&tchaos_wheld, place);
}

/* Of the thread that runs: the kernel has read what it wanted. */
static __always_inline void put_back(void) {
  __u32 thread = bpf_get_current_pid_tgid();
  struct wait_debt* debt = bpf_map_lookup_elem(&tchaos_wdebts, &thread);
  if (!debt) return;
  if (!lock_place(&debt->place)) return; /* its next call, or its end, pays */
  leave_place(&debt->place, debt->size);
  unlock_place(&debt->place);
  bpf_map_delete_elem(&tchaos_wdebts, &thread);
}

/* Under the lock. From here on the kernel finds `fresh->ours` at that place; `found` is what is
 * there now. False: it does not. */
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
    leave_place(&debt->place, debt->size);
  }
  bpf_map_delete_elem(&tchaos_wdebts, &thread);
  return false;
}

#endif
