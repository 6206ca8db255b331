// rseqloop [REPORT]: restartable sequences, one after the other. The kernel aborts one that was
// interrupted; an agent that sends the thread elsewhere and back makes it go on instead, which is
// what a lock-free allocator would not survive. Uses the area that glibc 2.35+ registers.
#define _GNU_SOURCE
#include <sys/rseq.h>

#include "checker.h"

// include/uapi/linux/rseq.h
struct sequence {
  uint32_t version;
  uint32_t flags;
  uint64_t start;
  uint64_t length;
  uint64_t abort;
} __attribute__((aligned(32)));

enum { kAborted, kDone, kViolated };

// The kernel clears rseq_cs when it finds the thread outside the sequence: read inside it, as its
// last act, it can be 0 only if the thread was led out and back.
static int run_sequence(struct rseq* area) {
  static struct sequence descriptor;
  uint64_t seen = 1;
  int outcome;
  __asm__ volatile(
      "lea 1f(%%rip), %%rax\n"
      "mov %%rax, 8(%[descriptor])\n"
      "lea 2f(%%rip), %%rcx\n"
      "sub %%rax, %%rcx\n"
      "mov %%rcx, 16(%[descriptor])\n"
      "lea 4f(%%rip), %%rax\n"
      "mov %%rax, 24(%[descriptor])\n"
      "mov %[descriptor], %[armed]\n"
      "1:\n"
      "mov $3000, %%ecx\n"
      "5: loop 5b\n"
      "mov %[armed], %[seen]\n"
      "2:\n"
      "mov $1, %[outcome]\n"
      "jmp 3f\n"
      ".byte 0x0f, 0xb9, 0x3d\n"  // ud1 ...(%rip), so that the signature decodes as an instruction
      ".long 0x53053053\n"
      "4:\n"
      "mov $0, %[outcome]\n"
      "3:\n"
      : [outcome] "=&r"(outcome), [seen] "+&r"(seen), [armed] "+m"(area->rseq_cs)
      : [descriptor] "r"(&descriptor)
      : "rax", "rcx", "memory", "cc");
  area->rseq_cs = 0;
  if (outcome == kAborted) return kAborted;
  return seen == 0 ? kViolated : kDone;
}

int main(int argc, char** argv) {
  struct live_report* report = open_report(argc > 1 ? argv[1] : NULL);
  if (__rseq_size == 0) {
    write_all("unsupported\n", 12);
    return 0;
  }
  struct rseq* area = (struct rseq*)((char*)__builtin_thread_pointer() + __rseq_offset);
  report_ready(report);
  for (;;) {
    switch (run_sequence(area)) {
      case kAborted:
        __atomic_fetch_add(&report->aborted, 1, __ATOMIC_RELAXED);
        break;
      case kViolated:
        report_bad(report, LIVE_BAD_RSEQ);
        break;
      default:
        __atomic_fetch_add(&report->rounds, 1, __ATOMIC_RELAXED);
    }
  }
}
