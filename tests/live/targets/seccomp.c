// seccomp kill|errno|allow [NAME]: prints its clocks behind a filter that kills the process at mmap
// and its kin, or fails them with EPERM, or allows everything (but is there). Takes NAME behind it.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>

#include "reading.h"

static unsigned action_of(const char* name) {
  if (strcmp(name, "kill") == 0) return SECCOMP_RET_KILL_PROCESS;
  if (strcmp(name, "errno") == 0) return SECCOMP_RET_ERRNO | EPERM;
  return SECCOMP_RET_ALLOW;
}

int main(int argc, char** argv) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, action_of(argc > 1 ? argv[1] : "kill")),
  };
  struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
  print_reading("");  // everything that libc does once is done before the filter
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 2;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return 2;
  if (argc > 2) prctl(PR_SET_NAME, argv[2]);
  for (;;) {
    print_reading("");
    sleep_ms(20);
  }
}
