// From selectors to processes, on processes that the test made.
#include "agent/experiment/select.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>

#include <algorithm>

#include "agent/vdso/clock_page.h"
#include "tests/unit/vdso/hot_child.h"

namespace time_chaos::experiment {
namespace {

using test::Child;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<pid_t> pids_of(const std::vector<targets::Process>& processes) {
  std::vector<pid_t> pids;
  for (const auto& process : processes) pids.push_back(process.pid());
  return pids;
}

// A name that no other process has.
std::string own_name() {
  return "tc-sel-" + std::to_string(::getpid());
}
Child named_child() {
  return Child([] { ::prctl(PR_SET_NAME, ("tc-sel-" + std::to_string(::getppid())).c_str()); });
}

TEST(Select, NothingSelectedIsUsage) {
  const auto selected = select({});
  ASSERT_FALSE(selected);
  EXPECT_EQ(selected.error().kind(), Exit::kUsage);
  EXPECT_THAT(selected.error().remedy(), HasSubstr("--pid"));
}

TEST(Select, PidsInTheirOrderEachOnce) {
  const Child a;
  const Child b;
  const auto selected = select({{b.pid(), a.pid(), b.pid()}, {}, {}, {}, false});
  ASSERT_TRUE(selected) << selected.error().line();
  EXPECT_EQ(pids_of(*selected), (std::vector<pid_t>{b.pid(), a.pid()}));
}

TEST(Select, NamesAndPidsAddUp) {
  const Child other;
  const Child a = named_child();
  const Child b = named_child();
  std::vector<pid_t> wanted = {other.pid(), b.pid(), a.pid()};
  const auto selected = select({{other.pid(), b.pid()}, {own_name()}, {}, {}, false});
  ASSERT_TRUE(selected) << selected.error().line();
  EXPECT_EQ(pids_of(*selected), wanted);
}

TEST(Select, APidThatIsGoneIsNamed) {
  Child child;
  child.end();
  const auto selected = select({{child.pid()}, {}, {}, {}, false});
  ASSERT_FALSE(selected);
  EXPECT_EQ(selected.error().kind(), Exit::kNoTarget);
  EXPECT_THAT(selected.error().line(), HasSubstr(std::to_string(child.pid())));
}

TEST(Select, ANameThatNobodyHasIsNamed) {
  const auto selected = select({{}, {"no-such-name-x"}, {}, {}, false});
  ASSERT_FALSE(selected);
  EXPECT_EQ(selected.error().kind(), Exit::kNoTarget);
  EXPECT_THAT(selected.error().line(), HasSubstr("no process named no-such-name-x"));
  EXPECT_THAT(selected.error().line(), Not(HasSubstr("--wait"))) << "not every command has it";
  const auto waiting = select({{}, {"no-such-name-x"}, {}, {}, false},
                              Selection{{}, {"no-such-name-x"}, {}, {}, false}.selectors().value(),
                              "wait for it with --wait 30s");
  ASSERT_FALSE(waiting);
  EXPECT_EQ(waiting.error().remedy(), "wait for it with --wait 30s");
}

TEST(SelectCarriers, OneThatCarriesNothingIsLeftOut) {
  const Child child;
  const auto carriers = select_carriers({{child.pid()}, {}, {}, {}, false});
  ASSERT_TRUE(carriers) << carriers.error().line();
  EXPECT_TRUE(carriers->empty());
}

TEST(SelectCarriers, AnUnknownExperimentIsNamed) {
  const auto carriers = select_carriers({{}, {}, {}, {"no-such-experiment"}, false});
  ASSERT_FALSE(carriers);
  EXPECT_EQ(carriers.error().kind(), Exit::kNoTarget);
  EXPECT_THAT(carriers.error().line(), HasSubstr("no experiment named no-such-experiment"));
}

// Other tests may run at the same time: only what this one made is asked about.
TEST(SelectCarriers, FindsByPidByExperimentAndWithoutASelector) {
  test::HotChild child;
  const auto attached = test::shift(child.pid());
  ASSERT_TRUE(attached) << attached.error().line();
  const std::string name = own_name();
  auto page = vdso::ClockPage::open(child.pid(), attached->code + payload::kClockPageOffset);
  ASSERT_TRUE(page && page->publish(test::hour_ahead(), [&](tc_clock_page& header) {
    name.copy(header.experiment, sizeof header.experiment - 1);
    header.experiment[name.size()] = '\0';
  }));
  for (const Selection& selection :
       {Selection{{child.pid()}, {}, {}, {}, false}, Selection{{}, {}, {}, {name}, false},
        Selection{{child.pid()}, {}, {}, {name}, false}}) {
    const auto carriers = select_carriers(selection);
    ASSERT_TRUE(carriers) << carriers.error().line();
    ASSERT_EQ(carriers->size(), 1U);
    EXPECT_EQ(carriers->front().process.pid(), child.pid());
    EXPECT_EQ(carriers->front().experiment(), name);
  }
  for (const Selection& selection : {Selection{}, Selection{{}, {}, {}, {}, true}}) {
    const auto carriers = select_carriers(selection);
    ASSERT_TRUE(carriers) << carriers.error().line();
    EXPECT_EQ(std::count_if(carriers->begin(), carriers->end(),
                            [&](const Carrier& c) { return c.process.pid() == child.pid(); }),
              1);
  }
}

}  // namespace
}  // namespace time_chaos::experiment
