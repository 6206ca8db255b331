// Install and restore while other threads, signal handlers and children read the clock.
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <cstdlib>
#include <set>
#include <string>

#include "agent/library/layers.h"
#include "agent/vdso/jump.h"
#include "tests/unit/library/library_test.h"

namespace time_chaos::test {
namespace {

class ThreadsTest : public LibraryTest {};

// Real time or an hour more, and nothing else. All three functions.
bool possible(int64_t at) {
  const int64_t off = at - real();
  return std::abs(off) < kSlack || std::abs(off - kHour) < kSlack;
}

bool read_all() {
  timespec ts{};
  timeval tv{};
  ::clock_gettime(CLOCK_REALTIME, &ts);
  ::gettimeofday(&tv, nullptr);
  return possible(nanoseconds(ts)) && possible(tv.tv_sec * kSecond) &&
         possible(::time(nullptr) * kSecond);
}

// An emulator takes long for each.
int cycles() {
  return vdso::may_run_stale_code() ? 5 : 1000;
}

int hour_more(clockid_t clock, timespec* into, const tc_original* original, void*) {
  const int result = original->clock_gettime(clock, into);
  if (result == 0 && clock == CLOCK_REALTIME) into->tv_sec += 3600;
  return result;
}

TEST_F(ThreadsTest, ThousandCyclesUnderEightHotThreads) {
  Readers readers(8, read_all);
  tc_functions functions{};
  functions.clock_gettime = hour_more;
  const tc_clock hour = by(3600);
  for (int i = 0; i < cycles(); i++) {
    tc_layer layer = 0;
    if (i % 4 != 0) {
      ASSERT_TC_OK(tc_install_map(&hour, &layer));
    } else {
      ASSERT_TC_OK(tc_install(&functions, nullptr, &layer));
    }
    ASSERT_TC_OK(tc_restore(layer));
  }
  readers.stop();
  EXPECT_EQ(readers.wrong(), 0U);
  EXPECT_GT(readers.readings(), 1000U);
}

// Where the kernel puts a program's vDSO, and what lies around it, is chance: one that it has put
// badly gives the test to a program that is started anew, and is put somewhere else.
void try_another_layout() {
  constexpr int kMost = 8;
  const char* const tries = std::getenv("TIME_CHAOS_TEST_TRIES");
  const int tried = tries == nullptr ? 0 : std::atoi(tries);
  ASSERT_LT(tried, kMost) << "no layout has a place for it";
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  const std::string command = "TIME_CHAOS_TEST_TRIES=" + std::to_string(tried + 1) +
                              " exec /proc/" + std::to_string(::getpid()) +
                              "/exe --gtest_filter=" + test->test_suite_name() + "." + test->name();
  EXPECT_EQ(std::system(command.c_str()), 0);  // NOLINT
}

// The other ways to patch. Which functions have them depends on the vDSO.
class WaysTest : public ThreadsTest, public ::testing::WithParamInterface<library::Choice> {};

TEST_P(WaysTest, UnderHotThreads) {
  using library::Function;
  auto detour = library::Detour::lay_out(GetParam());
  if (!detour && detour.error().kind() == Exit::kUnsupported) return try_another_layout();
  ASSERT_TRUE(detour) << detour.error().line();
  std::vector<Function> functions;
  for (const Function function :
       {Function::kClockGettime, Function::kGettimeofday, Function::kTime}) {
    const auto& way = detour->way(function);
    if (!way || (GetParam() == library::Choice::kWords && way->pad != 0)) continue;
    functions.push_back(function);
  }
  if (functions.empty()) GTEST_SKIP() << "no function of this vDSO has such a way";
  Readers readers(4, read_all);
  for (int i = 0; i < cycles(); i++) {
    for (const auto function : functions) ASSERT_TRUE(detour->patch(function));
    for (const auto function : functions) ASSERT_TRUE(detour->unpatch(function));
  }
  readers.stop();
  EXPECT_EQ(readers.wrong(), 0U);
  ASSERT_TRUE(detour->release());
  // Once more with a shift, to see that the jumps are taken.
  for (const auto function : functions) ASSERT_TRUE(detour->patch(function));
  tc_clock_page& page = detour->page();
  const auto shift_by = [&](int64_t seconds) {
    for (auto* maps : {page.maps0, page.maps1}) maps[CLOCK_REALTIME].fake_sec = seconds;
  };
  shift_by(3600);
  timespec ts{};
  timeval tv{};
  ::clock_gettime(CLOCK_REALTIME, &ts);
  ::gettimeofday(&tv, nullptr);
  const int64_t seconds = ::time(nullptr);
  shift_by(0);
  for (const auto function : functions) {
    int64_t got = ts.tv_sec;
    if (function == Function::kTime) got = seconds;
    if (function == Function::kGettimeofday) got = tv.tv_sec;
    EXPECT_LT(std::abs(got * kSecond - real() - kHour), kSlack)
        << library::kSymbols[index(function)];
    ASSERT_TRUE(detour->unpatch(function));
  }
  ASSERT_TRUE(detour->release());
}

INSTANTIATE_TEST_SUITE_P(Choices, WaysTest,
                         ::testing::Values(library::Choice::kWords, library::Choice::kBehindEntry));

std::atomic<uint64_t> signals{0};
std::atomic<uint64_t> wrong_in_signals{0};

TEST_F(ThreadsTest, SignalHandlersAtAKilohertz) {
  signals = wrong_in_signals = 0;
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) {
    signals++;
    if (!read_all()) wrong_in_signals++;
  };
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(::sigaction(SIGALRM, &action, &before), 0);
  const itimerval kilohertz{{0, 1000}, {0, 1000}};
  ASSERT_EQ(::setitimer(ITIMER_REAL, &kilohertz, nullptr), 0);
  {
    Readers readers(2, read_all);
    tc_functions functions{};
    functions.clock_gettime = hour_more;
    const tc_clock hour = by(3600);
    for (int i = 0; signals < 200 && i < 20 * cycles(); i++) {
      tc_layer layer = 0;
      ASSERT_TC_OK(tc_install_map(&hour, &layer));
      tc_layer over = 0;
      ASSERT_TC_OK(tc_install(&functions, nullptr, &over));
      ASSERT_TRUE(read_all());
      ASSERT_TC_OK(tc_restore(layer));
      ASSERT_TC_OK(tc_restore(over));
    }
    readers.stop();
    EXPECT_EQ(readers.wrong(), 0U);
  }
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  EXPECT_GE(signals, 100U);
  EXPECT_EQ(wrong_in_signals, 0U);
}

// A child has a stack of its own, also when it was forked in the middle of changes and callbacks.
TEST_F(ThreadsTest, ForkedChildren) {
  tc_functions functions{};
  functions.clock_gettime = hour_more;
  tc_layer layer = 0;
  ASSERT_TC_OK(tc_install(&functions, nullptr, &layer));
  Readers readers(3, read_all);
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    const tc_clock hour = by(3600);
    while (!stop) {
      tc_layer another = 0;
      if (tc_install_map(&hour, &another) != TC_OK || tc_restore(another) != TC_OK) break;
    }
  });
  for (int i = 0; i < 30; i++) {
    const pid_t child = ::fork();
    if (child == 0) {
      bool good = std::abs(shift() - kHour) < kSlack;
      good = good && tc_restore_all() == TC_OK && std::abs(shift()) < kSlack;
      good = good && tc_install(&functions, nullptr, &layer) == TC_OK;
      good = good && std::abs(shift() - kHour) < kSlack;
      ::_exit(good ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
  }
  stop = true;
  changer.join();
  readers.stop();
  EXPECT_EQ(readers.wrong(), 0U);
  EXPECT_LT(std::abs(shift() - kHour), kSlack);  // no child has changed it
}

// What newer systems do with the vDSO: its protection cannot be changed.
TEST_F(ThreadsTest, ASealedVdso) {
  constexpr long kMseal = 462;
  const pid_t child = ::fork();
  if (child == 0) {
    uint64_t begin = 0;
    uint64_t end = 0;
    (void)std::sscanf(maps_line("[vdso]").c_str(), "%lx-%lx", &begin, &end);
    if (::syscall(kMseal, begin, end - begin, 0) != 0) ::_exit(errno == ENOSYS ? 77 : 1);
    tc_layer layer = 0;
    const tc_clock hour = by(3600);
    const tc_status status = tc_install_map(&hour, &layer);
    if (status == TC_ERROR_PERMISSION) {  // a function has no one-byte way
      const bool said = std::string(tc_message()).find("sealed") != std::string::npos;
      ::_exit(said && vdso_bytes() == before_ && std::abs(shift()) < kSlack ? 0 : 1);
    }
    bool good = status == TC_OK && std::abs(shift() - kHour) < kSlack;
    good = good && tc_restore(layer) == TC_OK && vdso_bytes() == before_;
    ::_exit(good ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "this kernel has no mseal";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace time_chaos::test
