// The plain target: prints all its clocks every 20 ms. Built against several C libraries.
#include "reading.h"

int main(void) {
  for (;;) {
    print_reading("");
    sleep_ms(20);
  }
}
