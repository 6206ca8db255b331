/* A program that reads the clock in all ways, and prints what it reads: its pid, the time by a
 * system call, and by clock_gettime, gettimeofday and time. THREADS others allocate and load
 * libraries as fast as they can. Commands: "fork". "handler": sleeps in a signal handler that has
 * interrupted malloc. With -DALONE it needs nothing but the C library itself, which was without
 * threads and dlopen before glibc 2.34. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static void* allocate(void* library) {
  unsigned seed = (unsigned)(size_t)&library;
  void* kept[64] = {0};
  for (unsigned i = 0;; i++) {
    void** one = &kept[rand_r(&seed) % 64];
    free(*one);
    *one = malloc((size_t)rand_r(&seed) % 5000 + 1);
    if (*one == NULL) abort();
    memset(*one, 1, 1);
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) abort();
#ifndef ALONE
    if (i % 512 == 0 && library != NULL) {
      void* handle = dlopen(library, RTLD_NOW);
      if (handle == NULL || dlclose(handle) != 0) abort();
    }
#endif
  }
  return NULL;
}

extern char __executable_start[], etext[];

static void come_soon(void) {
  struct itimerval soon = {{0, 0}, {0, 100000}};
  setitimer(ITIMER_REAL, &soon, NULL);
}

/* Not where the signal came between two calls of the allocator. */
static void on_signal(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)info;
  const char* at = (const char*)((ucontext_t*)context)->uc_mcontext.gregs[REG_RIP];
  if (at >= __executable_start && at < etext) return come_soon();
  struct timespec hour = {3600, 0};
  nanosleep(&hour, NULL);
}

/* In a signal handler that has interrupted the allocator, again and again until it did. */
static void sleep_in_malloc(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  sigaction(SIGALRM, &action, NULL);
  come_soon();
  for (;;) {
    void* volatile some = malloc(100);
    free(some);
  }
}

static void print(FILE* out) {
  struct timespec raw = {0, 0};
  struct timespec now = {0, 0};
  struct timeval day = {0, 0};
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &raw);
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) abort();
  if (gettimeofday(&day, NULL) != 0) abort();
  fprintf(out, "%d %lld %lld %lld %lld\n", getpid(), (long long)raw.tv_sec, (long long)now.tv_sec,
          (long long)day.tv_sec, (long long)time(NULL));
  fflush(out);
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 0;
  const char* mode = argc > 2 ? argv[2] : "";
  char* library = argc > 3 ? argv[3] : NULL;
#ifndef ALONE
  pthread_t thread;
  for (int i = 0; i < threads; i++) {
    if (pthread_create(&thread, NULL, allocate, library) != 0) return 2;
  }
#else
  (void)threads;
  (void)library;
#endif
  print(stdout);
  if (strcmp(mode, "handler") == 0) sleep_in_malloc();
  if (strcmp(mode, "busy") == 0) allocate(NULL);
  for (;;) {
    struct pollfd in = {STDIN_FILENO, POLLIN, 0};
    char command[64];
    if (strcmp(mode, "sleep") == 0 && usleep(10000) != 0) abort();
    const int ready = poll(&in, 1, strcmp(mode, "sleep") == 0 ? 0 : 10);
    if (ready < 0) abort(); /* EINTR: no signal is sent to it */
    if (ready == 1) {
      const ssize_t size = read(STDIN_FILENO, command, sizeof command);
      if (size <= 0) return 0;
      if (fork() == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    print(stdout);
  }
}
