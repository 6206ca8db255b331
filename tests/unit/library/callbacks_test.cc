// Functions of one's own in place of the vDSO's.
#include <array>
#include <cerrno>

#include "tests/unit/library/library_test.h"

namespace time_chaos::test {
namespace {

class CallbacksTest : public LibraryTest {};

int shifted_gettime(clockid_t clock, timespec* into, const tc_original* original, void* data) {
  const int result = original->clock_gettime(clock, into);
  if (result == 0) into->tv_sec += *static_cast<int*>(data);
  return result;
}

tc_functions with_gettime() {
  tc_functions functions{};
  functions.clock_gettime = shifted_gettime;
  return functions;
}

TEST_F(CallbacksTest, IsCalledAndMayCallTheOriginal) {
  tc_layer layer = 0;
  int seconds = 3600;
  const tc_functions functions = with_gettime();
  ASSERT_TC_OK(tc_install(&functions, &seconds, &layer));
  EXPECT_LT(std::abs(shift() - kHour), kSlack);
  seconds = 7200;
  EXPECT_LT(std::abs(shift() - 2 * kHour), kSlack);
  // What was not given is as it was.
  EXPECT_LT(std::abs(::time(nullptr) * kSecond - real()), kSlack);
}

TEST_F(CallbacksTest, AllFunctions) {
  tc_functions functions{};
  functions.clock_gettime = [](clockid_t, timespec* into, const tc_original*, void*) {
    *into = {11, 12};
    return 0;
  };
  functions.gettimeofday = [](timeval* into, void*, const tc_original*, void*) {
    *into = {21, 22};
    return 0;
  };
  functions.time = [](time_t*, const tc_original*, void*) { return time_t{31}; };
  functions.clock_getres = [](clockid_t, timespec* into, const tc_original*, void*) {
    *into = {41, 42};
    return 0;
  };
  tc_layer layer = 0;
  tc_status status = tc_install(&functions, nullptr, &layer);
  const bool resolution = status == TC_OK;
  if (status == TC_ERROR_UNSUPPORTED) {  // where its place is taken
    EXPECT_NE(std::string(tc_message()).find("__vdso_clock_getres"), std::string::npos);
    EXPECT_TRUE(vdso_bytes() == before_);
    functions.clock_getres = nullptr;
    status = tc_install(&functions, nullptr, &layer);
  }
  ASSERT_TC_OK(status);
  EXPECT_EQ(shown(), 11 * kSecond + 12);
  timeval tv{};
  ASSERT_EQ(::gettimeofday(&tv, nullptr), 0);
  EXPECT_EQ(tv.tv_usec, 22);
  EXPECT_EQ(::time(nullptr), 31);
  if (!resolution) return;
  timespec got{};
  ASSERT_EQ(::clock_getres(CLOCK_REALTIME, &got), 0);
  EXPECT_EQ(got.tv_sec, 41);
}

TEST_F(CallbacksTest, OriginalsAreTheMachines) {
  const tc_original& original = *tc_originals();
  tc_layer layer = 0;
  const tc_clock hour = by(3600);
  for (int round = 0; round < 2; round++) {  // without a detour, and with one
    timespec now{};
    ASSERT_EQ(original.clock_gettime(CLOCK_REALTIME, &now), 0);
    EXPECT_LT(std::abs(nanoseconds(now) - real()), kSlack);
    timeval tv{};
    int zone[2] = {-1, -1};
    ASSERT_EQ(original.gettimeofday(&tv, zone), 0);
    EXPECT_LT(std::abs(tv.tv_sec * kSecond - real()), kSlack);
    EXPECT_NE(zone[1], -1);
    EXPECT_EQ(original.gettimeofday(nullptr, nullptr), 0);
    time_t seconds = 0;
    EXPECT_EQ(original.time(&seconds), seconds);
    EXPECT_LT(std::abs(original.time(nullptr) * kSecond - real()), kSlack);
    ASSERT_EQ(original.clock_getres(CLOCK_REALTIME, &now), 0);
    errno = 0;
    EXPECT_EQ(original.clock_gettime(12345, &now), -EINVAL);
    EXPECT_EQ(original.clock_getres(12345, &now), -EINVAL);
    EXPECT_EQ(errno, 0);
    if (round == 0) {
      ASSERT_TC_OK(tc_install_map(&hour, &layer));
    }
  }
}

TEST_F(CallbacksTest, ErrorsReachTheCaller) {
  tc_functions functions{};
  functions.clock_gettime = [](clockid_t, timespec*, const tc_original*, void*) { return -EPERM; };
  tc_layer layer = 0;
  ASSERT_TC_OK(tc_install(&functions, nullptr, &layer));
  timespec now{};
  EXPECT_EQ(::clock_gettime(CLOCK_REALTIME, &now), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST_F(CallbacksTest, DoesNotCallItself) {
  tc_functions functions{};
  functions.clock_gettime = [](clockid_t clock, timespec* into, const tc_original*, void* data) {
    ++*static_cast<int*>(data);
    ::clock_gettime(clock, into);
    (void)::time(nullptr);
    into->tv_sec += 3600;
    return 0;
  };
  functions.time = [](time_t*, const tc_original*, void*) { return ::time(nullptr) + 3600; };
  int calls = 0;
  tc_layer layer = 0;
  ASSERT_TC_OK(tc_install(&functions, &calls, &layer));
  EXPECT_LT(std::abs(shift() - kHour), kSlack);
  EXPECT_EQ(calls, 1);
  EXPECT_LT(std::abs(::time(nullptr) * kSecond - real() - kHour), kSlack);
}

TEST_F(CallbacksTest, TheStackIsAligned) {
  tc_functions functions{};
  functions.clock_gettime = [](clockid_t, timespec* into, const tc_original*, void*) {
    alignas(16) volatile char place[16] = {};
    const auto at = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    *into = {place[0], static_cast<long>(at % 16)};
    return 0;
  };
  tc_layer layer = 0;
  ASSERT_TC_OK(tc_install(&functions, nullptr, &layer));
  timespec now{0, 1};
  // A caller with a stack that is 8 off.
  long result = 1;
  void* const function = reinterpret_cast<void*>(&::clock_gettime);
  asm volatile(
      "mov %%rsp, %%r12; and $-16, %%rsp; sub $128, %%rsp; push %%r12; call *%[f]; pop %%rsp"
      : "=a"(result)
      : [f] "r"(function), "D"(0L), "S"(&now)
      : "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "memory", "cc");
  EXPECT_EQ(result, 0);
  EXPECT_EQ(now.tv_nsec, 0);
}

TEST_F(CallbacksTest, MapsAndCallbacksInOneStack) {
  tc_layer map = 0;
  tc_layer callback = 0;
  tc_layer over = 0;
  const tc_clock hour = by(3600);
  const tc_clock day = by(86400);
  int seconds = -3600;
  const tc_functions functions = with_gettime();
  ASSERT_TC_OK(tc_install_map(&hour, &map));
  ASSERT_TC_OK(tc_install(&functions, &seconds, &callback));
  EXPECT_LT(std::abs(shift() + kHour), kSlack);
  EXPECT_LT(std::abs(::time(nullptr) * kSecond - real() - kHour), kSlack);  // the map's, below
  ASSERT_TC_OK(tc_install_map(&day, &over));
  EXPECT_LT(std::abs(shift() - 24 * kHour), kSlack);
  ASSERT_TC_OK(tc_restore(map));
  ASSERT_TC_OK(tc_restore(over));
  EXPECT_LT(std::abs(shift() + kHour), kSlack);
  EXPECT_LT(std::abs(::time(nullptr) * kSecond - real()), kSlack);
  EXPECT_EQ(tc_change(callback, &day), TC_ERROR_INVALID);
}

TEST_F(CallbacksTest, RefusesWhatMakesNoSense) {
  tc_layer layer = 0;
  const tc_functions none{};
  const tc_functions one = with_gettime();
  EXPECT_EQ(tc_install(nullptr, nullptr, &layer), TC_ERROR_INVALID);
  EXPECT_EQ(tc_install(&none, nullptr, &layer), TC_ERROR_INVALID);
  EXPECT_EQ(tc_install(&one, nullptr, nullptr), TC_ERROR_INVALID);
  EXPECT_TRUE(vdso_bytes() == before_);
}

TEST_F(CallbacksTest, CannotChangeTheStackItRunsOn) {
  tc_functions functions{};
  functions.clock_gettime = [](clockid_t, timespec* into, const tc_original*, void* data) {
    const tc_clock hour = by(3600);
    tc_layer another = 0;
    const bool busy = tc_restore(1) == TC_ERROR_BUSY &&
                      tc_install_map(&hour, &another) == TC_ERROR_BUSY &&
                      tc_restore_all() == TC_ERROR_BUSY;
    *static_cast<bool*>(data) = busy;
    *into = {1, 0};
    return 0;
  };
  bool busy = false;
  tc_layer layer = 0;
  ASSERT_TC_OK(tc_install(&functions, &busy, &layer));
  EXPECT_EQ(shown(), kSecond);
  EXPECT_TRUE(busy);
}

// After restore nobody uses `data` any more: it may go at once.
TEST_F(CallbacksTest, RestoreWaitsForThoseInside) {
  struct Data {
    std::atomic<uint64_t> alive{0x600d};
    std::atomic<uint64_t>* late = nullptr;
  };
  std::atomic<uint64_t> late{0};
  tc_functions functions{};
  functions.clock_gettime = [](clockid_t clock, timespec* into, const tc_original* original,
                               void* data) {
    auto& mine = *static_cast<Data*>(data);
    std::atomic<uint64_t>* const count = mine.late;
    const int result = original->clock_gettime(clock, into);
    ::usleep(100);  // so that there is always somebody inside
    if (mine.alive.load(std::memory_order_relaxed) != 0x600d) (*count)++;
    return result;
  };
  Readers readers(4, [] { return shown() != 0; });
  std::array<Data, 2> places;  // one after the other, never both
  for (int round = 0; round < 100; round++) {
    Data& data = places[static_cast<size_t>(round % 2)];
    data.late = &late;
    data.alive = 0x600d;
    tc_layer layer = 0;
    ASSERT_TC_OK(tc_install(&functions, &data, &layer));
    ::usleep(300);
    ASSERT_TC_OK(tc_restore(layer));
    data.alive = 0;
  }
  readers.stop();
  EXPECT_EQ(late, 0U);
  EXPECT_GT(readers.readings(), 0U);
}

// More threads, one after the other, than there are slots.
TEST_F(CallbacksTest, ThreadsComeAndGo) {
  tc_layer layer = 0;
  int seconds = 3600;
  const tc_functions functions = with_gettime();
  ASSERT_TC_OK(tc_install(&functions, &seconds, &layer));
  std::atomic<int> right{0};
  for (int i = 0; i < 4500; i++) {
    std::thread([&] { right += std::abs(shift() - kHour) < kSlack ? 1 : 0; }).join();
  }
  EXPECT_EQ(right, 4500);
}

}  // namespace
}  // namespace time_chaos::test
