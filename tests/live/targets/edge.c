// edge: for every line on its standard input makes all the odd clock calls that the kernel answers
// and prints one line each, then "end". Readings are printed as their distance from a raw system
// call in whole seconds ("shift 3600"), so that native and shifted answers can be compared.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "reading.h"

static sigjmp_buf on_fault;

static void fault(int number) {
  (void)number;
  siglongjmp(on_fault, 1);
}

static long rounded_seconds(int64_t ns) {
  int64_t half = 500000000;
  return (long)((ns < 0 ? ns - half : ns + half) / 1000000000);
}

// The result of a call by name: "ret 0", "ret -1 errno 22", "SIGSEGV".
#define REPORT_CALL(name, call)                             \
  do {                                                      \
    if (sigsetjmp(on_fault, 1) != 0) {                      \
      printf("%s SIGSEGV\n", name);                         \
    } else {                                                \
      errno = 0;                                            \
      long result = (long)(call);                           \
      printf("%s ret %ld errno %d\n", name, result, errno); \
    }                                                       \
  } while (0)

static void report_clock(const char* name, clockid_t clock) {
  struct timespec t = {-7, -7};
  errno = 0;
  int result = clock_gettime(clock, &t);
  if (result != 0) {
    const char* buffer = t.tv_sec == -7 && t.tv_nsec == -7 ? "untouched" : "CHANGED";
    printf("%s ret %d errno %d buffer %s\n", name, result, errno, buffer);
  } else {
    printf("%s ret 0 shift %ld range %s\n", name,
           rounded_seconds(to_ns(t.tv_sec, t.tv_nsec) - raw_clock_ns(clock)),
           t.tv_nsec >= 0 && t.tv_nsec < 1000000000 ? "ok" : "BAD");
  }
}

// Both readings within one second of the raw clock.
static void report_time(void) {
  time_t before, by_value, by_pointer = 0, after;
  long same;
  do {
    before = (time_t)syscall(SYS_time, NULL);
    by_value = time(NULL);
    same = time(&by_pointer) == by_pointer;
    after = (time_t)syscall(SYS_time, NULL);
  } while (before != after);
  printf("time(NULL) shift %ld\n", (long)(by_value - before));
  printf("time(&t) shift %ld same %ld\n", (long)(by_pointer - before), same);
}

static void report_gettimeofday(void* bad) {
  struct timezone zone = {-7, -7};
  struct timeval t = {-7, -7};
  int result = gettimeofday(&t, NULL);
  printf("gettimeofday(tv,NULL) ret %d shift %ld range %s\n", result,
         rounded_seconds(to_ns(t.tv_sec, t.tv_usec * 1000) - raw_clock_ns(CLOCK_REALTIME)),
         t.tv_usec >= 0 && t.tv_usec < 1000000 ? "ok" : "BAD");
  result = gettimeofday(&t, &zone);
  printf("gettimeofday(tv,tz) ret %d shift %ld zone %d %d\n", result,
         rounded_seconds(to_ns(t.tv_sec, t.tv_usec * 1000) - raw_clock_ns(CLOCK_REALTIME)),
         zone.tz_minuteswest, zone.tz_dsttime);
  zone = (struct timezone){-7, -7};
  // By way of volatile pointers: a null first argument is declared not to happen.
  struct timeval* volatile none = NULL;
  result = gettimeofday(none, &zone);
  printf("gettimeofday(NULL,tz) ret %d zone %d %d\n", result, zone.tz_minuteswest, zone.tz_dsttime);
  REPORT_CALL("gettimeofday(NULL,NULL)", gettimeofday(none, NULL));
  REPORT_CALL("gettimeofday(bad,NULL)", gettimeofday(bad, NULL));
  REPORT_CALL("gettimeofday(tv,bad)", gettimeofday(&t, bad));
}

static void report_dynamic(const char* path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  report_clock(path, (clockid_t)(~(unsigned)fd << 3 | 3));  // FD_TO_CLOCKID, clock_getres(2)
  close(fd);
}

static void report_all(void) {
  static const struct {
    const char* name;
    clockid_t id;
  } kClocks[] = {
      {"REALTIME", 0},
      {"MONOTONIC", 1},
      {"PROCESS_CPUTIME", 2},
      {"THREAD_CPUTIME", 3},
      {"MONOTONIC_RAW", 4},
      {"REALTIME_COARSE", 5},
      {"MONOTONIC_COARSE", 6},
      {"BOOTTIME", 7},
      {"REALTIME_ALARM", 8},
      {"BOOTTIME_ALARM", 9},
      {"SGI_CYCLE", 10},
      {"TAI", 11},
      {"id 12", 12},
      {"id 15", 15},
      {"id 31", 31},
      {"id 32", 32},
      {"id 99", 99},
      {"id 1000000", 1000000},
      {"id -1", -1},
      {"id -2", -2},
      {"id INT_MAX", INT_MAX},
      {"id INT_MIN", INT_MIN},
      {"id 2^31 - 64", INT_MAX - 63},
  };
  for (size_t i = 0; i < sizeof kClocks / sizeof kClocks[0]; i++)
    report_clock(kClocks[i].name, kClocks[i].id);
  report_dynamic("/dev/null");
  glob_t found;
  if (glob("/dev/ptp*", 0, NULL, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; i++) report_dynamic(found.gl_pathv[i]);
    globfree(&found);
  }
  void* bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct timespec* volatile none = NULL;
  struct timespec* volatile unmapped = bad;
  REPORT_CALL("REALTIME to NULL", clock_gettime(CLOCK_REALTIME, none));
  REPORT_CALL("REALTIME to bad", clock_gettime(CLOCK_REALTIME, unmapped));
  REPORT_CALL("MONOTONIC to bad", clock_gettime(CLOCK_MONOTONIC, unmapped));
  REPORT_CALL("REALTIME_COARSE to bad", clock_gettime(CLOCK_REALTIME_COARSE, unmapped));
  REPORT_CALL("id 99 to NULL", clock_gettime(99, none));
  REPORT_CALL("PROCESS_CPUTIME to bad", clock_gettime(CLOCK_PROCESS_CPUTIME_ID, unmapped));
  REPORT_CALL("time(bad)", time((time_t*)bad) > 0);
  struct timespec resolution;
  REPORT_CALL("getres(REALTIME)", clock_getres(CLOCK_REALTIME, &resolution));
  report_time();
  report_gettimeofday(bad);
  munmap(bad, 4096);
}

int main(void) {
  struct sigaction action = {.sa_handler = fault, .sa_flags = SA_NODEFER};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
  printf("ready\n");
  fflush(stdout);
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    report_all();
    printf("end\n");
    fflush(stdout);
  }
  return 0;
}
