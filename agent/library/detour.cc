#include "agent/library/detour.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "agent/vdso/jump.h"

namespace time_chaos::library {
namespace {

constexpr uint64_t kPage = payload::kPageSize;
constexpr uint64_t kCells = 2 * kPage;  // from the code page
constexpr int kRewrites = 3;

template <typename T>
T* pointer(uint64_t at) {
  return reinterpret_cast<T*>(at);  // NOLINT(performance-no-int-to-ptr): addresses are numbers here
}

}  // namespace

Status Detour::write(Function function, bool patched) {
  const auto& way = ways_[index(function)];
  const auto& bytes = patched ? way->patched : way->original;
  const auto& expected = patched ? way->original : way->patched;
  if (std::memcmp(pointer<uint8_t>(way->at), expected.data(), expected.size()) != 0) {
    return fail(Exit::kFailed,
                fmt::format("somebody else has changed {}", kSymbols[index(function)]));
  }
  TC_CHECK(code_text_.store(way->at, bytes));
  // An emulator may still be running what it had translated; a write makes it translate anew.
  for (int i = 0; vdso::may_run_stale_code() && i < kRewrites; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    TC_CHECK(code_text_.store(way->at, bytes));
  }
  patched_[index(function)] = patched;
  return {};
}

Status Detour::patch(Function function) {
  if (is_patched(function)) return {};
  if (!ways_[index(function)]) return fail(why_not(function));
  return write(function, true);
}

Status Detour::unpatch(Function function) {
  if (!is_patched(function)) return {};
  return write(function, false);
}

Error Detour::why_not(Function function) const {
  const auto& why = why_not_[index(function)];
  const std::string what = fmt::format("{} cannot be replaced", kSymbols[index(function)]);
  return why ? why->because_of(what) : Error(Exit::kFailed, what);
}

Status Detour::release() const {
  const auto bytes = image_.bytes();
  if (std::memcmp(pointer<uint8_t>(vdso_.start), bytes.data(), bytes.size()) != 0) {
    return fail(Exit::kFailed, "the vDSO is not as it was: somebody else has changed it");
  }
  // A sealed vDSO may refuse; the copy has the same bytes.
  (void)::madvise(pointer<void>(vdso_.start), vdso_.size, MADV_DONTNEED);
  return {};
}

void Detour::lead(Function function, uint64_t to) {
  auto* cell = pointer<uint64_t>(code_ + kCells) + index(function);
  __atomic_store_n(cell, to, __ATOMIC_RELEASE);
}

uint64_t Detour::mapped_hook(Function function) const {
  // The first three are in the payload's order.
  return code_ + payload::hook_offset(static_cast<payload::Function>(index(function)));
}

uint64_t Detour::original_clock_gettime() const {
  return code_ + payload::original_offset();
}

tc_clock_page& Detour::page() const {
  return *pointer<tc_clock_page>(code_ + payload::kClockPageOffset);
}

}  // namespace time_chaos::library
