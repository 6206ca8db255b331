// What a target reads, read in a copy of it: forks of this test and another program, shifted.
#include "agent/vdso/mirror.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

#include "agent/base/files.h"
#include "agent/clock/map_plan.h"
#include "agent/tracee/session.h"
#include "agent/vdso/clock_page.h"
#include "agent/vdso/computed.h"
#include "agent/vdso/hold.h"
#include "agent/vdso/jump.h"
#include "agent/vdso/mirror_child.h"
#include "agent/vdso/mirror_image.h"
#include "agent/vdso/mirror_layout.h"
#include "tests/unit/vdso/shifted_target.h"

namespace time_chaos::vdso {
namespace {

using clock::Reading;
using std::chrono::hours;
using std::chrono::nanoseconds;
using ::testing::HasSubstr;
using time_chaos::testing::Child;

constexpr nanoseconds kHour = hours(1);

void expect_between(const MirrorReading& reading, nanoseconds offset, const std::string& what) {
  EXPECT_EQ(reading.result, 0) << what;
  EXPECT_GE(reading.shown, clock::plus(reading.before, offset)) << what;
  EXPECT_LE(reading.shown, clock::plus(reading.after, offset)) << what;
}

// The clocks that a mirror must show exactly, each with its offset.
void expect_clocks(const Mirror& mirror, nanoseconds wall) {
  expect_between(mirror.clocks[CLOCK_REALTIME], wall, "realtime");
  expect_between(mirror.clocks[CLOCK_TAI], wall, "tai");
  for (const int id : {CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
                       CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME}) {
    expect_between(mirror.clocks[static_cast<size_t>(id)], nanoseconds(0), std::to_string(id));
  }
  for (const MirrorReading& reading : mirror.clocks) {
    EXPECT_EQ(reading.result, reading.host_result);
  }
  const Reading day = mirror.gettimeofday.shown;
  EXPECT_GE(clock::plus(day, nanoseconds(999)), clock::plus(mirror.gettimeofday.before, wall));
  EXPECT_LE(day, clock::plus(mirror.gettimeofday.after, wall));
  ASSERT_TRUE(mirror.has_time);
  EXPECT_EQ(mirror.time.result, 0);
  EXPECT_NEAR(static_cast<double>(mirror.time.shown.sec),
              static_cast<double>(clock::plus(mirror.time.before, wall).sec), 1);
}

struct Way {
  const char* name;
  Detour detour;
  uint32_t length;  // bytes changed at clock_gettime
};

class MirrorOfATarget : public ::testing::TestWithParam<Way> {};

TEST_P(MirrorOfATarget, ShowsTheShiftOfAFork) {
  const Child child(test::read_clocks_for_ever);
  const auto found = test::shift(child.pid(), kHour, GetParam().detour);
  ASSERT_TRUE(found) << found.error().line();
  EXPECT_EQ(found->record.patches[0].length, GetParam().length);
  const auto mirror = read_through_mirror(child.pid(), *found);
  ASSERT_TRUE(mirror) << mirror.error().line();
  expect_clocks(*mirror, kHour);
  EXPECT_EQ(mirror->tz_minuteswest, found->page.tz_minuteswest);
}

TEST_P(MirrorOfATarget, ShowsTheHostAfterRecovery) {
  const test::Program program(test::Program::kHot);
  ASSERT_TRUE(test::shift(program.pid(), kHour, GetParam().detour));
  const auto recovered = test::recover(program.pid());
  ASSERT_TRUE(recovered) << recovered.error().line();
  const auto mirror = read_unshifted_mirror(program.pid());
  ASSERT_TRUE(mirror) << mirror.error().line();
  expect_clocks(*mirror, nanoseconds(0));
}

INSTANTIATE_TEST_SUITE_P(Mirror, MirrorOfATarget,
                         ::testing::Values(Way{"OneByte", Detour::kAuto, 1},
                                           Way{"FiveBytes", Detour::kFiveByte, 5}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Mirror, OfAnotherProgramAtOtherAddresses) {
  const test::Program program;
  const auto found = test::shift(program.pid(), -kHour);
  ASSERT_TRUE(found) << found.error().line();
  for (int i = 0; i < 20; i++) {
    const auto mirror = read_through_mirror(program.pid(), *found);
    ASSERT_TRUE(mirror) << mirror.error().line();
    expect_clocks(*mirror, -kHour);
  }
}

TEST(Mirror, FollowsTheClockPageAsItIsNow) {
  const test::Program program;
  const auto found = test::shift(program.pid(), kHour);
  ASSERT_TRUE(found) << found.error().line();
  auto page = ClockPage::open(program.pid(), found->clock_page());
  ASSERT_TRUE(page) << page.error().line();
  ASSERT_TRUE(page->publish(clock::identity_maps()));
  const auto mirror = read_through_mirror(program.pid(), *found);
  ASSERT_TRUE(mirror) << mirror.error().line();
  expect_clocks(*mirror, nanoseconds(0));
}

MirrorJob layout_of(const MirrorImage& image) {
  static MirrorReport report;
  const auto own = targets::Mappings::read(::getpid());
  return lay_out(image, *own, &report).value();
}

TEST(Mirror, MovesTheVvarPagesWhereItsOwnPlaceIsTaken) {
  const Child child;
  const auto found = test::shift(child.pid(), kHour);
  ASSERT_TRUE(found) << found.error().line();
  const auto image = read_image(child.pid(), &*found);
  ASSERT_TRUE(image) << image.error().line();
  if (!layout_of(*image).vvar.empty())
    GTEST_SKIP() << "on this kernel the vvar pages have to move in every mirror";
  const test::Occupied code(found->code);
  const MirrorJob moved = layout_of(*image);
  EXPECT_EQ(moved.vvar.size(), image->block.vvar.size());
  EXPECT_NE(moved.vdso.address, image->block.vdso);
  const auto mirror = read_through_mirror(child.pid(), *found);
  ASSERT_TRUE(mirror) << mirror.error().line();
  expect_clocks(*mirror, kHour);
}

TEST(Mirror, MovesTheVvarPagesOfAnUnshiftedTarget) {
  const test::Program program;
  const auto mirror = read_unshifted_mirror(program.pid());
  ASSERT_TRUE(mirror) << mirror.error().line();
  expect_clocks(*mirror, nanoseconds(0));
}

// How a fork that must not return tells what it saw.
int told(bool as_expected, const std::string& otherwise) {
  if (!as_expected) std::fprintf(stderr, "%s\n", otherwise.c_str());
  return as_expected ? 0 : 1;
}

// Linux 6.12 may be told to let only a tracer write to what is read-only (proc_mem.force_override);
// newer ones are by default. Then a mirror cannot be made of a sealed vDSO, and whoever asks for
// one compares code instead.
bool own_memory_can_be_forced() {
  void* page = ::mmap(nullptr, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const auto file = open_file("/proc/self/mem", O_RDWR);
  const uint8_t byte = 1;
  const bool written = file && ::pwrite(file->get(), &byte, 1, reinterpret_cast<off_t>(page)) == 1;
  ::munmap(page, 1);
  return written;
}

TEST(Mirror, WorksWhereTheOwnVdsoIsSealed) {
  if (!test::kernel_seals()) GTEST_SKIP() << "this kernel has no mseal";
  const Child child;
  const auto found = test::shift(child.pid(), kHour);
  ASSERT_TRUE(found) << found.error().line();
  const auto image = read_image(child.pid(), &*found);
  ASSERT_TRUE(image) << image.error().line();
  if (!layout_of(*image).vvar.empty())
    GTEST_SKIP() << "on this kernel the vvar pages have to move in every mirror";
  const auto in_fork = [&] {
    if (!test::seal_own_vdso()) return told(false, "not sealed");
    const auto mirror = read_through_mirror(child.pid(), *found);
    const bool may_write = own_memory_can_be_forced();
    if (!mirror && !may_write) {
      return told(mirror.error().kind() == Exit::kUnsupported, mirror.error().line());
    }
    if (!mirror) return told(false, mirror.error().line());
    const MirrorReading& reading = mirror->clocks[CLOCK_REALTIME];
    return told(clock::minus(reading.shown, reading.before) >= kHour, "not shifted");
  };
  EXPECT_EXIT(::_exit(in_fork()), ::testing::ExitedWithCode(0), "");
}

TEST(Mirror, IsUnsupportedWhereASealedVdsoWouldHaveToMove) {
  if (!test::kernel_seals()) GTEST_SKIP() << "this kernel has no mseal";
  const Child child;
  const auto found = test::shift(child.pid(), kHour);
  ASSERT_TRUE(found) << found.error().line();
  const auto in_fork = [&] {
    if (!test::seal_own_vdso()) return told(false, "not sealed");
    const test::Occupied code(found->code);
    const auto mirror = read_through_mirror(child.pid(), *found);
    if (mirror) return told(false, "it moved");
    const std::string line = mirror.error().line();
    return told(mirror.error().kind() == Exit::kUnsupported &&
                    line.find("move the vvar pages: Operation not permitted") != line.npos,
                line);
  };
  EXPECT_EXIT(::_exit(in_fork()), ::testing::ExitedWithCode(0), "");
}

// A landing pad more than 2 GiB from the hook holds its address, which moves with all the rest.
TEST(Mirror, RedirectsFarLandingPads) {
  const auto own = targets::Mappings::read(::getpid());
  MirrorImage image;
  image.block = find_block(*own).value();
  constexpr uint64_t kElsewhere = uint64_t{16} << 30;
  image.block.vdso -= kElsewhere;
  for (auto& range : image.block.vvar) range.start -= kElsewhere;
  payload::PatchRecord patch;
  patch.pad = image.block.vdso - 0x70000000 + 0x123;
  patch.hook = image.block.vdso + 0x50000000;
  image.patches = {patch};
  std::vector<uint8_t> page(payload::kPageSize, 0);
  const auto jump = pad_jump(patch.pad, patch.hook);
  ASSERT_EQ(jump.size(), kPadSize);
  std::copy(jump.begin(), jump.end(), page.begin() + 0x123);
  image.pieces = {{patch.pad - 0x123, page, 0}};
  const MirrorJob job = layout_of(image);
  const uint64_t distance = job.vdso.address - image.block.vdso;
  ASSERT_NE(distance, 0U);
  EXPECT_EQ(job.pieces[0].address, image.pieces[0].address + distance);
  const auto moved = pad_jump(patch.pad + distance, patch.hook + distance);
  EXPECT_TRUE(std::equal(moved.begin(), moved.end(), job.pieces[0].bytes.begin() + 0x123));
}

TEST(Mirror, CannotWriteToTheAgentsSharedMemory) {
  const Child child;
  const auto found = test::shift(child.pid(), kHour);
  ASSERT_TRUE(found) << found.error().line();
  void* shared = ::mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  // movabs rax, shared; mov byte [rax], 1; ud2
  std::vector<uint8_t> code = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xc6, 0x00, 0x01, 0x0f, 0x0b};
  std::memcpy(code.data() + 2, &shared, sizeof shared);
  auto memory = tracee::Memory::open(child.pid());
  const uint64_t hook = found->code + payload::hook_offset(payload::Function::kClockGettime);
  const Status written = tracee::in_session([&]() -> Status {
    TC_TRY(const Hold hold, Hold::take(child.pid()));
    return hold.write(*memory, [&] { return memory->write(hook, code); });
  });
  ASSERT_TRUE(written) << written.error().line();
  const auto mirror = read_through_mirror(child.pid(), *found);
  ASSERT_FALSE(mirror);
  EXPECT_THAT(mirror.error().line(), HasSubstr("crashes (SIGSEGV)"));
  EXPECT_EQ(*static_cast<uint8_t*>(shared), 0);
  ::munmap(shared, 1);
}

// The agent's address space is its own again, and no child is left.
TEST(Mirror, LeavesNoTrace) {
  const test::Program program;
  const auto found = test::shift(program.pid(), kHour);
  ASSERT_TRUE(found) << found.error().line();
  ASSERT_TRUE(read_through_mirror(program.pid(), *found));
  const auto before = targets::Mappings::read(::getpid());
  ASSERT_TRUE(read_through_mirror(program.pid(), *found));
  const auto after = targets::Mappings::read(::getpid());
  EXPECT_EQ(before->all().size(), after->all().size());
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG | __WCLONE), -1);
}

struct Damage {
  const char* name;
  std::vector<uint8_t> code;  // what stands at the hook of clock_gettime
  const char* message;
};

class DamagedCode : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedCode, IsAnError) {
  const Child child;
  const auto found = test::shift(child.pid(), kHour);
  ASSERT_TRUE(found) << found.error().line();
  auto memory = tracee::Memory::open(child.pid());
  const uint64_t hook = found->code + payload::hook_offset(payload::Function::kClockGettime);
  ASSERT_TRUE(memory->write(hook, GetParam().code));
  const auto mirror = read_through_mirror(child.pid(), *found);
  ASSERT_FALSE(mirror);
  EXPECT_EQ(mirror.error().kind(), Exit::kFailed);
  EXPECT_THAT(mirror.error().line(), HasSubstr(GetParam().message));
  const auto computed = compute_mirror(child.pid(), *found);
  ASSERT_FALSE(computed);
  EXPECT_THAT(computed.error().line(), HasSubstr("code page is not as written"));
}

