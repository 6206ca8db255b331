// When an agent ends whose containers are gone.
#include "agent/experiment/followers.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/targets/child.h"
#include "tests/unit/targets/groups.h"

namespace time_chaos::experiment {
namespace {

using std::chrono::milliseconds;
using time_chaos::testing::Child;

constexpr milliseconds kPatience{100};

Followers followers(const std::string& container, const std::string& pod) {
  Selection selection;
  selection.containers.push_back({container, pod});
  return Followers::listen(selection, selection.selectors().value());
}

void outlast_patience() {
  std::this_thread::sleep_for(kPatience + milliseconds{50});
}

TEST(FollowersOver, WhenNobodyHasComeForLongEnough) {
  Followers waiting = followers("no-such-container", "");
  EXPECT_FALSE(waiting.over(false, kPatience));
  EXPECT_FALSE(waiting.over(true, kPatience)) << "it may be started again";
  outlast_patience();
  EXPECT_FALSE(waiting.over(false, kPatience)) << "as it was";
  EXPECT_FALSE(waiting.over(true, kPatience)) << "its next end is another";
  outlast_patience();
  EXPECT_TRUE(waiting.over(true, kPatience));
}

TEST(FollowersOver, NotWhileItsPodLives) {
  test::Groups groups;
  if (!groups.made()) GTEST_SKIP() << "no control group can be made here";
  const std::string uid = fmt::format("{:08x}-dddd-4aaa-9bbb-dccccccccccd", ::getpid());
  Child pause;
  const std::string pod = groups.make("pod" + uid);
  const std::string group =
      groups.make(pod.substr(pod.rfind('/') + 1) + "/" + std::string(64, 'd'));
  ASSERT_TRUE(test::Groups::add(group, pause.pid()));
  Followers waiting = followers("app", uid);
  EXPECT_FALSE(waiting.over(true, kPatience));
  outlast_patience();
  EXPECT_FALSE(waiting.over(true, kPatience)) << "the kubelet may start app again";
  pause.end();
  EXPECT_FALSE(waiting.over(true, kPatience)) << "patience begins with the end of the pod";
  outlast_patience();
  EXPECT_TRUE(waiting.over(true, kPatience));
}

TEST(FollowersOver, NeverWithANameThatMayComeAtAnyTime) {
  Selection selection;
  selection.names = {"no-such-name-x"};
  selection.containers.push_back({"no-such-container", ""});
  Followers waiting = Followers::listen(selection, selection.selectors().value());
  EXPECT_FALSE(waiting.over(true, milliseconds{0}));
  outlast_patience();
  EXPECT_FALSE(waiting.over(true, milliseconds{0}));
}

}  // namespace
}  // namespace time_chaos::experiment
