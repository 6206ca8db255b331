// once COMMAND...: what `time-chaos run` starts. Reads the clocks as its first act and prints them,
// then does as told, in order: exit N, raise N, cat (copies its input), sleep MS, env NAME.
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "reading.h"

static void copy_input(void) {
  char buffer[4096];
  ssize_t n;
  while ((n = read(STDIN_FILENO, buffer, sizeof buffer)) > 0) write_all(buffer, (size_t)n);
}

int main(int argc, char** argv) {
  print_reading("");
  for (int i = 1; i < argc; i++) {
    const char* value = i + 1 < argc ? argv[i + 1] : "0";
    if (strcmp(argv[i], "cat") == 0) {
      copy_input();
      continue;
    }
    if (strcmp(argv[i], "exit") == 0) return atoi(value);
    if (strcmp(argv[i], "raise") == 0) raise(atoi(value));
    if (strcmp(argv[i], "sleep") == 0) sleep_ms(atol(value));
    if (strcmp(argv[i], "env") == 0) printf("%s\n", getenv(value) != NULL ? getenv(value) : "");
    i++;
  }
  return 0;
}
