// What an experiment may be called.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/experiment/request.h"

namespace time_chaos::experiment {
namespace {

TEST(NameOf, IsMadeUpWhereNoneIsGiven) {
  const auto name = name_of({});
  ASSERT_TRUE(name);
  EXPECT_THAT(*name, ::testing::StartsWith("tc-" + std::to_string(::getpid()) + "-"));
  EXPECT_LT(name->size(), size_t{TC_EXPERIMENT_NAME_MAX});
  EXPECT_EQ(name_of({*name}).value(), *name) << "valid itself";
}

TEST(NameOf, TakesPlainNames) {
  for (const std::string name : {"a", "chaos-2030_b.7", "-"}) {
    EXPECT_EQ(name_of({name}).value(), name);
  }
  const std::string longest(TC_EXPERIMENT_NAME_MAX - 1, 'x');
  EXPECT_EQ(name_of({longest}).value(), longest);
}

TEST(NameOf, RefusesTheRest) {
  for (const std::string& name :
       {std::string(), std::string("a b"), std::string("a/b"), std::string("a\n"),
        std::string("\xc3\xa4"), std::string("a\0b", 3),
        std::string(TC_EXPERIMENT_NAME_MAX, 'x')}) {
    const auto refused = name_of({name});
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().kind(), Exit::kUsage);
    EXPECT_FALSE(refused.error().remedy().empty());
  }
  EXPECT_EQ(name_of({"a", "b"}).error().kind(), Exit::kUsage);
}

}  // namespace
}  // namespace time_chaos::experiment
