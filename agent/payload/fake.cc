#include "agent/payload/fake.h"

extern "C" {
extern const uint8_t tc_fake_begin[];
extern const uint8_t tc_fake_clock_gettime[];
extern const uint8_t tc_fake_gettimeofday[];
extern const uint8_t tc_fake_time[];
extern const uint8_t tc_fake_enter[];
extern const uint8_t tc_fake_restart[];
extern const uint8_t tc_fake_data[];
extern const uint8_t tc_fake_end[];
}

namespace time_chaos::payload {
namespace {

uint64_t offset_of(const uint8_t* what) {
  return static_cast<uint64_t>(what - tc_fake_begin);
}

uint64_t pages(uint64_t size) {
  return (size + kPageSize - 1) & ~(kPageSize - 1);
}

}  // namespace

uint64_t fake_size(uint64_t image_size) {
  return kFakeImageOffset + pages(image_size) + kPageSize;
}

std::array<PageRange, 3> fake_parts(uint64_t place, uint64_t image_size) {
  const uint64_t last = place + fake_size(image_size) - kPageSize;
  const uint64_t data = place + kPageSize;
  return {PageRange{place, kPageSize}, PageRange{data, last - data}, PageRange{last, kPageSize}};
}

std::optional<uint64_t> fake_place(const PageRange (&pads)[kMaxPads]) {
  const bool adjoin = pads[0].size == kPageSize && pads[2].size == kPageSize &&
                      pads[1].size >= kFakeImageOffset - kPageSize &&
                      pads[1].start == pads[0].start + kPageSize &&
                      pads[2].start == pads[1].start + pads[1].size;
  return adjoin ? std::optional(pads[0].start) : std::nullopt;
}

uint64_t fake_hook_offset(Function function) {
  switch (function) {
    case Function::kClockGettime:
      return offset_of(tc_fake_clock_gettime);
    case Function::kGettimeofday:
      return offset_of(tc_fake_gettimeofday);
    case Function::kTime:
      break;
  }
  return offset_of(tc_fake_time);
}

uint64_t fake_enter_offset() {
  return offset_of(tc_fake_enter);
}

uint64_t fake_restart_offset() {
  return offset_of(tc_fake_restart);
}

uint64_t fake_data_offset() {
  return offset_of(tc_fake_data);
}

std::vector<uint8_t> fake_code() {
  return {tc_fake_begin, tc_fake_end};
}

FakeData fake_data(uint64_t code) {
  FakeData data;
  data.real = code + original_offset();
  data.clock_page = code + kClockPageOffset;
  data.original[0] = code + hook_offset(Function::kClockGettime);
  data.original[1] = code + hook_offset(Function::kGettimeofday);
  data.original[2] = code + hook_offset(Function::kTime);
  return data;
}

}  // namespace time_chaos::payload
