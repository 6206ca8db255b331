// Prints its clocks with its vDSO sealed (mseal(2), Linux 6.10), as newer systems seal it: its
// protection cannot be changed any more. Says "unsupported" where the kernel has no mseal.
#define _GNU_SOURCE
#include <elf.h>
#include <string.h>
#include <sys/auxv.h>

#include "reading.h"

enum { kSysMseal = 462, kPage = 4096 };

// The vDSO is as long as the mapping of that name; proc_pid_maps(5) says so to everyone.
static unsigned long vdso_size(void) {
  char line[512];
  FILE* maps = fopen("/proc/self/maps", "re");
  unsigned long begin = 0, end = 0;
  while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
    if (strstr(line, "[vdso]") != NULL && sscanf(line, "%lx-%lx", &begin, &end) == 2) break;
  if (maps != NULL) fclose(maps);
  return end - begin;
}

int main(void) {
  if (syscall(kSysMseal, getauxval(AT_SYSINFO_EHDR), vdso_size(), 0) != 0) {
    write_all("unsupported\n", 12);
    return 0;
  }
  for (;;) {
    print_reading("");
    sleep_ms(20);
  }
}
