// Monotonic clocks go forwards only: at attach, at set, at recover, and when a lease ends.
#include <thread>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

// How far the target's CLOCK_MONOTONIC is ahead, judged by its raw CLOCK_REALTIME.
Result<Nanoseconds> ahead(Child& target) {
  // Output that was under way is discarded: its mono cannot tell old from new here.
  const int64_t since = host_ns(CLOCK_REALTIME);
  for (;;) {
    TC_TRY(const Reading reading, next_reading(target, 0));
    if (reading.ns("raw") < since) continue;
    return Nanoseconds{reading.ns("mono") - (reading.ns("raw") - host_distance_ns(CLOCK_REALTIME))};
  }
}

bool near(Nanoseconds value, Nanoseconds expected) {
  return std::chrono::abs(value - expected) <= kReadingTolerance;
}

const Arguments kMonotonic = {"--clocks", "monotonic"};

TEST(Monotonic, StaysAheadAfterRecover) {
  const ClockTarget& target = clock_target("glibc");
  SKIP_IF_MISSING(target);
  ASSERT_VALUE(Child child, start_clock_target(target));
  ASSERT_VALUE(const auto shifted, shift_detached(child.pid(), "1h", kMonotonic));
  ASSERT_VALUE(const Nanoseconds there, ahead(child));
  EXPECT_TRUE(near(there, hours{1})) << there.count();
  ASSERT_VALUE(const auto set, set_offset(child.pid(), "2h", kMonotonic));
  ASSERT_VALUE(const Nanoseconds further, ahead(child));
  EXPECT_TRUE(near(further, hours{2})) << further.count();
  ASSERT_VALUE(const auto recovered, recover_target(child.pid()));
  EXPECT_THAT(member(recovered, "kept_clocks").dump(), testing::HasSubstr("monotonic"));
  ASSERT_VALUE(const Nanoseconds kept, ahead(child));
  EXPECT_TRUE(near(kept, hours{2})) << kept.count();
}

TEST(Monotonic, BackwardSetIsRefused) {
  const ClockTarget& target = clock_target("glibc");
  SKIP_IF_MISSING(target);
  ASSERT_VALUE(Child child, start_clock_target(target));
  ASSERT_VALUE(const auto shifted, shift_detached(child.pid(), "2h", kMonotonic));
  ASSERT_PROGRAM(
      outcome, 2,
      {"set", "--pid", std::to_string(child.pid()), "--offset", "1h", "--clocks", "monotonic"});
  EXPECT_TRUE(is_one_error_line(outcome.err));
  EXPECT_THAT(outcome.err, testing::HasSubstr("monotonic"));
  ASSERT_VALUE(const Nanoseconds still, ahead(child));
  EXPECT_TRUE(near(still, hours{2})) << still.count();
}

// Eight threads look for a backward step in every reading, through a whole life of experiments.
TEST(Monotonic, NoThreadSeesABackwardStep) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"8"}));
  hot.allow({});
  int offset = 0;
  for (int i = 0; i < 10; ++i) {
    const auto next = [&] { return std::to_string(++offset) + "h"; };
    ASSERT_VALUE(const auto shifted, shift_detached(hot.pid(), next(), kMonotonic));
    ASSERT_VALUE(const auto set, set_offset(hot.pid(), next(), kMonotonic));
    ASSERT_VALUE(const auto recovered, recover_target(hot.pid()));
    ASSERT_STATUS(hot.progress(64));
    ASSERT_STATUS(hot.healthy());
  }
}

TEST(Monotonic, NoBackwardStepWhenALeaseEnds) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"4"}));
  hot.allow({});
  ASSERT_VALUE(
      const auto shifted,
      shift_detached(hot.pid(), "1h", {"--clocks", "realtime,monotonic", "--lease", "1s"}));
  std::this_thread::sleep_for(Milliseconds{2000});
  ASSERT_STATUS(hot.progress(1000));
  EXPECT_STATUS(hot.healthy());
}

// The default leaves CLOCK_MONOTONIC alone.
TEST(Monotonic, IsNotShiftedByDefault) {
  const ClockTarget& target = clock_target("glibc");
  SKIP_IF_MISSING(target);
  ASSERT_VALUE(Child child, start_clock_target(target));
  ASSERT_VALUE(const auto shifted, shift_detached(child.pid(), "1h"));
  ASSERT_VALUE(const Nanoseconds there, ahead(child));
  EXPECT_TRUE(near(there, hours{0})) << there.count();
}

}  // namespace
}  // namespace time_chaos::live
