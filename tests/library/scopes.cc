// A C++ program with the installed library: every class of time_chaos.hpp. Prints "ok", or what was
// wrong.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <time_chaos/time_chaos.hpp>

using namespace std::chrono_literals;
using Clock = std::chrono::system_clock;

namespace {

Clock::time_point real() {
  timespec now{};
  tc_originals()->clock_gettime(CLOCK_REALTIME, &now);
  return Clock::time_point(std::chrono::seconds(now.tv_sec) +
                           std::chrono::nanoseconds(now.tv_nsec));
}

bool off_by(std::chrono::seconds by) {
  return std::chrono::abs(Clock::now() - real() - by) < 20s;
}

void check(bool good, const char* what, const std::string& message = {}) {
  if (good) return;
  std::printf("%s: %s\n", what, message.c_str());
  std::exit(EXIT_FAILURE);
}
#define CHECK(what) check(what, #what)

void freezes() {
  const auto date = Clock::from_time_t(1893456000);
  time_chaos::Freezer clock(date + 250ms);
  check(bool(clock), "Freezer", clock.message());
  CHECK(Clock::now() == date + 250ms);
  CHECK(clock.tick() == TC_OK && Clock::now() == date + 1250ms);
  CHECK(clock.tick(-2s) == TC_OK && Clock::now() == date - 750ms);
  CHECK(clock.move_to(date) == TC_OK && Clock::now() == date && clock.shown() == date);
  CHECK(clock.move_to(Clock::from_time_t(-1)) == TC_ERROR_INVALID);
  CHECK(!clock.message().empty() && Clock::now() == date);
  {
    time_chaos::Freezer inner(date + 24h);
    std::thread([&] { CHECK(Clock::now() == date + 24h); }).join();
  }
  CHECK(Clock::now() == date);
  time_chaos::Freezer moved(std::move(clock));
  CHECK(!clock && moved && Clock::now() == date);
  CHECK(moved.restore() == TC_OK && moved.restore() == TC_OK && off_by(0s));
  time_chaos::Freezer now;
  const auto at = Clock::now();
  std::this_thread::sleep_for(2ms);
  CHECK(now && Clock::now() == at && now.shown() == at);
}

void runs() {
  {
    time_chaos::Shift shift(-1h);
    CHECK(shift && off_by(-3600s));
    CHECK(shift.move_to(2h) == TC_OK && off_by(7200s));
    time_chaos::Rate rate(0);
    CHECK(rate && off_by(7200s) && rate.change_to(1) == TC_OK);
    time_chaos::Map refused(tc_clock{1U << 20, TC_FROM_NOW, {0, 0}, 1, 0, 0});
    CHECK(!refused && refused.status() == TC_ERROR_INVALID);
  }
  CHECK(off_by(0s));
  int calls = 0;
  {
    time_chaos::ClockGettime later(
        [&](clockid_t clock, timespec& into, const tc_original& original) {
          calls++;
          const int result = original.clock_gettime(clock, &into);
          into.tv_sec += 3600;
          return result;
        });
    check(bool(later), "ClockGettime", later.message());
    CHECK(off_by(3600s));
  }
  CHECK(calls > 0 && off_by(0s));
}

}  // namespace

int main() {
  freezes();
  runs();
  CHECK(off_by(0s));
  std::puts("ok");
}
