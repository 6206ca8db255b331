// The runtime's own stages are told from the container's program by what /proc says of them.
#include "agent/targets/starting.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "agent/targets/process.h"
#include "tests/unit/targets/child.h"

namespace time_chaos::targets {
namespace {

using std::string_literals::operator""s;

TEST(ContainerInit, InEveryFormThatRuntimesHave) {
  const ProgramFacts cases[] = {
      {"runc:[2:INIT]", "/usr/sbin/runc", "runc\0init\0"s},
      {"runc:[2:INIT]", "", ""},  // not for us to read
      {"runc:[1:CHILD]", "/usr/bin/runc", "runc\0init\0"s},
      {"6", "/memfd:runc_cloned:/proc/self/exe (deleted)", "runc\0init\0"s},
      {"exe", "/runc (deleted)", "/proc/self/exe\0init\0"s},
      {"runc", "/usr/local/sbin/runc", "runc\0init\0"s},
      {"exe", "", "/usr/bin/runc\0init\0"s},
      {"crun", "/usr/bin/crun", "/usr/bin/crun\0create\0"s},
      {"3", "/memfd:crun_cloned:/proc/self/exe (deleted)", ""},
      {"youki:[2:INIT]", "/usr/bin/youki", ""},
  };
  for (const ProgramFacts& facts : cases) {
    EXPECT_TRUE(is_container_init(facts)) << facts.comm << " " << facts.executable;
  }
}

TEST(ContainerInit, IsNotTheContainersProgram) {
  const ProgramFacts cases[] = {
      {"python3", "/usr/bin/python3.11", "python3\0init\0"s},
      {"runcommand", "/app/runcommand", "/app/runcommand\0init\0"s},
      {"init", "/sbin/init", "/sbin/init\0"s},
      {"app", "", "runc\0"s},
      {"app", "/memfd:app (deleted)", "app\0"s},
      {"", "", ""},
  };
  for (const ProgramFacts& facts : cases) {
    EXPECT_FALSE(is_container_init(facts)) << facts.comm << " " << facts.executable;
  }
  EXPECT_FALSE(is_container_init(::getpid()));
}

}  // namespace
}  // namespace time_chaos::targets
