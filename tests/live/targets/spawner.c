// spawner WAY PROGRAM ARGUMENT...: becomes PROGRAM, or starts it and waits for it, in the way
// named:
//   exec     exec by the main thread           thread   exec by another thread, beside two more
//   again    exec of itself, then of PROGRAM   fork     fork, exec in the child
//   vfork    vfork, exec in the child          spawn    posix_spawn
//   system   system(3)                         popen    popen(3), its output passed on
//   orphan   exec in a grandchild whose parent has ended, 200 ms later; does not wait for it
// Exits with 0 if PROGRAM did.
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "reading.h"

static char** program;

static void* become(void* unused) {
  (void)unused;
  execvp(program[0], program);
  _exit(127);
}

static void* spin(void* unused) {
  for (;;) clock_ns(CLOCK_REALTIME);
  return unused;
}

static int in_other_thread(void) {
  pthread_t threads[3];
  pthread_create(&threads[0], NULL, spin, NULL);
  pthread_create(&threads[1], NULL, spin, NULL);
  pthread_create(&threads[2], NULL, become, NULL);
  pthread_join(threads[2], NULL);
  return 126;
}

static int wait_for(pid_t pid) {
  int status = -1;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return 125;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 124;
}

static const char* joined(void) {
  static char line[8192];
  for (char** word = program; *word != NULL; word++) {
    strncat(line, *word, sizeof line - strlen(line) - 2);
    strcat(line, " ");
  }
  return line;
}

static int pass_on(void) {
  char buffer[4096];
  size_t n;
  FILE* output = popen(joined(), "r");
  if (output == NULL) return 123;
  while ((n = fread(buffer, 1, sizeof buffer, output)) > 0) write_all(buffer, n);
  return pclose(output) == 0 ? 0 : 122;
}

static int spawn(void) {
  extern char** environ;
  pid_t pid = -1;
  if (posix_spawnp(&pid, program[0], NULL, NULL, program, environ) != 0) return 121;
  return wait_for(pid);
}

static int orphan(void) {
  if (fork() == 0) {
    if (fork() != 0) _exit(0);
    sleep_ms(200);
    become(NULL);
  }
  waitpid(-1, NULL, 0);
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const char* way = argv[1];
  program = argv + 2;
  if (strcmp(way, "exec") == 0) become(NULL);
  if (strcmp(way, "thread") == 0) return in_other_thread();
  if (strcmp(way, "again") == 0) {
    strcpy(argv[1], "exec");
    execv("/proc/self/exe", argv);
  }
  if (strcmp(way, "fork") == 0) {
    const pid_t pid = fork();
    if (pid == 0) become(NULL);
    return wait_for(pid);
  }
  if (strcmp(way, "vfork") == 0) {
    const pid_t pid = vfork();
    if (pid == 0) {
      execvp(program[0], program);
      _exit(127);
    }
    return wait_for(pid);
  }
  if (strcmp(way, "spawn") == 0) return spawn();
  if (strcmp(way, "system") == 0) return system(joined()) == 0 ? 0 : 120;
  if (strcmp(way, "popen") == 0) return pass_on();
  if (strcmp(way, "orphan") == 0) return orphan();
  return 2;
}
