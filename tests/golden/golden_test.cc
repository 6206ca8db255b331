// Whether the vDSO engine can do its work on the kernels people run: one image per kernel series,
// fetched by fetch-vdso.py (environment TIME_CHAOS_GOLDEN, or .cache/vdso of the source tree).
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/files.h"
#include "agent/elf/vdso_image.h"
#include "agent/vdso/prologue.h"

namespace time_chaos {
namespace {

constexpr uint64_t kPage = 4096;
// What the attach's stub may take, in bytes.
constexpr size_t kStubRoom = 700;
constexpr const char* kClockGettime = "__vdso_clock_gettime";
const auto kFunctions = {kClockGettime, "__vdso_gettimeofday", "__vdso_time"};
const auto kRemedy = "run tests/golden/fetch-vdso.py";

std::filesystem::path golden_directory() {
  const char* const chosen = std::getenv("TIME_CHAOS_GOLDEN");  // NOLINT(concurrency-mt-unsafe)
  return chosen != nullptr ? chosen : TIME_CHAOS_GOLDEN_DEFAULT;
}

std::string first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Where control goes when only 0xE9 is written over the first byte: bytes 1 to 4 are the distance.
int64_t punned_distance(std::span<const uint8_t> entry) {
  int32_t distance = 0;
  std::memcpy(&distance, entry.data() + 1, sizeof(distance));
  return distance;
}

class Golden : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto base = golden_directory() / GetParam();
    if (!std::filesystem::exists(base.string() + ".so")) {
      const std::string why = first_line(base.string() + ".missing");
      GTEST_SKIP() << "no image of kernel " << GetParam() << " (" << (why.empty() ? kRemedy : why)
                   << ")";
    }
    const auto file = read_file(base.string() + ".so");
    ASSERT_TRUE(file) << file.error().line();
    auto parsed = elf::VdsoImage::parse({file->begin(), file->end()});
    ASSERT_TRUE(parsed) << parsed.error().line();
    image_ = std::move(*parsed);
    fmt::print("{}: {}\n", GetParam(), first_line(base.string() + ".from"));
  }

  [[nodiscard]] std::span<const uint8_t> entry_of(const char* name) const {
    return image_->bytes().subspan(image_->function(name).value().offset, vdso::kJumpSize);
  }

  std::optional<elf::VdsoImage> image_;
};

TEST_P(Golden, HasTheClockFunctionsAlignedTo16) {
  EXPECT_EQ(image_->soname(), "linux-vdso.so.1");
  EXPECT_EQ(image_->bytes().size() % kPage, 0U);
  for (const char* name : kFunctions) {
    const auto function = image_->function(name);
    ASSERT_TRUE(function) << name;
    EXPECT_EQ(function->offset % 16, 0U) << name;
    EXPECT_GE(function->offset, image_->code_begin()) << name;
    EXPECT_LE(function->offset + vdso::kJumpSize, image_->code_end()) << name;
    EXPECT_GE(function->size, vdso::kJumpSize) << name;
    const auto entry = entry_of(name);
    fmt::print("  {:<20} at {:#06x} (page {}), {:>4} bytes, begins {:02x}, punned landing {:+#x}\n",
               name, function->offset, function->offset / kPage, function->size,
               fmt::join(entry, " "),
               static_cast<int64_t>(function->offset + vdso::kJumpSize) + punned_distance(entry));
  }
}

TEST_P(Golden, ClockGettimesPrologueCanBeRelocated) {
  const auto function = image_->function(kClockGettime);
  ASSERT_TRUE(function);
  const auto prologue = vdso::read_prologue(*image_, function->offset);
  ASSERT_TRUE(prologue) << prologue.error().line();
  fmt::print("  prologue {:02x}, instructions at {}\n", fmt::join(prologue->bytes, " "),
             fmt::join(prologue->boundaries, " "));
}

TEST_P(Golden, NoBranchGoesIntoTheJumps) {
  for (const char* name : kFunctions) {
    const auto function = image_->function(name);
    ASSERT_TRUE(function) << name;
    const auto status = vdso::check_no_branch_into(*image_, function->offset);
    EXPECT_TRUE(status) << name << ": " << status.error().line();
  }
}

TEST_P(Golden, TheTailHasRoomForTheStub) {
  const auto tail = image_->tail();
  fmt::print("  image {:#x}, code {:#x} to {:#x}, tail {} bytes from {:#x} (page {})\n",
             image_->bytes().size(), image_->code_begin(), image_->code_end(), tail.size(),
             image_->content_end(), image_->content_end() / kPage);
  EXPECT_GE(tail.size(), kStubRoom);
  EXPECT_TRUE(std::all_of(tail.begin(), tail.end(), [](uint8_t byte) { return byte == 0; }));
}

INSTANTIATE_TEST_SUITE_P(Kernel, Golden, testing::Values("5.10", "6.1", "6.12", "6.18", "7"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

// Skipping everything would look like success.
TEST(GoldenSet, IsNotEmpty) {
  std::error_code error;
  size_t images = 0;
  for (const auto& entry : std::filesystem::directory_iterator(golden_directory(), error)) {
    if (entry.path().extension() == ".so") ++images;
  }
  EXPECT_GT(images, 0U) << "no vDSO image in " << golden_directory() << "; " << kRemedy;
}

}  // namespace
}  // namespace time_chaos