INSTANTIATE_TEST_SUITE_P(
    Mirror, DamagedCode,
    ::testing::Values(
        Damage{"Crashes", {0x0f, 0x0b}, "clock_gettime(realtime) crashes (SIGILL)"},
        Damage{"Hangs", {0xeb, 0xfe}, "clock_gettime(realtime): hangs"},
        // mov eax, SYS_getpid; syscall
        Damage{"CallsTheKernel", {0xb8, 39, 0, 0, 0, 0x0f, 0x05}, "(realtime) crashes (SIGSYS)"},
        // xor edi, edi; mov eax, SYS_exit_group; syscall
        Damage{"Exits", {0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05}, "does not return"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Mirror, OfADetouredVdsoWithoutItsCodeCrashes) {
  const Child child;
  ASSERT_TRUE(test::shift(child.pid(), kHour));
  const auto mirror = read_unshifted_mirror(child.pid());
  ASSERT_FALSE(mirror);
  EXPECT_THAT(mirror.error().line(), HasSubstr("crashes (SIGSEGV)"));
  EXPECT_FALSE(compute_unshifted_mirror(child.pid()));
}

TEST(Mirror, OfAProcessThatIsGone) {
  Child child;
  child.end();
  const auto mirror = read_unshifted_mirror(child.pid());
  ASSERT_FALSE(mirror);
  EXPECT_EQ(mirror.error().kind(), Exit::kNoTarget);
}

class ComputedMirror : public ::testing::TestWithParam<Way> {};

TEST_P(ComputedMirror, ShowsTheShift) {
  const test::Program program;
  const auto found = test::shift(program.pid(), kHour, GetParam().detour);
  ASSERT_TRUE(found) << found.error().line();
  const auto mirror = compute_mirror(program.pid(), *found);
  ASSERT_TRUE(mirror) << mirror.error().line();
  expect_clocks(*mirror, kHour);
  ASSERT_TRUE(test::recover(program.pid()));
  const auto recovered = compute_unshifted_mirror(program.pid());
  ASSERT_TRUE(recovered) << recovered.error().line();
  expect_clocks(*recovered, nanoseconds(0));
}

INSTANTIATE_TEST_SUITE_P(Mirror, ComputedMirror,
                         ::testing::Values(Way{"OneByte", Detour::kAuto, 1},
                                           Way{"FiveBytes", Detour::kFiveByte, 5}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(ComputedMirrors, SeeEveryChangedByte) {
  const Child child;
  const auto found = test::shift(child.pid(), kHour);
  ASSERT_TRUE(found) << found.error().line();
  const payload::PatchRecord& patch = found->record.patches[0];
  std::vector<std::pair<uint64_t, const char*>> places = {
      {patch.entry, "its clock_gettime is not detoured"},
      {found->code + payload::original_offset(), "clock_gettime's first bytes"},
      {found->code, "its code page is not as written"}};
  if (patch.pad != 0) places.emplace_back(patch.pad, "the landing pad of its clock_gettime");
  auto memory = tracee::Memory::open(child.pid());
  for (const auto& [place, message] : places) {
    const auto byte = memory->read_value<uint8_t>(place).value();
    ASSERT_TRUE(memory->write_value(place, static_cast<uint8_t>(byte ^ 1)));
    const auto mirror = compute_mirror(child.pid(), *found);
    ASSERT_FALSE(mirror) << message;
    EXPECT_THAT(mirror.error().line(), HasSubstr(message));
    ASSERT_TRUE(memory->write_value(place, byte));
  }
  EXPECT_TRUE(compute_mirror(child.pid(), *found));
}

}  // namespace
}  // namespace time_chaos::vdso
