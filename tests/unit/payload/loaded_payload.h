// The payload as a target runs it, loaded into the test's own process: code page, clock page right
// behind it, and in place of the real clock_gettime a function of the test that answers what the
// test wants.
#pragma once

#include <sys/mman.h>
#include <time.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>

#include "agent/payload/layout.h"

namespace time_chaos::test {

// What the real clock_gettime is made to do, and what it was asked.
struct MockClock {
  int64_t sec = 0;
  int64_t nsec = 0;
  int error = 0;  // when not 0: returned, and the buffer stays untouched
  int calls = 0;
  int last_clock = -1;         // the id of the last call
  std::function<void()> then;  // runs at the end of every call
};

// What a call left behind, seen from its caller.
struct Seen {
  uint64_t result = 0;            // rax
  uint64_t saved_before[6] = {};  // rbx, rbp, r12..r15
  uint64_t saved_after[6] = {};
  uint64_t rsp_before = 0;
  uint64_t rsp_after = 0;
  std::array<uint64_t, 64> below{};  // the stack below rsp, lowest address first
};

class LoadedPayload {
 public:
  LoadedPayload() {
    void* pages = ::mmap(nullptr, 2 * payload::kPageSize, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::runtime_error("mmap");
    code_ = static_cast<uint8_t*>(pages);
    const auto bytes = payload::code();
    std::memcpy(code_, bytes.data(), bytes.size());
    put_original();
    if (::mprotect(code_, payload::kPageSize, PROT_READ | PROT_EXEC) != 0) {
      throw std::runtime_error("mprotect");
    }
  }
  LoadedPayload(const LoadedPayload&) = delete;
  LoadedPayload& operator=(const LoadedPayload&) = delete;
  LoadedPayload(LoadedPayload&&) = delete;
  LoadedPayload& operator=(LoadedPayload&&) = delete;
  ~LoadedPayload() { ::munmap(code_, 2 * payload::kPageSize); }

  [[nodiscard]] tc_clock_page& page() const {
    return *reinterpret_cast<tc_clock_page*>(code_ + payload::kClockPageOffset);
  }
  [[nodiscard]] MockClock& mock() const;
  [[nodiscard]] bool holds(uint64_t address) const {
    return address - reinterpret_cast<uint64_t>(code_) < payload::kPageSize;
  }

  int clock_gettime(int clock, timespec* into) const {
    return entry<int(int, timespec*)>(payload::Function::kClockGettime)(clock, into);
  }
  int gettimeofday(timeval* into, struct timezone* zone) const {
    return entry<int(timeval*, struct timezone*)>(payload::Function::kGettimeofday)(into, zone);
  }
  time_t time(time_t* into) const { return entry<time_t(time_t*)>(payload::Function::kTime)(into); }
  // Any of them, by a caller that watches its registers and its stack.
  [[nodiscard]] Seen call_watched(payload::Function function, uint64_t first,
                                  uint64_t second) const;

 private:
  template <typename Signature>
  [[nodiscard]] Signature* entry(payload::Function function) const {
    return reinterpret_cast<Signature*>(code_ + payload::hook_offset(function));
  }
  void put_original() const;

  uint8_t* code_ = nullptr;
};

}  // namespace time_chaos::test
