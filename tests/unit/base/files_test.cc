// Reading whole files: those of /proc have no size, large ones take more than one read, and none
// may grow without a limit.
#include "agent/base/files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace time_chaos {
namespace {

using testing::HasSubstr;

// A file of its own that is gone after the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text) : fd_(::mkstemp(path_.data())) {
    EXPECT_TRUE(fd_.valid());
    EXPECT_EQ(::write(fd_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  TemporaryFile(TemporaryFile&&) = delete;
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile() { ::unlink(path_.c_str()); }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/tc-files-test-XXXXXX";
  ScopedFd fd_;
};

std::string pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; i++) text[i] = static_cast<char>(i * 31 % 251);
  return text;
}

TEST(ReadFile, ReadsFilesOfEverySizeWhole) {
  for (const size_t size : {0, 1, 4095, 4096, 12'288, 16'383, 16'384, 16'385, 1'000'003}) {
    const TemporaryFile file(pattern(size));
    const auto text = read_file(file.path());
    ASSERT_TRUE(text) << text.error().line();
    EXPECT_TRUE(*text == pattern(size)) << size;
  }
}

TEST(ReadFile, ReadsFilesOfProc) {
  const auto status = read_file("/proc/self/status");
  ASSERT_TRUE(status) << status.error().line();
  EXPECT_THAT(*status, HasSubstr("\nPid:\t" + std::to_string(::getpid()) + "\n"));
  const auto auxv = read_file("/proc/self/auxv");
  ASSERT_TRUE(auxv) << auxv.error().line();
  EXPECT_EQ(auxv->size() % (2 * sizeof(long)), 0U);
  EXPECT_GT(auxv->size(), 0U);
}

TEST(ReadFile, StopsAtTheLimit) {
  const TemporaryFile file(pattern(100'000));
  EXPECT_EQ(read_file(file.path(), 100'000).value().size(), 100'000U);
  const auto text = read_file(file.path(), 99'999);
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().line(), HasSubstr(file.path()));
  EXPECT_FALSE(read_file("/dev/zero", size_t{1} << 20));
}

TEST(ReadFile, TheErrorNamesThePathAndTheReason) {
  const auto missing = read_file("/proc/self/no-such-file");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().line(), "open /proc/self/no-such-file: No such file or directory");
  EXPECT_EQ(missing.error().error_number(), ENOENT);
  const auto directory = read_file("/proc/self");
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().line(), "read /proc/self: Is a directory");
}

TEST(OpenFile, ClosesOnExecAndWithItsOwner) {
  int number = -1;
  {
    const auto file = open_file("/dev/null", O_RDWR);
    ASSERT_TRUE(file) << file.error().line();
    number = file->get();
    EXPECT_EQ(::fcntl(number, F_GETFD), FD_CLOEXEC);
  }
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(ScopedFd, HasOneOwner) {
  ScopedFd first = open_file("/dev/null", O_RDONLY).value();
  const int number = first.get();
  ScopedFd second(std::move(first));
  EXPECT_FALSE(first.valid());  // NOLINT(*-use-after-move,*.Move): what is tested
  EXPECT_EQ(second.get(), number);
  EXPECT_EQ(second.release(), number);
  EXPECT_FALSE(second.valid());
  const ScopedFd third(number);
  EXPECT_EQ(::fcntl(number, F_GETFD), FD_CLOEXEC);
}

}  // namespace
}  // namespace time_chaos
