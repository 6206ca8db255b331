// Every way in which files change under a program: by an editor, by a shell, by the kubelet.
#include "agent/settings/watched_file.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace time_chaos::settings {
namespace {

namespace fs = std::filesystem;

class Watched : public testing::Test {
 protected:
  Watched() : directory_(testing::TempDir() + "tc-watch-" + std::to_string(::getpid())) {
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  ~Watched() override { fs::remove_all(directory_); }

  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  static bool readable(const WatchedFile& file) {
    pollfd waiting{file.fd(), POLLIN, 0};
    return ::poll(&waiting, 1, 0) == 1;
  }

  std::string directory_;
};

TEST_F(Watched, WrittenInPlace) {
  write("c", "a");
  auto file = WatchedFile::open(path("c"), "a");
  ASSERT_TRUE(file) << file.error().line();
  EXPECT_EQ(file->text(), "a");
  EXPECT_FALSE(readable(*file));
  write("c", "b");
  EXPECT_TRUE(readable(*file));
  EXPECT_TRUE(file->changed().value());
  EXPECT_EQ(file->text(), "b");
  EXPECT_FALSE(readable(*file)) << "said once";
  EXPECT_FALSE(file->changed().value());
}

TEST_F(Watched, ReplacedByARename) {
  write("c", "a");
  auto file = WatchedFile::open(path("c"), "a");
  ASSERT_TRUE(file);
  write("new", "b");
  EXPECT_FALSE(file->changed().value()) << "another file is of no interest";
  fs::rename(path("new"), path("c"));
  EXPECT_TRUE(file->changed().value());
  EXPECT_EQ(file->text(), "b");
}

TEST_F(Watched, TheSameTextIsNoChange) {
  write("c", "a");
  auto file = WatchedFile::open(path("c"), "a");
  ASSERT_TRUE(file);
  write("c", "a");
  EXPECT_FALSE(file->changed().value());
}

TEST_F(Watched, RemovedAndMadeAnew) {
  write("c", "a");
  auto file = WatchedFile::open(path("c"), "a");
  ASSERT_TRUE(file);
  fs::remove(path("c"));
  EXPECT_FALSE(file->changed().value());
  EXPECT_EQ(file->text(), "a");
  write("c", "b");
  EXPECT_TRUE(file->changed().value());
}

TEST_F(Watched, HalfWrittenIsNotReadYet) {
  write("c", "a");
  auto file = WatchedFile::open(path("c"), "a");
  ASSERT_TRUE(file);
  fs::remove(path("c"));
  std::ofstream half(path("c"));
  half << "offset: 1" << std::flush;
  EXPECT_FALSE(file->changed().value());
  half << "h" << std::flush;
  half.close();
  EXPECT_TRUE(file->changed().value());
  EXPECT_EQ(file->text(), "offset: 1h");
}

// A ConfigMap: c -> ..data/c, ..data -> ..1; the kubelet renames a new link over ..data, and
// removes
// ..1.
TEST_F(Watched, SwappedAsConfigMapsAreAgainAndAgain) {
  fs::create_directories(path("..1"));
  write("..1/c", "1");
  fs::create_symlink("..1", path("..data"));
  fs::create_symlink("..data/c", path("c"));
  auto file = WatchedFile::open(path("c"), "1");
  ASSERT_TRUE(file);
  for (int i = 2; i < 6; ++i) {
    const std::string version = ".." + std::to_string(i);
    fs::create_directories(path(version));
    write(version + "/c", std::to_string(i));
    fs::create_symlink(version, path("..data_tmp"));
    fs::rename(path("..data_tmp"), path("..data"));
    fs::remove_all(path(".." + std::to_string(i - 1)));
    EXPECT_TRUE(readable(*file)) << i;
    EXPECT_TRUE(file->changed().value()) << i;
    EXPECT_EQ(file->text(), std::to_string(i));
    write(version + "/c", std::to_string(i) + " in place");
    EXPECT_TRUE(file->changed().value()) << "what the links lead to is watched as well: " << i;
  }
}

// Between the first look and the watch.
TEST_F(Watched, ChangedBeforeItWasWatched) {
  write("c", "b");
  auto file = WatchedFile::open(path("c"), "a");
  ASSERT_TRUE(file) << file.error().line();
  EXPECT_EQ(file->text(), "a");
  EXPECT_TRUE(readable(*file));
  EXPECT_TRUE(file->changed().value());
  EXPECT_EQ(file->text(), "b");
  EXPECT_FALSE(readable(*file)) << "said once";
  EXPECT_FALSE(file->changed().value());
  write("c", "c");
  EXPECT_TRUE(readable(*file));
  EXPECT_TRUE(file->changed().value());
}

TEST_F(Watched, CannotBeReadAnyMore) {
  write("c", "a");
  auto file = WatchedFile::open(path("c"), "a");
  ASSERT_TRUE(file);
  write("c", std::string((1 << 20) + 5000, ' '));
  const auto large = file->changed();
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().kind(), Exit::kUsage);
  EXPECT_NE(large.error().line().find(path("c")), std::string::npos) << large.error().line();
  EXPECT_EQ(file->text(), "a");
  fs::remove(path("c"));
  fs::create_symlink(directory_, path("c"));  // a directory: open(2) does, read(2) does not
  EXPECT_FALSE(file->changed());
  fs::remove(path("c"));
  write("c", "b");
  EXPECT_TRUE(file->changed().value());
}

TEST_F(Watched, HasToBeThere) {
  EXPECT_FALSE(WatchedFile::open(path("c"), ""));
  EXPECT_FALSE(WatchedFile::open(path("no/c"), ""));
}

}  // namespace
}  // namespace time_chaos::settings
