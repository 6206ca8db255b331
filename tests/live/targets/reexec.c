/* A program that executes itself while its main thread waits in select(), with a timeout that
 * stands at the same address before and after: nobody may write what was left of the old program's
 * wait into the new one. Begins at the first line of its input, and prints the new program's
 * timeout. */
#include <pthread.h>
#include <stdio.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct timeval timeout = {600, 77};

static void* execute(void* path) {
  struct timespec moment = {0, 200000000};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
  execl(path, path, "again", NULL);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc > 1) {
    printf("%ld %ld\n", (long)timeout.tv_sec, (long)timeout.tv_usec);
    return 0;
  }
  pthread_t thread;
  puts("ready");
  fflush(stdout);
  if (getchar() == EOF) return 1;
  pthread_create(&thread, NULL, execute, argv[0]);
  syscall(SYS_select, 0, NULL, NULL, NULL, &timeout);
  return 1;
}
