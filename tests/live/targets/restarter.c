// restarter SERVICE: for every line of input it ends the service, if there is one, and starts it
// anew: this program under the name SERVICE (a link to it), which prints its clocks ("life PID rt
// ..."). Ends, and the service with it, when its input ends.
#define _GNU_SOURCE
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

int main(int argc, char** argv) {
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
