/* A program with two libraries, and more when it is told to load them. What every library reads,
 * and what it reads itself by functions whose addresses it keeps, it prints all the time. Commands:
 * "load NAME" (./libNAME.so), "unload", "fork", "keep", "forget". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

typedef void (*read_function)(FILE*);
typedef int (*clock_function)(clockid_t, struct timespec*);
void one(FILE* out);
void two(FILE* out);
clock_function keep_two(void);

static void* library;
static read_function more;
static clock_function* kept;

static void* busy(void* argument) {
  (void)argument;
  for (;;) {
    struct timespec now;
    for (int i = 0; i < 1000; i++) {
      if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) abort();
    }
    usleep(100);
  }
}

static void obey(char* command) {
  command[strcspn(command, "\n")] = 0;
  if (strncmp(command, "load ", 5) == 0) {
    char path[300];
    snprintf(path, sizeof path, "./lib%s.so", command + 5);
    library = dlopen(path, RTLD_LAZY);
    if (library == NULL) {
      puts(dlerror());
      exit(1);
    }
    *(void**)&more = dlsym(library, command + 5);
  } else if (strcmp(command, "unload") == 0) {
    more = NULL;
    dlclose(library);
  } else if (strcmp(command, "fork") == 0) {
    if (fork() == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  } else if (strcmp(command, "keep") == 0) {
    kept = malloc(sizeof *kept);
    *kept = keep_two();
  } else if (strcmp(command, "forget") == 0) {
    memset(kept, 0, sizeof *kept);
    kept = NULL;
  }
}

int main(int argc, char** argv) {
  pthread_t thread;
  for (int i = argc > 1 ? atoi(argv[1]) : 0; i > 0; i--) pthread_create(&thread, NULL, busy, NULL);
  for (;;) {
    struct pollfd in = {STDIN_FILENO, POLLIN, 0};
    char command[256];
    if (poll(&in, 1, 20) == 1) {
      ssize_t size = read(STDIN_FILENO, command, sizeof command - 1);
      if (size <= 0) return 0;
      command[size] = 0;
      obey(command);
    }
    printf("%d ", getpid());
    one(stdout);
    printf("%d ", getpid());
    two(stdout);
    if (more != NULL) {
      printf("%d ", getpid());
      more(stdout);
    }
    if (kept != NULL) {
      struct timespec now;
      (*kept)(CLOCK_REALTIME, &now);
      printf("%d kept %lld\n", getpid(), (long long)now.tv_sec);
    }
    fflush(stdout);
  }
}
