// restarter SERVICE: for every line of input it ends the service, if there is one, and starts it
// anew: this program under the name SERVICE (a link to it), which prints its clocks ("life PID rt
// ..."). Ends, and the service with it, when its input ends.
//
// SERVICE life again: the same without a restarter; for every line of input it executes itself.
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "printing.h"

static pid_t start(char* service) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  execl(service, service, "life", "now", (char*)NULL);
  _exit(127);
}

static void execute_itself_when_told(char** argv) {
  char line[16];
  for (;;) {
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    if (poll(&input, 1, 20) > 0) {
      if (read(STDIN_FILENO, line, sizeof line) <= 0) _exit(0);
      execv(argv[0], argv);
      _exit(127);
    }
    snprintf(line, sizeof line, "life %d ", (int)getpid());
    print_reading(line);
  }
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[2], "again") == 0) execute_itself_when_told(argv);
  if (argc != 2) print_for_ever("life");
  write_all("ready\n", 6);
  pid_t pid = 0;
  char line[16];
  while (read(STDIN_FILENO, line, sizeof line) > 0) {
    if (pid > 0) {
      kill(pid, SIGKILL);
      waitpid(pid, NULL, 0);
    }
    pid = start(argv[1]);
    if (pid < 0) return 1;
  }
  return 0;
}
