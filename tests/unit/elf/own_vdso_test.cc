// The parser against the kernel's own image: right answers on the whole of it, errors on parts of
// it, and bounds that hold whatever the bytes are.
#include "tests/unit/elf/own_vdso.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string>

#include "agent/elf/vdso_image.h"

namespace time_chaos::elf {
namespace {

class OwnVdsoTest : public testing::Test {
 protected:
  void SetUp() override {
    if (own_.bytes.empty()) GTEST_SKIP() << "this process has no vDSO";
  }
  test::OwnVdso own_ = test::own_vdso();
};

// What everybody relies on who slices bytes() by these numbers.
void expect_bounded(const VdsoImage& image) {
  const uint64_t size = image.bytes().size();
  EXPECT_LE(image.code_begin(), image.code_end());
  EXPECT_LE(image.code_end(), image.content_end());
  EXPECT_LE(image.content_end(), size);
  EXPECT_EQ(image.tail().size(), size - image.content_end());
  for (const auto& [name, symbol] : image.functions()) {
    EXPECT_LT(symbol.offset, size) << name;
    EXPECT_LE(symbol.size, size - symbol.offset) << name;
  }
}

TEST_F(OwnVdsoTest, FindsTheClockFunctions) {
  const auto image = VdsoImage::parse(own_.bytes);
  ASSERT_TRUE(image) << image.error().line();
  expect_bounded(*image);
  EXPECT_EQ(image->soname(), "linux-vdso.so.1");
  for (const char* name : {"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time"}) {
    const auto function = image->function(name);
    ASSERT_TRUE(function) << name;
    EXPECT_GE(function->offset, image->code_begin()) << name;
    EXPECT_LT(function->offset, image->code_end()) << name;
    EXPECT_GT(function->size, 0U) << name;
  }
  EXPECT_FALSE(image->function("__vdso_clock"));
  EXPECT_FALSE(image->function("LINUX_2.6"));  // a version, not a function
}

TEST_F(OwnVdsoTest, WhatItCallsClockGettimeTellsTheTime) {
  const auto image = VdsoImage::parse(own_.bytes);
  ASSERT_TRUE(image);
  const auto function = image->function("__vdso_clock_gettime");
  ASSERT_TRUE(function);
  using ClockGettime = int (*)(clockid_t, timespec*);
  const auto call = reinterpret_cast<ClockGettime>(own_.address + function->offset);  // NOLINT
  timespec before{};
  timespec seen{};
  timespec after{};
  ASSERT_EQ(::syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &before), 0);
  ASSERT_EQ(call(CLOCK_MONOTONIC, &seen), 0);
  ASSERT_EQ(::syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &after), 0);
  EXPECT_LE(before.tv_sec, seen.tv_sec);
  EXPECT_LE(seen.tv_sec, after.tv_sec);
}

TEST_F(OwnVdsoTest, EveryTruncationIsAnErrorUntilAllContentIsThere) {
  const auto whole = VdsoImage::parse(own_.bytes);
  ASSERT_TRUE(whole);
  for (size_t size = 0; size <= own_.bytes.size(); ++size) {
    const auto image = VdsoImage::parse(
        {own_.bytes.begin(), own_.bytes.begin() + static_cast<std::ptrdiff_t>(size)});
    // content_end() is rounded up by at most 63.
    if (size + 64 <= whole->content_end()) {
      EXPECT_FALSE(image) << size;
    } else if (size >= whole->content_end()) {
      EXPECT_TRUE(image) << size;
    }
    if (image) expect_bounded(*image);
  }
}

TEST_F(OwnVdsoTest, FlippedBitsNeverLeadOutside) {
  std::mt19937 random(20240607);
  // Most of the structure lies in the first page; the code is of no interest here.
  std::uniform_int_distribution<size_t> place(0, std::min<size_t>(own_.bytes.size(), 4096) - 1);
  int parsed = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> bytes = own_.bytes;
    for (unsigned flips = 1 + random() % 4; flips > 0; --flips) {
      bytes[place(random)] ^= static_cast<uint8_t>(1U << (random() % 8));
    }
    const auto image = VdsoImage::parse(std::move(bytes));
    if (image) {
      ++parsed;
      expect_bounded(*image);
    } else {
      EXPECT_FALSE(image.error().line().empty());
    }
  }
  EXPECT_GT(parsed, 0);
  EXPECT_LT(parsed, 20000);
}

}  // namespace
}  // namespace time_chaos::elf
