// Code that a thread may still come back to stays mapped after the undoing, inert, and is used
// again by the next attach.
#include <gtest/gtest.h>
#include <linux/futex.h>

#include "agent/vdso/attach.h"
#include "tests/unit/vdso/hot_child.h"

namespace time_chaos::vdso {
namespace {

using test::eventually;
using test::HotChild;
using test::kHour;

// A thread that, once told a word, keeps it in its frame, asleep, until it is told another; as one
// does that was interrupted by a signal inside our code and waits in the handler.
void keep_words(test::HotReport& report) {
  for (;;) {
    while (report.word == 0) std::this_thread::sleep_for(test::milliseconds(1));
    volatile uint64_t kept = report.word;
    report.parked = true;
    while (report.word == kept) {  // a futex is 32 bits: the lower half, which differs
      ::syscall(SYS_futex, &report.word, FUTEX_WAIT, static_cast<uint32_t>(kept), nullptr);
    }
    kept = 0;
    report.parked = false;
  }
}

TEST(Inert, IsFoundReusedAndRemovedWhenItsThreadHasLeft) {
  test::Shared<test::HotReport> report;
  const test::FreshChild child([&] {
    test::start_thread_on_fresh_stack([&] { keep_words(*report); });
    test::read_hot(*report);
  });
  const pid_t pid = child.pid();
  ASSERT_TRUE(eventually([&] { return report->reads > 100; }));
  const test::Looks before = test::looks(pid);
  const auto attached = test::shift(pid);
  ASSERT_TRUE(attached) << attached.error().line();
  report->word = attached->code + 0x40;
  ASSERT_TRUE(eventually([&] { return report->parked.load(); }));

  const auto begin = std::chrono::steady_clock::now();
  const auto recovered = test::undo(pid);
  const auto took = std::chrono::steady_clock::now() - begin;
  RecordProperty("recover_ms", static_cast<int>(took / std::chrono::milliseconds(1)));
  ASSERT_TRUE(recovered) << recovered.error().line();
  EXPECT_TRUE(recovered->bytes_restored);
  EXPECT_FALSE(recovered->unmapped);
  EXPECT_FALSE(recovered->still_mapped_because.empty());
  auto found = find_experiment(pid);
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->state, State::kInert);
  ASSERT_TRUE(eventually([&] { return report->gettime == 0 && report->time == 0; }));

  const auto reused = reuse(pid, **found, {}, test::hour_ahead(), test::name_it);
  ASSERT_TRUE(reused) << reused.error().line();
  EXPECT_EQ(reused->code, attached->code);
  ASSERT_TRUE(eventually([&] { return report->gettime == kHour && report->time == kHour; }));
  found = find_experiment(pid);
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->state, State::kShifted);

  report->word = 0;
  ::syscall(SYS_futex, &report->word, FUTEX_WAKE, 1);
  ASSERT_TRUE(eventually([&] { return !report->parked; }));
  const auto again = test::undo(pid);
  ASSERT_TRUE(again) << again.error().line();
  EXPECT_TRUE(again->unmapped) << again->still_mapped_because;
  EXPECT_EQ(test::looks(pid), before);
  EXPECT_EQ(report->wild, 0U);
}

TEST(Inert, CodeOfAnotherVersionIsNotReused) {
  HotChild child;
  const auto attached = test::shift(child.pid());
  ASSERT_TRUE(attached);
  auto found = find_experiment(child.pid());
  ASSERT_TRUE(found && *found);
  auto memory = tracee::Memory::open(child.pid());
  // As after an undoing that left the code; and then, code that this agent would not have written.
  for (const auto& patch : (*found)->patches()) {
    ASSERT_TRUE(memory->write(patch.entry, {patch.original, patch.length}));
  }
  ASSERT_TRUE(memory->write_value(attached->code + payload::original_offset() - 1, uint8_t{0x77}));
  found = find_experiment(child.pid());
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->state, State::kInert);
  const auto reused = reuse(child.pid(), **found, {}, test::hour_ahead(), test::name_it);
  ASSERT_FALSE(reused);
  EXPECT_NE(reused.error().line().find("another version"), std::string::npos);
  EXPECT_TRUE(child.reads(0));
}

}  // namespace
}  // namespace time_chaos::vdso
