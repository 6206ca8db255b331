// Reading and changing a clock page in another process, by sharing it and by writing its memory.
#include "agent/vdso/clock_page.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "tests/unit/tracee/support.h"

namespace time_chaos::vdso {
namespace {

using test::Child;

// A child with a page of its own at an address that the test knows. A page that is part of a larger
// mapping has no entry of its own under map_files, and so is not shared.
class PageOfAChild : public ::testing::TestWithParam<bool> {
 protected:
  PageOfAChild() : size_(GetParam() ? 4096 : size_t{3} * 4096) {
    void* here = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memory_ = static_cast<uint8_t*>(here);
    page_ = reinterpret_cast<tc_clock_page*>(memory_ + (GetParam() ? 0 : 4096));
    child_.emplace();
  }
  ~PageOfAChild() override { ::munmap(memory_, size_); }

  Result<ClockPage> open() {
    return ClockPage::open(child_->pid(), reinterpret_cast<uint64_t>(page_));
  }

  size_t size_;
  uint8_t* memory_ = nullptr;
  tc_clock_page* page_ = nullptr;  // the child's page, which is the test's, too
  std::optional<Child> child_;
};

clock::ClockMaps maps_with(int64_t offset) {
  auto maps = clock::identity_maps();
  for (auto& map : maps) map.fake_sec = offset;
  return maps;
}

TEST_P(PageOfAChild, IsSharedWhereItCanBe) {
  const auto page = open();
  ASSERT_TRUE(page) << page.error().line();
  EXPECT_EQ(page->shared(), GetParam() && ClockPage::sharing_permitted());
}

TEST_P(PageOfAChild, PublishesByOneFlip) {
  auto page = open();
  ASSERT_TRUE(page);
  uint32_t latch = page_->latch;
  for (int64_t i = 1; i <= 600; i++) {  // once round the byte that counts, and more
    const tc_clock_page before = *page_;
    ASSERT_TRUE(page->publish(maps_with(i)));
    latch = tc_next_latch(latch);
    ASSERT_EQ(page_->latch, latch);
    ASSERT_EQ(page->maps()->at(3).fake_sec, i);
    ASSERT_EQ(clock::maps_in_force(*page_)[0].fake_sec, i);
    // What readers were using until then is untouched.
    ASSERT_EQ(std::memcmp(tc_page_maps(page_, before.latch), tc_page_maps(&before, before.latch),
                          sizeof(tc_clock_map) * TC_CLOCK_COUNT),
              0);
    ASSERT_NE(tc_page_maps(page_, before.latch), tc_page_maps(page_, latch));
  }
}

TEST_P(PageOfAChild, TheHeaderGoesAlong) {
  auto page = open();
  ASSERT_TRUE(page);
  ASSERT_TRUE(page->publish(maps_with(1), [](tc_clock_page& header) {
    header.magic = TC_PAGE_MAGIC;
    header.version = TC_PAGE_VERSION;
    header.tz_minuteswest = -60;
    header.tz_dsttime = 1;
    header.clocks = 7;
    header.owner_pid = 8;
    header.owner_start = 9;
    header.owner_pidns = 10;
    header.created_sec = 11;
    std::memcpy(header.experiment, "abc", 4);
    header.latch = 12345;  // not the caller's to change
  }));
  EXPECT_EQ(page_->magic, TC_PAGE_MAGIC);
  EXPECT_EQ(page_->version, uint32_t{TC_PAGE_VERSION});
  EXPECT_EQ(page_->tz_minuteswest, -60);
  EXPECT_EQ(page_->tz_dsttime, 1);
  EXPECT_EQ(page_->clocks, 7U);
  EXPECT_EQ(page_->owner_pid, 8U);
  EXPECT_EQ(page_->owner_start, 9U);
  EXPECT_EQ(page_->owner_pidns, 10U);
  EXPECT_EQ(page_->created_sec, 11);
  EXPECT_STREQ(page_->experiment, "abc");
  EXPECT_EQ(page_->latch, tc_next_latch(0));
  const auto copy = page->read();
  ASSERT_TRUE(copy);
  EXPECT_EQ(std::memcmp(&*copy, page_, sizeof *page_), 0);
}

TEST_P(PageOfAChild, UpdatesFromWhatIsInForce) {
  auto page = open();
  ASSERT_TRUE(page && page->publish(maps_with(40)));
  ASSERT_TRUE(page->update([](clock::ClockMaps& maps, tc_clock_page& header) {
    maps[0].fake_sec += 2;
    header.clocks = 1;
    return Status();
  }));
  EXPECT_EQ(page->maps()->at(0).fake_sec, 42);
  EXPECT_EQ(page->maps()->at(1).fake_sec, 40);
}

TEST_P(PageOfAChild, AChangeThatFailsChangesNothing) {
  auto page = open();
  ASSERT_TRUE(page && page->publish(maps_with(40)));
  const tc_clock_page before = *page_;
  const auto changed = page->update([](clock::ClockMaps& maps, tc_clock_page& header) -> Status {
    maps[0].fake_sec = 99;
    header.clocks = 99;
    return fail(Exit::kUsage, "no");
  });
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().line(), "no");
  EXPECT_EQ(std::memcmp(&before, page_, sizeof before), 0);
}

INSTANTIATE_TEST_SUITE_P(ClockPage, PageOfAChild, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "shared" : "written"; });

