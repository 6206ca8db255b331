/* SPDX-License-Identifier: Apache-2.0 */
/* A clock of the user's own (--fake): one call of the target's loader, as the agent asks for it and
 * as a thread of the target makes it (fake_x86_64.S, fake_work.c). It stands at the start of the
 * pages behind fake_x86_64.S's; the assembly goes by the offsets. */
#ifndef TIME_CHAOS_PAYLOAD_FAKE_CALL_H
#define TIME_CHAOS_PAYLOAD_FAKE_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "time_chaos/abi/clock_page.h"

enum tc_fake_state {
  TC_FAKE_ASKED = 0,   /* written; no thread has begun */
  TC_FAKE_BEGUN = 1,   /* a thread is at it */
  TC_FAKE_DONE = 2,    /* it waits a moment for the agent to send it home */
  TC_FAKE_LEAVING = 3, /* nobody came: it goes by itself */
};

enum tc_fake_work { TC_FAKE_LOAD = 0, TC_FAKE_UNLOAD = 1 };

/* How far a load came. */
enum tc_fake_step {
  TC_FAKE_NOTHING = 0,
  TC_FAKE_FILE = 1, /* `error`: of memfd_create or write */
  TC_FAKE_OPEN = 2, /* the loader refused: `text` */
  TC_FAKE_LOADED = 3,
};

enum {
  TC_FAKE_FUNCTIONS = 3,
  TC_FAKE_NAME_MAX = 64,
  TC_FAKE_TEXT_MAX = 256,
  TC_FAKE_PATH_MAX = 48
};

struct tc_fake_call {
  /* The thread: where its system call is made again, and the place behind it, for one that a signal
   * has interrupted; its signal mask. */
  uint64_t home;
  uint64_t interrupted;
  uint64_t mask;
  uint64_t pending;
  uint64_t saved[10]; /* rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11, rsp */
  uint32_t state;     /* enum tc_fake_state; of 32 bits so that one store is one */
  uint32_t work;      /* enum tc_fake_work */
  /* Functions of the target's C library. */
  uint64_t load;   /* dlopen */
  uint64_t unload; /* dlclose */
  uint64_t why;    /* dlerror; 0: there is none */
  uint64_t errno_location;
  uint64_t mode; /* of dlopen */
  /* The library: its bytes, and where in it the functions are; 0: it has no such function. */
  uint64_t image;
  uint64_t image_size;
  uint64_t functions[TC_FAKE_FUNCTIONS];
  uint64_t original; /* struct time_chaos_original, in the target */
  /* What came of it. */
  uint64_t handle;  /* of dlopen; 0: nothing is loaded */
  int64_t error;    /* a negative errno value; or what dlclose returned */
  uint32_t step;    /* enum tc_fake_step */
  uint32_t reader;  /* which function was asked for a first reading */
  int64_t host_sec; /* the machine's time, just before, and */
  int64_t host_nsec;
  int64_t shown_sec; /* what the library's first function made of it */
  int64_t shown_nsec;
  int64_t shown_result;
  char name[TC_FAKE_NAME_MAX]; /* as memfd_create takes it */
  char path[TC_FAKE_PATH_MAX]; /* "/proc/self/./fd/", and room for a number */
  char text[TC_FAKE_TEXT_MAX];
};

TC_STATIC_ASSERT(offsetof(struct tc_fake_call, home) == 0, "assembly");
TC_STATIC_ASSERT(offsetof(struct tc_fake_call, interrupted) == 8, "assembly");
TC_STATIC_ASSERT(offsetof(struct tc_fake_call, mask) == 16, "assembly");
TC_STATIC_ASSERT(offsetof(struct tc_fake_call, pending) == 24, "assembly");
TC_STATIC_ASSERT(offsetof(struct tc_fake_call, saved) == 32, "assembly");
TC_STATIC_ASSERT(offsetof(struct tc_fake_call, state) == 112, "assembly");
TC_STATIC_ASSERT(sizeof(struct tc_fake_call) <= TC_PAGE_SIZE, "one page");

#endif
