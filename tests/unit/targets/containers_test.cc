// Which processes a container's or a pod's name means, look after look. The control groups are
// real, what a runtime keeps about them stands in a directory of the test.
#include "agent/targets/containers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <list>

#include "tests/unit/targets/child.h"
#include "tests/unit/targets/groups.h"

namespace time_chaos::targets {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using time_chaos::testing::Child;

// What no other test and no container here is called.
std::string own(const std::string& word) {
  return fmt::format("{}{:08x}", word, ::getpid());
}
std::string id_of(const std::string& beginning) {
  const std::string id = own(beginning);
  return id + std::string(64 - id.size(), '7');
}
std::string uid_of(char kind) {
  return fmt::format("{0:08x}-{1}{1}{1}{1}-4aaa-9bbb-{1}cccccccccc{1}", ::getpid(), kind);
}

class Found : public ::testing::Test {
 protected:
  struct Container {
    std::string group;
    Child child;
    [[nodiscard]] pid_t pid() const { return child.pid(); }
  };

  void SetUp() override {
    if (!groups_.made()) GTEST_SKIP() << "no control group can be made here";
    fs::remove_all(root_);
  }
  void TearDown() override {
    containers_.clear();
    fs::remove_all(root_);
  }

  // `pod`: "namespace/name", and its UID, or nothing.
  Container& start(const std::string& id, const std::string& name, const std::string& pod = "",
                   const std::string& uid = "") {
    const std::string bundle = root_ + "/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + id;
    fs::create_directories(bundle);
    std::ofstream(bundle + "/config.json") << fmt::format(
        R"({{"annotations": {{"io.kubernetes.cri.container-name": "{}",
            "io.kubernetes.cri.sandbox-namespace": "{}", "io.kubernetes.cri.sandbox-name": "{}",
            "io.kubernetes.cri.sandbox-uid": "{}"}}}})",
        name, pod.substr(0, pod.find('/')), pod.substr(pod.find('/') + 1), uid);
    Container& made = containers_.emplace_back();
    made.group = groups_.make("cri-containerd-" + id + ".scope");
    EXPECT_TRUE(groups_.add(made.group, made.pid()));
    return made;
  }
  Containers containers(const std::string& container, const std::string& pod = "",
                        bool whole = false) {
    return Containers({container, pod, whole}, {root_});
  }

 private:
  test::Groups groups_;
  std::string root_ = ::testing::TempDir() + own("tc-containers-");
  std::list<Container> containers_;
};

#define EXPECT_FOUND(containers, matcher) EXPECT_THAT((containers).processes().value(), matcher)

TEST_F(Found, AWholeNameIsNotWhatOnlyBeginsSo) {
  Container& proxy = start(id_of("a1"), own("app") + "-proxy");
  Container& app = start(id_of("a2"), own("app"));
  Containers named = containers(own("app"));
  EXPECT_FOUND(named, ElementsAre(app.pid()));
  app.child.end();
  EXPECT_FOUND(named, IsEmpty()) << "its neighbour is another";
  const Container& restarted = start(id_of("a3"), own("app"));
  EXPECT_FOUND(named, ElementsAre(restarted.pid()));
  Containers whole = containers(own("app") + "-pro", "", true);
  EXPECT_FOUND(whole, IsEmpty()) << "asked for as a whole name";
  Containers beginning = containers(own("app") + "-pro");
  EXPECT_FOUND(beginning, ElementsAre(proxy.pid()));
}

// As --wait does it: it may come after its neighbour.
TEST_F(Found, AWholeNameWinsAlsoWhenItComesLater) {
  const Container& proxy = start(id_of("a1"), own("app") + "-proxy");
  Containers named = containers(own("app"));
  EXPECT_FOUND(named, ElementsAre(proxy.pid())) << "nothing else is known of";
  Container& app = start(id_of("a2"), own("app"));
  EXPECT_FOUND(named, ElementsAre(app.pid()));
  app.child.end();
  EXPECT_FOUND(named, IsEmpty());
}

