#include "agent/payload/plt.h"

#include <cstring>

extern "C" {
extern const uint8_t tc_plt_begin[];
extern const uint8_t tc_plt_clock_gettime[];
extern const uint8_t tc_plt_syscall[];
extern const uint8_t tc_plt_hooks[];
extern const uint8_t tc_plt_libc[];
extern const uint8_t tc_plt_end[];
}

namespace time_chaos::payload {

const char* imported_name(Imported function) {
  switch (function) {
    case Imported::kClockGettime:
      return "clock_gettime";
    case Imported::kGettimeofday:
      return "gettimeofday";
    case Imported::kTime:
      return "time";
    case Imported::kSyscall:
      return "syscall";
  }
  return "?";
}

uint64_t imported_hook(Imported function, uint64_t code, uint64_t plt) {
  switch (function) {
    case Imported::kClockGettime:
      return plt + static_cast<uint64_t>(tc_plt_clock_gettime - tc_plt_begin);
    case Imported::kGettimeofday:
      return code + hook_offset(Function::kGettimeofday);
    case Imported::kTime:
      return code + hook_offset(Function::kTime);
    case Imported::kSyscall:
      break;
  }
  return plt + static_cast<uint64_t>(tc_plt_syscall - tc_plt_begin);
}

std::vector<uint8_t> plt_code(uint64_t code, const LibraryFunctions& library) {
  std::vector<uint8_t> bytes(tc_plt_begin, tc_plt_end);
  const uint64_t hooks[] = {code + hook_offset(Function::kClockGettime),
                            code + hook_offset(Function::kGettimeofday),
                            code + hook_offset(Function::kTime)};
  const uint64_t own[] = {library.clock_gettime, library.syscall};
  std::memcpy(bytes.data() + (tc_plt_hooks - tc_plt_begin), hooks, sizeof hooks);
  std::memcpy(bytes.data() + (tc_plt_libc - tc_plt_begin), own, sizeof own);
  return bytes;
}

}  // namespace time_chaos::payload
