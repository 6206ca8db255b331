// One call of each kind that preload/killat.c counts, all of them harmless, then "end": proves that
// the library kills at the step it is told to.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
  int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  siginfo_t info;
  char byte = 'x';
  struct iovec none = {&byte, 0};
  int ok = waitpid(-1, NULL, 0) == -1;
  ok &= waitid(P_ALL, 0, &info, WEXITED) == -1;
  ok &= pwrite(fd, &byte, 1, 0) == 1;
  ok &= process_vm_writev(getpid(), &none, 1, &none, 1, 0) == 0;
  ok &= ptrace(PTRACE_INTERRUPT, getpid(), NULL, NULL) == -1;
  puts(ok ? "end" : "wrong result");
  return 0;
}