TEST_F(Found, ABeginningMeansTheNamesThatItFoundAtFirst) {
  Container& first = start(id_of("a1"), own("web") + "-1");
  Containers named = containers(own("web"));
  EXPECT_FOUND(named, ElementsAre(first.pid()));
  start(id_of("a2"), own("web") + "-2");
  EXPECT_FOUND(named, ElementsAre(first.pid()));
  first.child.end();
  EXPECT_FOUND(named, IsEmpty());
  const Container& restarted = start(id_of("a3"), own("web") + "-1");
  EXPECT_FOUND(named, ElementsAre(restarted.pid()));
}

TEST_F(Found, AWholeNameThatCouldBeginAnId) {
  const Container& other = start(id_of(own("cafe")), own("bar"));
  Container& cafe = start(id_of("a1"), own("cafe"));
  Containers named = containers(own("cafe"));
  EXPECT_FOUND(named, ElementsAre(cafe.pid()));
  cafe.child.end();
  EXPECT_FOUND(named, IsEmpty()) << "nor does an id take over later";
  Containers by_id = containers(own("cafe"));
  EXPECT_FOUND(by_id, ElementsAre(other.pid())) << "who asks now means the id";
  start(id_of("a2"), own("cafe"));
  EXPECT_FOUND(by_id, ElementsAre(other.pid())) << "and keeps to it";
}

TEST_F(Found, AnIdWinsOverABeginning) {
  const Container& by_id = start(id_of(own("cafe")), own("bar"));
  start(id_of("a1"), own("cafe") + "-1");
  Containers named = containers(own("cafe"));
  EXPECT_FOUND(named, ElementsAre(by_id.pid()));
}

TEST_F(Found, ABeginningOfANameIsNotTakenForAnIdLater) {
  const Container& first = start(id_of("a1"), own("cafe") + "-1");
  Containers named = containers(own("cafe"));
  EXPECT_FOUND(named, ElementsAre(first.pid()));
  start(id_of(own("cafe")), own("bar"));
  EXPECT_FOUND(named, ElementsAre(first.pid()));
}

// The kubelet starts a container again under another id.
TEST_F(Found, AnIdMeansItsContainerAlsoWhenThatIsRestarted) {
  const std::string pod = "shop/" + own("payments");
  Container& first = start(id_of(own("b")), own("app"), pod, uid_of('d'));
  start(id_of("a1"), own("app"), "shop/" + own("mail"), uid_of('e'));
  start(id_of("a2"), own("proxy"), pod, uid_of('d'));
  Containers named = containers(own("b"));
  EXPECT_FOUND(named, ElementsAre(first.pid()));
  first.child.end();
  EXPECT_FOUND(named, IsEmpty());
  const Container& again = start(id_of("a3"), own("app"), pod, uid_of('d'));
  EXPECT_FOUND(named, ElementsAre(again.pid()));
}

TEST_F(Found, APodByNamespaceAndName) {
  const std::string pod = "shop/" + own("payments");
  const Container& app = start(id_of("a1"), own("app"), pod, uid_of('d'));
  const Container& proxy = start(id_of("a2"), own("proxy"), pod, uid_of('d'));
  start(id_of("a3"), own("app"), "mail/" + own("payments"), uid_of('e'));
  start(id_of("a4"), own("app"));
  for (const std::string& name : {pod, uid_of('d')}) {
    Containers all = containers("", name);
    EXPECT_FOUND(all, ::testing::UnorderedElementsAre(app.pid(), proxy.pid())) << name;
    Containers one = containers(own("app"), name);
    EXPECT_FOUND(one, ElementsAre(app.pid())) << name;
  }
  Containers other = containers("", "shop/" + own("pay"));
  EXPECT_FOUND(other, IsEmpty()) << "no beginnings of pods";
}

TEST_F(Found, APodLivesAsLongAsAnythingOfIt) {
  const std::string pod = "shop/" + own("payments");
  Container& app = start(id_of("a1"), own("app"), pod, uid_of('d'));
  Container& pause = start(id_of("a2"), own("pause"), pod, uid_of('d'));
  Containers named = containers(own("app"), pod);
  EXPECT_FOUND(named, ElementsAre(app.pid()));
  app.child.end();
  EXPECT_EQ(named.pod_lives(), std::optional(true));
  pause.child.end();
  EXPECT_EQ(named.pod_lives(), std::optional(false));
  Containers alone = containers(own("app"));
  EXPECT_EQ(alone.pod_lives(), std::nullopt);
}

}  // namespace
}  // namespace time_chaos::targets