// Two agents at once: no change is lost.
TEST(ClockPageLock, UpdatesAddUp) {
  void* here = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(here, MAP_FAILED);
  const Child child;
  const auto add = [&] {
    auto page = ClockPage::open(child.pid(), reinterpret_cast<uint64_t>(here));
    if (!page->shared()) return false;
    for (int i = 0; i < 2000; i++) {
      (void)page->update([](clock::ClockMaps& maps, tc_clock_page&) {
        maps[0].fake_sec++;
        return Status();
      });
    }
    return true;
  };
  bool other = false;
  std::thread thread([&] { other = add(); });
  const bool mine = add();
  thread.join();
  auto page = ClockPage::open(child.pid(), reinterpret_cast<uint64_t>(here));
  if (mine && other) {
    EXPECT_EQ(page->maps()->at(0).fake_sec, 4000);
  }
  ::munmap(here, 4096);
}

// As the BPF engine keeps its copies: many pages in one file.
class PageInAFile : public ::testing::Test {
 protected:
  static constexpr uint64_t kThird = uint64_t{2} * TC_PAGE_SIZE;
  PageInAFile() : file_(::memfd_create("pages", MFD_CLOEXEC)) {
    EXPECT_EQ(::ftruncate(file_.get(), 4 * TC_PAGE_SIZE), 0);
  }
  tc_clock_page third() {
    tc_clock_page page{};
    EXPECT_EQ(::pread(file_.get(), &page, sizeof page, kThird), sizeof page);
    return page;
  }
  ScopedFd file_;
};

TEST_F(PageInAFile, IsChangedWhereItStands) {
  auto page = ClockPage::over(file_.get(), kThird);
  ASSERT_TRUE(page) << page.error().line();
  ASSERT_TRUE(page->publish(maps_with(7), [](tc_clock_page& header) { header.twin = 5; }));
  EXPECT_EQ(third().twin, 5U);
  EXPECT_EQ(clock::maps_in_force(third())[4].fake_sec, 7);
  EXPECT_FALSE(ClockPage::over(-1, 0));
}

TEST_F(PageInAFile, IsATwinThatIsChangedWithThePage) {
  void* here =
      ::mmap(nullptr, TC_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const auto* page = static_cast<tc_clock_page*>(here);
  {
    const Child child;
    auto opened = ClockPage::open(child.pid(), reinterpret_cast<uint64_t>(here));
    ASSERT_TRUE(opened);
    // One flip ahead: the twins' latches need not be the same.
    ASSERT_TRUE(opened->publish(maps_with(1)));
    auto twin = ClockPage::over(file_.get(), kThird);
    ASSERT_TRUE(twin);
    opened->set_twin(std::make_shared<ClockPage>(std::move(*twin)));
    for (int64_t i = 2; i <= 9; i++) {
      ASSERT_TRUE(opened->publish(maps_with(i), [&](tc_clock_page& header) {
        header.magic = TC_PAGE_MAGIC;
        header.clocks = static_cast<uint32_t>(i);
      }));
      EXPECT_EQ(clock::maps_in_force(*page)[0].fake_sec, i);
      EXPECT_EQ(clock::maps_in_force(third())[0].fake_sec, i);
      EXPECT_EQ(third().clocks, static_cast<uint32_t>(i));
      EXPECT_EQ(third().magic, TC_PAGE_MAGIC);
      EXPECT_NE(third().latch & TC_COPY_STRIDE, page->latch & TC_COPY_STRIDE);
    }
    // A change that is refused changes neither.
    EXPECT_FALSE(opened->update(
        [](clock::ClockMaps&, tc_clock_page&) -> Status { return fail(Exit::kFailed, "no"); }));
    EXPECT_EQ(clock::maps_in_force(third())[0].fake_sec, 9);
  }
  ::munmap(here, TC_PAGE_SIZE);
}

}  // namespace
}  // namespace time_chaos::vdso
