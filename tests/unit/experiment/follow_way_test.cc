// What an agent says of how it finds those who come later, and how others read it.
#include "agent/experiment/follow_way.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "agent/experiment/report.h"

namespace time_chaos::experiment {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const FollowWay kByBpf{"--name payments", FollowWay::How::kBpf, "", false};
const FollowWay kByEvents{"--cgroup /sys/fs/cgroup/a", FollowWay::How::kEvents, "", true};
const FollowWay kLooks{"--name a", FollowWay::How::kLooks, "kernel events need CAP_NET_ADMIN",
                       false};

TEST(FollowWay, IsSaidInOneLine) {
  EXPECT_EQ(text(kByBpf), "--name payments is followed by bpf, from the first instruction on");
  EXPECT_EQ(
      text(kByEvents),
      "--cgroup /sys/fs/cgroup/a is followed by kernel events; what is moved into it is found "
      "within 1s");
  EXPECT_EQ(text(kLooks), "--name a is looked for every 1s: kernel events need CAP_NET_ADMIN");
}

TEST(FollowWay, AsJson) {
  EXPECT_EQ(json(kByBpf)["by"], "bpf");
  EXPECT_TRUE(json(kByBpf)["period_ms"].is_null());
  EXPECT_EQ(json(kByEvents)["by"], "events");
  EXPECT_EQ(json(kByEvents)["period_ms"], 1000);
  EXPECT_EQ(json(kLooks)["by"], "looks");
  EXPECT_EQ(json(kLooks)["why"], "kernel events need CAP_NET_ADMIN");
  EXPECT_EQ(appeared_json(7, "svc", "--name svc", true)["by"], "bpf");
  EXPECT_EQ(appeared_text(7, "svc", "--name svc", false), "7 svc has come by --name svc");
}

TEST(FollowWay, IsReadFromTheAgentAsLongAsItIsThere) {
  EXPECT_THAT(published(::getpid()), IsEmpty());
  {
    const ScopedFd notice = publish({kByBpf, kLooks});
    ASSERT_TRUE(notice.valid());
    EXPECT_THAT(published(::getpid()), ElementsAre(text(kByBpf), text(kLooks)));
  }
  EXPECT_THAT(published(::getpid()), IsEmpty());
  // It is another process's to write, and printed on a terminal.
  const ScopedFd odd = publish({{"--name \033[2J", FollowWay::How::kBpf, "", false}});
  ASSERT_EQ(published(::getpid()).size(), 1U);
  EXPECT_EQ(published(::getpid()).front().find('\033'), std::string::npos);
  EXPECT_THAT(published(0), IsEmpty());
}

}  // namespace
}  // namespace time_chaos::experiment
