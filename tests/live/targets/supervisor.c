// supervisor WORKERS COMMAND...: waits for a line of input, then starts one worker after the other.
// Each reads its clocks, runs every COMMAND by a shell that becomes it, and reads them again. Then
// says "done", and prints its clocks ("parent 0 rt ...") for ever, beside a worker ("worker PID
// ...") and a fresh program ("execed PID ...") that do as well.
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "printing.h"

static void run(const char* command) {
  char line[4096];
  snprintf(line, sizeof line, "exec %s", command);
  const pid_t pid = fork();
  if (pid == 0) {
    execl("/bin/sh", "sh", "-c", line, (char*)NULL);
    _exit(127);
  }
  int status = -1;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
    dprintf(STDOUT_FILENO, "failed: %s\n", command);
  }
}

static void work(char** commands) {
  print_reading("");
  for (; *commands != NULL; commands++) run(*commands);
  print_reading("");
  _exit(0);
}

static void start_printer(const char* role) {
  if (fork() != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (strcmp(role, "execed") == 0) {
    execl("/proc/self/exe", "supervisor", role, (char*)NULL);
    _exit(127);
  }
  print_for_ever(role);
}

int main(int argc, char** argv) {
  if (argc == 2) print_for_ever(argv[1]);
  char go = 0;
  write_all("ready\n", 6);
  if (read(STDIN_FILENO, &go, 1) != 1) return 0;
  for (int i = 0; i < atoi(argv[1]); i++) {
    const pid_t worker = fork();
    if (worker == 0) work(argv + 2);
    waitpid(worker, NULL, 0);
  }
  write_all("done\n", 5);
  start_printer("worker");
  start_printer("execed");
  print_for_ever("parent");
}
