// Which first instructions may be moved, and which branches forbid a jump: hand-made byte
// sequences.
#include "agent/vdso/prologue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/elf/fake_vdso.h"
#include "tests/unit/elf/own_vdso.h"

namespace time_chaos::vdso {
namespace {

using test::FakeVdso;
using testing::ElementsAre;
using testing::HasSubstr;
using Bytes = std::vector<uint8_t>;

constexpr uint64_t kCode = FakeVdso::kCode;

elf::VdsoImage image_of(Bytes code, std::vector<FakeVdso::Function> functions = {{"f", 0, 1}}) {
  FakeVdso fake;
  fake.code = std::move(code);
  fake.functions = std::move(functions);
  return elf::VdsoImage::parse(fake.bytes()).value();
}

TEST(ReadPrologue, TakesWholeInstructionsUntilAJumpFits) {
  // push rbp; mov rbp,rsp; push r14; ret
  const auto prologue = read_prologue(image_of({0x55, 0x48, 0x89, 0xe5, 0x41, 0x56, 0xc3}), kCode);
  ASSERT_TRUE(prologue) << prologue.error().line();
  EXPECT_EQ(prologue->bytes, (Bytes{0x55, 0x48, 0x89, 0xe5, 0x41, 0x56}));
  EXPECT_THAT(prologue->boundaries, ElementsAre(0, 1, 4));
}

TEST(ReadPrologue, MayBeginWithEndbr64) {
  // endbr64; push rbp; ret: five bytes exactly, the ret is not needed.
  const auto prologue = read_prologue(image_of({0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0xc3}), kCode);
  ASSERT_TRUE(prologue) << prologue.error().line();
  EXPECT_EQ(prologue->bytes, (Bytes{0xf3, 0x0f, 0x1e, 0xfa, 0x55}));
  EXPECT_THAT(prologue->boundaries, ElementsAre(0, 4));
}

TEST(ReadPrologue, OneLongInstructionIsEnough) {
  // movabs rax, imm64
  const auto prologue = read_prologue(image_of({0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0xc3}), kCode);
  ASSERT_TRUE(prologue) << prologue.error().line();
  EXPECT_EQ(prologue->bytes.size(), 10U);
  EXPECT_THAT(prologue->boundaries, ElementsAre(0));
}

TEST(ReadPrologue, ReadsAtTheOffsetItIsGiven) {
  const auto prologue =
      read_prologue(image_of({0xc3, 0x55, 0x83, 0xff, 0x01, 0x53, 0xc3}), kCode + 1);
  ASSERT_TRUE(prologue) << prologue.error().line();
  EXPECT_EQ(prologue->bytes, (Bytes{0x55, 0x83, 0xff, 0x01, 0x53}));
}

struct Refused {
  const char* name;
  Bytes code;
  const char* message;
};

void PrintTo(const Refused& refused, std::ostream* out) {
  *out << refused.name;
}

class RefusedPrologue : public testing::TestWithParam<Refused> {};

TEST_P(RefusedPrologue, NamesTheInstruction) {
  Bytes code = GetParam().code;
  code.resize(32, 0x90);
  const auto prologue = read_prologue(image_of(code), kCode);
  ASSERT_FALSE(prologue);
  EXPECT_EQ(prologue.error().kind(), Exit::kUnsupported);
  EXPECT_THAT(prologue.error().line(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    ReadPrologue, RefusedPrologue,
    testing::Values(
        Refused{"RipRelativeLea", {0x48, 0x8d, 0x05, 1, 0, 0, 0}, "lea at 0x800 depends on rip"},
        Refused{"RipRelativeLoad", {0x55, 0x48, 0x8b, 0x05, 1, 0, 0, 0}, "mov at 0x801 depends"},
        Refused{"RipRelativeCompare", {0x83, 0x3d, 0, 0, 0, 0, 1}, "cmp at 0x800 depends on rip"},
        Refused{"ShortConditional", {0x55, 0x74, 0x10}, "jz at 0x801 branches"},
        Refused{"LongConditional", {0x0f, 0x85, 0x10, 0, 0, 0}, "jnz at 0x800 branches"},
        Refused{"CounterZero", {0x55, 0xe3, 0x10}, "jrcxz at 0x801 branches"},
        Refused{"Loop", {0x55, 0xe2, 0x10}, "loop at 0x801 branches"},
        Refused{"ShortJump", {0xeb, 0x10}, "jmp at 0x800 branches"},
        Refused{"LongJump", {0xe9, 0x10, 0, 0, 0}, "jmp at 0x800 branches"},
        Refused{"IndirectJump", {0xff, 0xe0}, "jmp at 0x800 branches"},
        Refused{"Call", {0xe8, 0x10, 0, 0, 0}, "call at 0x800 calls"},
        Refused{"IndirectCall", {0x55, 0xff, 0xd0}, "call at 0x801 calls"},
        Refused{"Return", {0x31, 0xc0, 0xc3}, "ret at 0x802 returns"},
        Refused{"Syscall", {0x89, 0xf8, 0x0f, 0x05}, "syscall at 0x802 enters the kernel"},
        Refused{"Sysenter", {0x89, 0xf8, 0x0f, 0x34}, "sysenter at 0x802 enters the kernel"},
        Refused{"Sysret", {0x0f, 0x07}, "sysret at 0x800 enters the kernel"},
        Refused{"Int80", {0xcd, 0x80}, "int at 0x800 traps"},
        Refused{"Breakpoint", {0x55, 0xcc}, "int3 at 0x801 traps"},
        Refused{"Transaction", {0xc7, 0xf8, 0, 0, 0, 0}, "xbegin at 0x800"},
        Refused{"Garbage", {0x55, 0x06}, "no instruction can be decoded at 0x801"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(ReadPrologue, StaysInsideTheCode) {
  // The mov's immediate is cut off by the end of the code.
  const auto image = image_of({0x55, 0xb8, 0x01, 0x02});
  for (const uint64_t offset : {kCode, kCode + 4, kCode - 1, uint64_t{0}, ~uint64_t{0}}) {
    const auto prologue = read_prologue(image, offset);
    ASSERT_FALSE(prologue) << offset;
    EXPECT_EQ(prologue.error().kind(), Exit::kUnsupported);
  }
}

TEST(CheckNoBranchInto, TheFirstByteAndTheByteBehindMayBeTargets) {
  // Five nops, then jumps back to 0 and to 5.
  const auto image = image_of({0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xeb, 0xf8, 0xeb, 0xfb});
  const auto status = check_no_branch_into(image, kCode);
  EXPECT_TRUE(status) << status.error().line();
}

TEST(CheckNoBranchInto, RefusesEveryByteBetween) {
  for (uint8_t target = 1; target < kJumpSize; ++target) {
    // Six nops, then jz to `target`.
    const auto back = static_cast<uint8_t>(target - 8);
    const auto status =
        check_no_branch_into(image_of({0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x74, back}), kCode);
    ASSERT_FALSE(status) << int{target};
    EXPECT_EQ(status.error().kind(), Exit::kUnsupported);
    EXPECT_THAT(status.error().line(),
                HasSubstr("jz at 0x806 branches to 0x80" + std::to_string(target)));
  }
}

TEST(CheckNoBranchInto, SeesLongBranchesAndCalls) {
  // call rel32 to 1; the entry in question begins behind another function.
  const Bytes code = {0xe8, 0x0c, 0,    0,    0,    0xc3, 0x90, 0x90, 0x90, 0x90, 0x90,
                      0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xc3};
  EXPECT_THAT(check_no_branch_into(image_of(code), kCode + 16).error().line(),
              HasSubstr("call at 0x800 branches to 0x811"));
  EXPECT_TRUE(check_no_branch_into(image_of(code), kCode));
}

TEST(CheckNoBranchInto, DecodesFromSymbolsThatALinearPassStepsOver) {
  // A data byte 0xb8 (mov eax, imm32) swallows the jz at 7, which is the first instruction of g.
  const Bytes code = {0x90, 0x90, 0x90, 0x90, 0x90, 0xc3, 0xb8, 0x74, 0xfa, 0x90, 0x90, 0xc3};
  EXPECT_TRUE(check_no_branch_into(image_of(code), kCode));
  const auto status = check_no_branch_into(image_of(code, {{"f", 0, 6}, {"g", 7, 5}}), kCode);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().line(), HasSubstr("jz at 0x807 branches to 0x803"));
}

TEST(CheckNoBranchInto, SeesBranchesOfFunctionsWithoutASymbol) {
  // jz from 0, where no symbol is, to 9; the only symbol is at 8.
  const Bytes code = {0x74, 0x07, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0x90, 0x90, 0x90, 0x90, 0x90};
  const auto status = check_no_branch_into(image_of(code, {{"f", 8, 5}}), kCode + 8);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().line(), HasSubstr("jz at 0x800 branches to 0x809"));
}

TEST(CheckNoBranchInto, RefusesAFunctionThatBeginsInside) {
  const auto status = check_no_branch_into(
      image_of({0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0xc3}, {{"inner", 4, 2}}), kCode);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().line(), HasSubstr("inner begins at 0x804"));
}

TEST(CheckNoBranchInto, PassesOverWhatCannotBeDecoded) {
  const auto status =
      check_no_branch_into(image_of({0x90, 0x90, 0x90, 0x90, 0x90, 0x06, 0x74, 0xfa}), kCode);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().line(), HasSubstr("branches to 0x802"));
}

TEST(OwnVdso, ClockGettimeCanBeDetoured) {
  const auto own = test::own_vdso();
  if (own.bytes.empty()) GTEST_SKIP() << "this process has no vDSO";
  const auto image = elf::VdsoImage::parse(own.bytes);
  ASSERT_TRUE(image) << image.error().line();
  for (const char* name : {"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time"}) {
    const auto function = image->function(name);
    ASSERT_TRUE(function) << name;
    const auto status = check_no_branch_into(*image, function->offset);
    EXPECT_TRUE(status) << status.error().line();
  }
  const auto prologue = read_prologue(*image, image->function("__vdso_clock_gettime")->offset);
  ASSERT_TRUE(prologue) << prologue.error().line();
  EXPECT_GE(prologue->bytes.size(), kJumpSize);
}

}  // namespace
}  // namespace time_chaos::vdso
