#include "agent/payload/layout.h"

extern "C" {
extern const uint8_t tc_payload_begin[];
extern const uint8_t tc_payload_clock_gettime[];
extern const uint8_t tc_payload_gettimeofday[];
extern const uint8_t tc_payload_time[];
extern const uint8_t tc_payload_original[];
extern const uint8_t tc_payload_end[];
}

namespace time_chaos::payload {

const char* function_name(Function function) {
  switch (function) {
    case Function::kClockGettime:
      return "clock_gettime";
    case Function::kGettimeofday:
      return "gettimeofday";
    case Function::kTime:
      return "time";
  }
  return "?";
}

const char* function_symbol(Function function) {
  switch (function) {
    case Function::kClockGettime:
      return "__vdso_clock_gettime";
    case Function::kGettimeofday:
      return "__vdso_gettimeofday";
    case Function::kTime:
      return "__vdso_time";
  }
  return "?";
}

std::span<const uint8_t> code() {
  return {tc_payload_begin, tc_payload_end};
}

uint64_t hook_offset(Function function) {
  switch (function) {
    case Function::kClockGettime:
      return static_cast<uint64_t>(tc_payload_clock_gettime - tc_payload_begin);
    case Function::kGettimeofday:
      return static_cast<uint64_t>(tc_payload_gettimeofday - tc_payload_begin);
    case Function::kTime:
      break;
  }
  return static_cast<uint64_t>(tc_payload_time - tc_payload_begin);
}

std::array<PageRange, 2> free_space() {
  const uint64_t behind_code = (code().size() + 15) & ~uint64_t{15};
  const uint64_t behind_record = kRecordOffset + sizeof(CodeRecord);
  return {PageRange{behind_code, kRecordOffset - behind_code},
          PageRange{behind_record, kPageSize - behind_record}};
}

uint64_t original_offset() {
  return static_cast<uint64_t>(tc_payload_original - tc_payload_begin);
}

}  // namespace time_chaos::payload
