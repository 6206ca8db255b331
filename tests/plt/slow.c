/* A library that takes its time to be loaded: a function of it is chosen by a resolver that sleeps,
 * when the loader says already that its list is consistent, and before the slots of those that need
 * it are filled. */
#include <sys/syscall.h>
#include <time.h>

static void nothing(void) {}

static void (*choose(void))(void) {
  struct timespec length = {1, 0};
  long result = SYS_nanosleep;
  /* Not by a function of the C library: the slot for it may not be filled yet. */
  __asm__ volatile("syscall" : "+a"(result) : "D"(&length), "S"((void*)0) : "rcx", "r11", "memory");
  return nothing;
}

static void chosen(void) __attribute__((ifunc("choose")));
void (*volatile slow_chosen)(void) = chosen;
