// Tries to set the machine's clock, in every way there is, to the time that it is. For each line on
// standard input prints "WAY ERRNO" for each way; 0: it was allowed to.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static void print(const char* way, int result) {
  printf("%s %d ", way, result < 0 ? errno : 0);
}

int main(void) {
  char line[100];
  printf("ready\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    struct timespec now;
    struct timeval day;
    struct timex adjust;
    clock_gettime(CLOCK_REALTIME, &now);
    print("clock_settime", clock_settime(CLOCK_REALTIME, &now));
    gettimeofday(&day, NULL);
    print("settimeofday", (int)syscall(SYS_settimeofday, &day, NULL));
    memset(&adjust, 0, sizeof adjust);
    print("read", adjtimex(&adjust));
    adjust.modes = ADJ_STATUS;
    print("adjtimex", adjtimex(&adjust));
    adjust.modes = ADJ_STATUS;
    print("clock_adjtime", (int)syscall(SYS_clock_adjtime, CLOCK_REALTIME, &adjust));
    printf("\n");
    fflush(stdout);
  }
  return 0;
}
