// Starts programs in every way there is, and checks what each of them reads of the clock.
//
//   spawn        then, on standard input:
//     children COUNT SHIFT ALSO   COUNT children, each of which checks its own clock and then
//     executes
//                                 one of the programs below, whose output is checked: every reading
//                                 must be SHIFT seconds ahead of the true time. ALSO: "time" checks
//                                 time(2) as well, "notime" leaves it out.
//                                 Answers "readings N wrong M".
//     burst COUNT SHIFT           COUNT children that only read the clock, many at once; the same
//     answer run PROGRAM ARGUMENT...     a child that executes that; it goes on by itself exec
//     PROGRAM ARGUMENT...    executes that itself
//
// The true time is CLOCK_MONOTONIC plus what the wall clock was ahead of it at the start.
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "ways.h"

#define TOLERANCE INT64_C(5000000)
#define MOST_WORDS 8

extern char** environ;
static int64_t wall_at_zero, shift;
static int with_time;
static long readings, wrong;

static char* programs[][MOST_WORDS] = {
    {"/targets/first"},
    {"/targets/now_glibc"},
    {"/bin/date", "+now date %s%N"},
    {"/targets/now_static"},
    {"/bin/sh", "-c", "/bin/date '+now pipe %s%N' | cat"},
    {"/targets/now_musl"},
    {"/targets/script"},
    {"/targets/now_32"},
    {"/bin/env", "/bin/env", "/targets/now_glibc"},
    {"/targets/now_go"},
    {"/targets/first"},
    {"/bin/python3", "-I", "-S", "-c", "import time; print('now python', time.time_ns())"},
};
enum { kPrograms = sizeof programs / sizeof programs[0] };

static int is_time(const char* way) {
  return strcmp(way, "time") == 0 || strncmp(way, "sys_time", 8) == 0;
}

static void judge(const char* who, const char* way, int64_t reading, int64_t before,
                  int64_t after) {
  int64_t lag = is_time(way) || strstr(way, "coarse") ? 10 * SECOND : 1000;
  int64_t real = wall_at_zero + shift;
  if (is_time(way) && (!with_time || strstr(who, "_32"))) return;
  readings++;
  if (reading >= before + real - TOLERANCE - lag && reading <= after + real + TOLERANCE) return;
  if (wrong++ >= 10) return;
  printf("wrong: %s %s is %+.3f s off\n", who, way, (double)(reading - after - real) / 1e9);
  fflush(stdout);
}

static void* execute(void* words) {
  char** command = words;
  execve(command[0], command, environ);
  _exit(127);
}

// In the child: first its own clock.
static void become(char** command, int way) {
  int64_t vdso = libc_realtime(), raw = sys_realtime();
  printf("now child %lld\nnow child_raw %lld\n", (long long)vdso, (long long)raw);
  fflush(stdout);
  if (way == 3) {  // by a thread that is not the leader
    pthread_t thread;
    if (pthread_create(&thread, NULL, execute, command)) _exit(126);
    pause();
  }
  execute(command);
}

static pid_t start(char** command, int way, int out) {
  pid_t pid;
  if (way == 1) {
    pid = vfork();
    if (pid == 0) {
      dup2(out, 1);
      execve(command[0], command, environ);
      _exit(127);
    }
    return pid;
  }
  if (way == 2) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    if (posix_spawn(&pid, command[0], &actions, NULL, command, environ)) pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }
  pid = fork();
  if (pid == 0) {
    dup2(out, 1);
    become(command, way);
  }
  return pid;
}

static void one_child(int number) {
  char** command = programs[number % kPrograms];
  if (access(command[0], X_OK)) command = programs[0];
  int ends[2], status = 0, before_it = (int)readings;
  if (pipe(ends)) exit(3);
  fflush(stdout);
  int64_t before = monotonic();
  pid_t pid = start(command, number / kPrograms % 4, ends[1]);
  close(ends[1]);
  FILE* in = fdopen(ends[0], "r");
  char line[200], way[100];
  long long reading;
  while (fgets(line, sizeof line, in))
    if (sscanf(line, "now %99s %lld", way, &reading) == 2)
      judge(command[0], way, reading, before, monotonic());
  fclose(in);
  if (pid < 0 || waitpid(pid, &status, 0) < 0 || status || readings == before_it) {
    printf("wrong: %s ended with %#x\n", command[0], status);
    wrong++;
  }
}

// So many at once: they live for a moment only.
static void burst(int count) {
  char* command[] = {"/targets/first", NULL};
  char line[200], way[100];
  long long reading;
  while (count > 0) {
    int batch = count < 40 ? count : 40, ends[2];
    if (pipe(ends)) exit(3);
    fflush(stdout);
    int64_t before = monotonic();
    for (int i = 0; i < batch; i++) {
      if (fork() != 0) continue;
      dup2(ends[1], 1);
      execute(command);
    }
    close(ends[1]);
    FILE* in = fdopen(ends[0], "r");
    while (fgets(line, sizeof line, in))
      if (sscanf(line, "now %99s %lld", way, &reading) == 2)
        judge(command[0], way, reading, before, monotonic());
    fclose(in);
    for (int i = 0; i < batch; i++) wait(NULL);
    count -= batch;
  }
}

static void split(char* line, char** words) {
  int count = 0;
  for (char* word = strtok(line, " \n"); word && count < MOST_WORDS - 1; word = strtok(NULL, " \n"))
    words[count++] = word;
  words[count] = NULL;
}

static void run(char** command, int in_child) {
  if (in_child && fork() != 0) return;
  execute(command);
}

int main(void) {
  int64_t best = INT64_MAX;
  for (int i = 0; i < 200; ++i) {
    int64_t before = monotonic(), wall = libc_realtime(), after = monotonic();
    if (after - before >= best) continue;
    best = after - before;
    wall_at_zero = wall - before - best / 2;
  }
  printf("ready\n");
  fflush(stdout);
  char line[500], also[20];
  int count;
  long seconds;
  while (fgets(line, sizeof line, stdin)) {
    char* words[MOST_WORDS];
    if (sscanf(line, "children %d %ld %19s", &count, &seconds, also) == 3) {
      readings = wrong = 0;
      shift = seconds * SECOND;
      with_time = strcmp(also, "time") == 0;
      for (int i = 0; i < count; i++) one_child(i);
      printf("readings %ld wrong %ld\n", readings, wrong);
      fflush(stdout);
      continue;
    }
    if (sscanf(line, "burst %d %ld", &count, &seconds) == 2) {
      readings = wrong = 0;
      shift = seconds * SECOND;
      burst(count);
      printf("readings %ld wrong %ld\n", readings, wrong);
      fflush(stdout);
      continue;
    }
    split(line, words);
    run(words + 1, strcmp(words[0], "run") == 0);
  }
  return 0;
}
