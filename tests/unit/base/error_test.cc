// Errors are what users read: one line, causes in order, the exit code of the innermost failure.
#include "agent/base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace time_chaos {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Error, PrintsTheChainOutermostFirstThenTheRemedy) {
  const Error inner(Exit::kNotPermitted, "already traced by gdb (pid 81)",
                    "detach it and try again");
  const Error outer = inner.because_of("cannot shift 77 (postgres)").because_of("agent");
  EXPECT_EQ(outer.line(),
            "agent: cannot shift 77 (postgres): already traced by gdb (pid 81); detach it and try "
            "again");
  EXPECT_EQ(outer.message(), "agent: cannot shift 77 (postgres): already traced by gdb (pid 81)");
  EXPECT_EQ(inner.message(), "already traced by gdb (pid 81)");
}

TEST(Error, AWiderErrorKeepsTheKindTheRemedyAndTheErrnoOfItsCause) {
  const Error inner = Error::from_errno(EPERM, "open /proc/7/mem").with_remedy("run as root");
  const Error outer = inner.because_of("cannot shift 7");
  EXPECT_EQ(outer.kind(), Exit::kNotPermitted);
  EXPECT_EQ(outer.remedy(), "run as root");
  EXPECT_EQ(outer.error_number(), EPERM);
  EXPECT_EQ(outer.line(), "cannot shift 7: open /proc/7/mem: Operation not permitted; run as root");
}

TEST(Error, WithRemedyReplacesTheRemedyOnly) {
  const Error first(Exit::kUsage, "no", "do a");
  const Error second = first.because_of("wider").with_remedy("do b");
  EXPECT_EQ(second.line(), "wider: no; do b");
  EXPECT_EQ(first.remedy(), "do a");
  EXPECT_EQ(second.kind(), Exit::kUsage);
}

TEST(Error, HasNoRemedyUnlessGiven) {
  EXPECT_EQ(Error(Exit::kFailed, "no").line(), "no");
  EXPECT_EQ(Error(Exit::kFailed, "no").error_number(), 0);
}

TEST(Error, IsOneLineWhateverItIsMadeOf) {
  const Error error = Error::from_errno(ENOENT, "open /tmp/a\nb\r\tc")
                          .because_of("wide\nr")
                          .with_remedy("do\nthis");
  EXPECT_EQ(error.line(), "wide r: open /tmp/a b  c: No such file or directory; do this");
  EXPECT_THAT(Error(Exit::kFailed, "a\nb", "c\nd").line(), Not(HasSubstr("\n")));
}

TEST(Error, ErrnoDecidesTheExitCode) {
  const auto kind = [](int number) { return Error::from_errno(number, "x").kind(); };
  EXPECT_EQ(kind(EPERM), Exit::kNotPermitted);
  EXPECT_EQ(kind(EACCES), Exit::kNotPermitted);
  EXPECT_EQ(kind(ESRCH), Exit::kNoTarget);
  EXPECT_EQ(kind(ENOSYS), Exit::kUnsupported);
  EXPECT_EQ(kind(EIO), Exit::kFailed);
  EXPECT_EQ(kind(ENOENT), Exit::kFailed);
}

TEST(Error, ExitCodesAreTheDocumentedOnes) {
  EXPECT_EQ(static_cast<int>(Exit::kOk), 0);
  EXPECT_EQ(static_cast<int>(Exit::kFailed), 1);
  EXPECT_EQ(static_cast<int>(Exit::kUsage), 2);
  EXPECT_EQ(static_cast<int>(Exit::kNotPermitted), 3);
  EXPECT_EQ(static_cast<int>(Exit::kNoTarget), 4);
  EXPECT_EQ(static_cast<int>(Exit::kUnsupported), 5);
  EXPECT_EQ(static_cast<int>(Exit::kPartial), 6);
}

TEST(Error, FailErrnoTakesErrnoAsItStands) {
  errno = ESRCH;
  const Status status = fail_errno("kill 7");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind(), Exit::kNoTarget);
  EXPECT_EQ(status.error().error_number(), ESRCH);
  EXPECT_EQ(status.error().line(), "kill 7: No such process");
}

Result<int> half(int n) {
  if (n % 2 != 0) return fail(Exit::kUsage, "odd");
  return n / 2;
}

Result<int> quarter(int n) {
  TC_TRY(const int once, half(n));
  TC_TRY(const int twice, half(once));
  return twice;
}

Status is_even(int n, int& reached) {
  TC_CHECK(half(n));
  reached++;
  return {};
}

TEST(Error, TheMacrosHandErrorsOn) {
  int reached = 0;
  EXPECT_EQ(quarter(12).value(), 3);
  EXPECT_EQ(quarter(6).error().line(), "odd");
  EXPECT_EQ(quarter(5).error().kind(), Exit::kUsage);
  EXPECT_TRUE(is_even(2, reached));
  EXPECT_FALSE(is_even(3, reached));
  EXPECT_EQ(reached, 1);
}

}  // namespace
}  // namespace time_chaos
