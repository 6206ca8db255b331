// The program: everything it does stands in cli/ and below.
#include <cstdio>
#include <exception>

#include "agent/cli/commands.h"

int main(int argc, char** argv) {
  try {
    return time_chaos::cli::run_program(argc, argv);
  } catch (const std::exception& error) {  // out of memory, and the like
    std::fprintf(stderr, "time-chaos: %s\n", error.what());
    return 1;
  }
}
