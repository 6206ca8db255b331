// heirs: prints its clocks ("parent 0 rt ..."). At the first line of input it starts two children,
// one of its own image ("child PID rt ...") and one of a fresh one ("execed PID rt ..."); at the
// second it ends, and they live on, printing, until nobody reads them any more.
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "printing.h"

static void start_children(void) {
  if (fork() == 0) print_for_ever("child");
  if (fork() == 0) {
    execl("/proc/self/exe", "heirs", "execed", (char*)NULL);
    _exit(127);
  }
}

int main(int argc, char** argv) {
  if (argc > 1) print_for_ever(argv[1]);
  signal(SIGCHLD, SIG_IGN);
  for (int lines = 0;;) {
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    if (poll(&input, 1, 20) > 0) {
      char line[16] = "";
      if (read(STDIN_FILENO, line, sizeof line - 1) <= 0 || ++lines == 2) return 0;
      start_children();
    }
    print_reading("parent 0 ");
  }
}
