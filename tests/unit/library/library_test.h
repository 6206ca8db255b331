// What the tests of the library share: readings through the vDSO and around it, and threads that
// read the clock as fast as they can.
#pragma once

#include <gtest/gtest.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "time_chaos/time_chaos.h"

namespace time_chaos::test {

constexpr int64_t kSecond = 1000000000;
constexpr int64_t kHour = 3600 * kSecond;
// Readings are taken one after the other, on a machine that has other things to do.
constexpr int64_t kSlack = 20 * kSecond;

inline int64_t nanoseconds(const timespec& t) {
  return t.tv_sec * kSecond + t.tv_nsec;
}

inline int64_t shown(clockid_t clock = CLOCK_REALTIME) {
  timespec now{};
  EXPECT_EQ(::clock_gettime(clock, &now), 0);
  return nanoseconds(now);
}

inline int64_t real(clockid_t clock = CLOCK_REALTIME) {
  timespec now{};
  ::syscall(SYS_clock_gettime, clock, &now);
  return nanoseconds(now);
}

inline int64_t shift(clockid_t clock = CLOCK_REALTIME) {
  return shown(clock) - real(clock);
}

inline tc_clock by(int64_t seconds) {
  tc_clock clock = TC_CLOCK_INIT;
  clock.start = TC_BY_OFFSET;
  clock.value.tv_sec = seconds;
  return clock;
}

inline std::string maps_line(const char* name) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(name) != std::string::npos) return line;
  }
  return "";
}

inline std::string vdso_bytes() {
  const std::string line = maps_line("[vdso]");
  uint64_t begin = 0;
  uint64_t end = 0;
  EXPECT_EQ(std::sscanf(line.c_str(), "%lx-%lx r-xp", &begin, &end), 2) << line;
  return {reinterpret_cast<const char*>(begin), reinterpret_cast<const char*>(end)};
}

// Threads that call `read` until they are told to stop. It says whether what it saw can be.
class Readers {
 public:
  template <typename Read>
  Readers(int count, Read read) {
    for (int i = 0; i < count; i++) {
      threads_.emplace_back([this, read] {
        while (!stop_.load(std::memory_order_relaxed)) {
          if (!read()) wrong_++;
          readings_.fetch_add(1, std::memory_order_relaxed);
        }
      });
    }
  }
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;
  Readers(Readers&&) = delete;
  Readers& operator=(Readers&&) = delete;
  ~Readers() { stop(); }

  void stop() {
    stop_ = true;
    for (auto& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  [[nodiscard]] uint64_t wrong() const { return wrong_; }
  [[nodiscard]] uint64_t readings() const { return readings_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> wrong_{0};
  std::atomic<uint64_t> readings_{0};
  std::vector<std::thread> threads_;
};

// Everything is taken off at the end of a test, and the vDSO is then as it was at its beginning.
class LibraryTest : public ::testing::Test {
 protected:
  void SetUp() override { before_ = vdso_bytes(); }
  void TearDown() override {
    EXPECT_GE(tc_restore_all(), 0) << tc_message();
    if (kept_) return;
    EXPECT_TRUE(vdso_bytes() == before_);
    EXPECT_LT(std::abs(shift()), kSlack);
  }
  std::string before_;
  bool kept_ = false;  // monotonic clocks stay ahead
};

#define ASSERT_TC_OK(call) ASSERT_EQ(call, TC_OK) << tc_message()

}  // namespace time_chaos::test
