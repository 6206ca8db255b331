/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread of the target does for --fake, on a stack of ours: it loads the library, out of a
 * file that exists in memory only, or unloads it. Compiled to assembly, which fake_x86_64.S
 * includes; so it has no data, and calls only what the agent found in the target's C library. errno
 * is as before. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "agent/payload/fake_call.h"

void tc_fake_work(struct tc_fake_call* call);
void tc_fake_wait(const struct tc_fake_call* call);
/* Its result, or a negative errno value. */
int64_t tc_fake_system_call(int64_t number, uint64_t a, uint64_t b, uint64_t c);

enum { MOMENT = 200000000 };
enum { NOEXEC_SEAL = 8 }; /* MFD_NOEXEC_SEAL of linux/memfd.h, since 6.3 */

struct times {
  int64_t sec;
  int64_t part;
};
/* As in time_chaos/fake.h. */
struct original {
  int (*clock_gettime)(int, struct times*);
  int (*gettimeofday)(struct times*, void*);
  int64_t (*time)(int64_t*);
};

/* The file, or a negative errno value. */
static int64_t make_file(struct tc_fake_call* call) {
  const uint64_t name = (uint64_t)call->name;
  int64_t file = tc_fake_system_call(SYS_memfd_create, name, MFD_CLOEXEC | NOEXEC_SEAL, 0);
  if (file == -EINVAL)
    file = tc_fake_system_call(SYS_memfd_create, name, MFD_CLOEXEC, 0); /* before 6.3 */
  if (file < 0) return file;
  uint64_t done = 0;
  while (done < call->image_size) {
    const int64_t wrote =
        tc_fake_system_call(SYS_write, (uint64_t)file, call->image + done, call->image_size - done);
    if (wrote == -EINTR) continue;
    if (wrote <= 0) {
      (void)tc_fake_system_call(SYS_close, (uint64_t)file, 0, 0);
      return wrote < 0 ? wrote : -EIO;
    }
    done += (uint64_t)wrote;
  }
  return file;
}

static void append_number(char* path, uint64_t number) {
  char digits[20];
  int count = 0;
  do {
    digits[count++] = (char)('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (*path != '\0') path++;
  while (count > 0) *path++ = digits[--count];
  *path = '\0';
}

static void keep_text(struct tc_fake_call* call) {
  if (call->why == 0) return;
  const char* text = ((const char* (*)(void))call->why)();
  if (text == NULL) return;
  int i = 0;
  for (; i < TC_FAKE_TEXT_MAX - 1 && text[i] != '\0'; i++) call->text[i] = text[i];
  call->text[i] = '\0';
}

/* Once, so that the agent can say what the target sees. */
static void read_once(struct tc_fake_call* call, uint64_t base) {
  const struct original* original = (const struct original*)call->original;
  struct times host = {0, 0};
  struct times shown = {0, 0};
  (void)original->clock_gettime(0, &host);
  if (call->functions[0] != 0) {
    call->shown_result =
        ((int (*)(int, struct times*, const struct original*))(base + call->functions[0]))(
            0, &shown, original);
  } else if (call->functions[1] != 0) {
    call->reader = 1;
    call->shown_result =
        ((int (*)(struct times*, void*, const struct original*))(base + call->functions[1]))(
            &shown, NULL, original);
    shown.part *= 1000;
  } else {
    call->reader = 2;
    shown.sec =
        ((int64_t(*)(int64_t*, const struct original*))(base + call->functions[2]))(NULL, original);
  }
  call->host_sec = host.sec;
  call->host_nsec = host.part;
  call->shown_sec = shown.sec;
  call->shown_nsec = shown.part;
}

static void load(struct tc_fake_call* call) {
  const int64_t file = make_file(call);
  call->step = TC_FAKE_FILE;
  if (file < 0) {
    call->error = file;
    return;
  }
  (void)tc_fake_system_call(SYS_madvise, call->image, (call->image_size + 4095) & ~(uint64_t)4095,
                            MADV_DONTNEED);
  append_number(call->path, (uint64_t)file);
  call->step = TC_FAKE_OPEN;
  void* handle = ((void* (*)(const char*, int))call->load)(call->path, (int)call->mode);
  (void)tc_fake_system_call(SYS_close, (uint64_t)file, 0, 0);
  if (handle == NULL) {
    keep_text(call);
    return;
  }
  call->handle = (uint64_t)handle;
  call->step = TC_FAKE_LOADED;
  /* A struct link_map, which begins with what is added to the library's own addresses. */
  read_once(call, *(const uint64_t*)handle);
}

void tc_fake_work(struct tc_fake_call* call) {
  int* (*const errno_location)(void) = (int* (*)(void))call->errno_location;
  const int before = *errno_location();
  if (call->work == TC_FAKE_LOAD) {
    load(call);
  } else {
    call->error = ((int (*)(void*))call->unload)((void*)call->handle);
    if (call->error == 0) call->handle = 0;
  }
  *errno_location() = before;
}

/* For the agent to come. Where it was killed nobody does, and it must not take long on a busy
 * machine either. */
void tc_fake_wait(const struct tc_fake_call* call) {
  const struct original* original = (const struct original*)call->original;
  struct times begin = {0, 0};
  struct times now = {0, 0};
  if (original->clock_gettime(CLOCK_MONOTONIC_COARSE, &begin) != 0) return;
  do {
    (void)tc_fake_system_call(SYS_sched_yield, 0, 0, 0);
    (void)original->clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  } while ((now.sec - begin.sec) * 1000000000 + now.part - begin.part < MOMENT);
}
