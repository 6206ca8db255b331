// Forks when told to: prints its clocks all the time, and for every line "fork" or "exec" on its
// standard input starts a child that prints them too ("child PID rt ..."), of the same image or of
// a fresh one. Ends when its input ends.
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "printing.h"

static void start_child(const char* command, const char* self) {
  pid_t parent = getpid();
  if (fork() != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  if (strncmp(command, "exec", 4) == 0) {
    execl(self, self, "execed", (char*)NULL);
    _exit(127);
  }
  print_for_ever("child");
}

int main(int argc, char** argv) {
  if (argc > 1) print_for_ever(argv[1]);
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    if (poll(&input, 1, 20) > 0) {
      char command[16] = "";
      ssize_t n = read(STDIN_FILENO, command, sizeof command - 1);
      if (n <= 0) return 0;
      start_child(command, "/proc/self/exe");
    }
    print_reading("parent 0 ");
  }
}
