// The kernel's process events: the parser on made-up messages, and the real thing where it is
// offered.
#include "agent/targets/process_events.h"

#include <gtest/gtest.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "agent/targets/arrivals.h"
#include "child.h"

namespace time_chaos::targets {
namespace {

using Kind = ProcessEvent::Kind;
using testing::Child;

std::vector<uint8_t> message(uint32_t what, uint32_t first, uint32_t second, uint32_t ack = 0) {
  std::vector<uint8_t> bytes(sizeof(nlmsghdr) + sizeof(cn_msg) + 40);
  cn_msg connector{};
  connector.id = {CN_IDX_PROC, CN_VAL_PROC};
  connector.ack = ack;
  std::memcpy(bytes.data() + sizeof(nlmsghdr), &connector, sizeof connector);
  const size_t event = sizeof(nlmsghdr) + sizeof connector;
  std::memcpy(bytes.data() + event, &what, sizeof what);
  std::memcpy(bytes.data() + event + 16, &first, sizeof first);
  std::memcpy(bytes.data() + event + 20, &second, sizeof second);
  return bytes;
}

TEST(ProcessEvent, IsParsed) {
  const auto exec = parse_process_event(message(2, 17, 17));
  ASSERT_TRUE(exec);
  EXPECT_EQ(exec->kind, Kind::kExec);
  EXPECT_EQ(exec->pid, 17);
  const auto name = parse_process_event(message(0x200, 18, 18));
  ASSERT_TRUE(name);
  EXPECT_EQ(name->kind, Kind::kName);
  const auto answer = parse_process_event(message(0, 1, 0, 78));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->kind, Kind::kAnswer);
  EXPECT_EQ(answer->answers, 77U);
  EXPECT_EQ(answer->error, 1U);
}

TEST(ProcessEvent, WhatDoesNotMatterIsLeftOut) {
  EXPECT_FALSE(parse_process_event(message(1, 17, 17))) << "a fork";
  EXPECT_FALSE(parse_process_event(message(0x80000000, 17, 17))) << "an end";
  EXPECT_FALSE(parse_process_event(message(0x200, 19, 17))) << "a thread's name";
  auto other = message(2, 17, 17);
  other[sizeof(nlmsghdr)] = 9;  // of another connector
  EXPECT_FALSE(parse_process_event(other));
  const auto whole = message(2, 17, 17);
  for (size_t size = 0; size < sizeof(nlmsghdr) + sizeof(cn_msg) + 24; size++) {
    EXPECT_FALSE(parse_process_event(std::span(whole).first(size))) << size;
  }
}

bool contains(const std::vector<Arrival>& list, pid_t pid) {
  return std::any_of(list.begin(), list.end(), [pid](const auto& a) { return a.pid == pid; });
}

TEST(Arrivals, AreFoundByNameHoweverTheyAreFound) {
  Arrivals arrivals({{"tc-no-such-name", std::nullopt}, {"tc-arrival", std::nullopt}});
  EXPECT_TRUE(arrivals.take(true).empty());
  const Child child([] { return ::prctl(PR_SET_NAME, "tc-arrival"); });
  const auto first = [&] {
    for (int i = 0; i < 500; i++) {
      for (const Arrival& arrival : arrivals.take(!arrivals.by_events())) {
        if (arrival.pid == child.pid()) return std::optional(arrival);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return std::optional<Arrival>();
  }();
  ASSERT_TRUE(first) << arrivals.why_not();
  EXPECT_EQ(first->selector, 1U);
  EXPECT_EQ(first->executed, arrivals.by_events());
  EXPECT_EQ(arrivals.by_events(), arrivals.why_not().empty()) << arrivals.why_not();
  EXPECT_TRUE(contains(arrivals.take(true), child.pid())) << "a look shows all";
  EXPECT_FALSE(contains(arrivals.take(false), child.pid())) << "an event comes once";
}

TEST(Arrivals, SayWhatWasAskedFor) {
  EXPECT_EQ((Selector{"payments", std::nullopt}).text(), "--name payments");
  EXPECT_EQ((Selector{"", Cgroup{"/sys/fs/cgroup/a", 0}}).text(), "--cgroup /sys/fs/cgroup/a");
}

}  // namespace
}  // namespace time_chaos::targets
