// Plans for children whose vDSO is theirs, or one that the test wrote over it.
#include "agent/vdso/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "agent/vdso/jump.h"
#include "tests/unit/elf/fake_vdso.h"
#include "tests/unit/tracee/support.h"

namespace time_chaos::vdso {
namespace {

using payload::Function;
using test::Child;
using test::FakeVdso;
using ::testing::HasSubstr;

class Planned : public ::testing::Test {
 protected:
  // movabs rax, imm64; ret: ten bytes that may be moved, whose bytes 1 to 4 are b8 and the lowest
  // three of the constant.
  static std::vector<uint8_t> function(uint32_t constant) {
    return {0x48,
            0xb8,
            static_cast<uint8_t>(constant),
            static_cast<uint8_t>(constant >> 8),
            static_cast<uint8_t>(constant >> 16),
            0,
            0,
            0,
            0,
            0,
            0xc3};
  }

  // The child's vDSO becomes an image in which the three functions stand at these offsets of its
  // code, each of them landing, if its first byte becomes a jump, 256 MiB or so below.
  void replace_vdso(uint64_t gettimeofday, uint64_t time, bool with_time = true) {
    const auto mappings = targets::Mappings::read(child_.pid());
    const targets::Mapping* vdso = mappings->find("[vdso]");
    ASSERT_NE(vdso, nullptr);
    FakeVdso fake;
    fake.code.assign(0x100, 0x90);
    fake.functions = {{"__vdso_clock_gettime", 0, 11}, {"__vdso_gettimeofday", gettimeofday, 11}};
    if (with_time) fake.functions.push_back({"__vdso_time", time, 11});
    for (uint32_t page = 0xf0000; page < 0xf0400; page++) {  // the upper bits of the distance
      const uint32_t constant = page << 4;
      for (const auto& f : fake.functions) {
        const auto bytes = function(constant);
        std::copy(bytes.begin(), bytes.end(),
                  fake.code.begin() + static_cast<std::ptrdiff_t>(f.offset));
      }
      const uint64_t entry = vdso->start + FakeVdso::kCode;
      const uint64_t landing = punned_target(entry, fake.code);
      if (mappings->is_free((landing & ~uint64_t{0xfff}) - 0x1000, 0x3000)) break;
    }
    auto image = fake.bytes();
    image.resize(vdso->size());
    auto memory = tracee::Memory::open(child_.pid());
    ASSERT_TRUE(memory->write(vdso->start, image));
  }

  Result<AttachPlan> plan(Detour detour = Detour::kAuto) {
    TC_TRY(const auto memory, tracee::Memory::open(child_.pid()));
    return make_plan(child_.pid(), memory, detour);
  }

  Child child_;
};

const FunctionPlan& of(const AttachPlan& plan, Function function) {
  return *std::find_if(plan.functions.begin(), plan.functions.end(),
                       [&](const auto& f) { return f.function == function; });
}

TEST_F(Planned, ARealVdsoIsPlannedWhole) {
  const auto plan = this->plan();
  ASSERT_TRUE(plan) << plan.error().line();
  const auto mappings = targets::Mappings::read(child_.pid());
  const targets::Mapping* vdso = mappings->find("[vdso]");
  EXPECT_EQ(plan->vdso, vdso->start);
  EXPECT_TRUE(mappings->is_free(plan->code, 2 * payload::kPageSize));
  EXPECT_GE(plan->stub.address, vdso->start);
  EXPECT_EQ(plan->stub.address + plan->stub.size, vdso->end);
  ASSERT_EQ(plan->code_page.size(), payload::kPageSize);
  const auto code = payload::code();
  EXPECT_TRUE(std::equal(code.begin(),
                         code.begin() + static_cast<std::ptrdiff_t>(payload::original_offset()),
                         plan->code_page.begin()));
  payload::CodeRecord record;
  std::memcpy(&record, plan->code_page.data() + payload::kRecordOffset, sizeof record);
  EXPECT_EQ(record.magic, payload::kRecordMagic);
  EXPECT_EQ(record.vdso, vdso->start);
  EXPECT_EQ(record.vdso_size, vdso->size());
  ASSERT_EQ(record.patch_count, plan->functions.size());
  auto memory = tracee::Memory::open(child_.pid());
  for (size_t i = 0; i < plan->functions.size(); i++) {
    const FunctionPlan& function = plan->functions[i];
    EXPECT_EQ(std::memcmp(&record.patches[i], &function.record, sizeof function.record), 0);
    EXPECT_EQ(function.record.hook, plan->code + payload::hook_offset(function.function));
    const auto bytes = memory->read(function.entry, kJumpSize).value();
    EXPECT_EQ(std::memcmp(bytes.data(), function.record.original, kJumpSize), 0);
    EXPECT_EQ(function.record.patched[0], 0xe9);
    const bool one = function.method == Method::kOneByte;
    EXPECT_EQ(function.record.length, one ? 1U : kJumpSize);
    EXPECT_EQ(punned_target(function.entry, function.record.patched),
              one ? function.pad : function.record.hook);
  }
  EXPECT_EQ(of(*plan, Function::kClockGettime).method, Method::kOneByte) << "free in all programs";
}

TEST_F(Planned, PlanningChangesNothing) {
  const auto before = targets::Mappings::read(child_.pid());
  ASSERT_TRUE(plan());
  const auto after = targets::Mappings::read(child_.pid());
  EXPECT_EQ(before->all().size(), after->all().size());
  EXPECT_EQ(test::tracer_of(child_.pid()), 0);
}

TEST_F(Planned, FiveBytesWherePreferred) {
  const auto plan = this->plan(Detour::kFiveByte);
  ASSERT_TRUE(plan) << plan.error().line();
  EXPECT_TRUE(plan->needs_stopped_world());
  EXPECT_TRUE(plan->pads.empty());
  for (const FunctionPlan& function : plan->functions) {
    EXPECT_EQ(function.method, Method::kFiveBytes);
    EXPECT_EQ(function.record.length, kJumpSize);
    EXPECT_EQ(function.record.pad, 0U);
    EXPECT_EQ(punned_target(function.entry, function.record.patched), function.record.hook);
    if (function.moved == 0) continue;
    // The copy: the same instructions, in the code page, in front of the record.
    const uint64_t at = function.moved - plan->code;
    EXPECT_GE(at, payload::code().size());
    EXPECT_LT(at, payload::kRecordOffset);
    EXPECT_EQ(std::memcmp(plan->code_page.data() + at, function.record.original, kJumpSize), 0);
  }
}

TEST_F(Planned, PadsShareAPage) {
  ASSERT_NO_FATAL_FAILURE(replace_vdso(0x20, 0x40));
  const auto plan = this->plan();
  ASSERT_TRUE(plan) << plan.error().line();
  ASSERT_EQ(plan->functions.size(), 3U);
  EXPECT_EQ(plan->pads.size(), 1U);
  EXPECT_EQ(plan->pads[0].size, payload::kPageSize);
  for (const FunctionPlan& function : plan->functions) {
    EXPECT_EQ(function.method, Method::kOneByte);
    EXPECT_GE(function.pad, plan->pads[0].start);
    EXPECT_LE(function.pad + kPadSize, plan->pads[0].start + plan->pads[0].size);
  }
  EXPECT_FALSE(plan->needs_stopped_world());
  // The code is not in the pads' pages.
  EXPECT_TRUE(plan->code + 2 * payload::kPageSize <= plan->pads[0].start ||
              plan->code >= plan->pads[0].start + plan->pads[0].size);
}

TEST_F(Planned, PadsThatWouldOverlapMakeTheSecondFiveBytes) {
  ASSERT_NO_FATAL_FAILURE(replace_vdso(0x20, 0x20 + kPadSize - 1));
  const auto plan = this->plan();
  ASSERT_TRUE(plan) << plan.error().line();
  EXPECT_EQ(of(*plan, Function::kClockGettime).method, Method::kOneByte);
  EXPECT_EQ(of(*plan, Function::kGettimeofday).method, Method::kOneByte);
  EXPECT_EQ(of(*plan, Function::kTime).method, Method::kFiveBytes);
  EXPECT_TRUE(plan->needs_stopped_world());
}

TEST_F(Planned, PadsSideBySideAreFine) {
  ASSERT_NO_FATAL_FAILURE(replace_vdso(0x20, 0x20 + kPadSize));
  const auto plan = this->plan();
  ASSERT_TRUE(plan) << plan.error().line();
  EXPECT_EQ(of(*plan, Function::kTime).method, Method::kOneByte);
}

TEST_F(Planned, AVdsoWithoutTimeHasTwoFunctions) {
  ASSERT_NO_FATAL_FAILURE(replace_vdso(0x20, 0, false));
  const auto plan = this->plan();
  ASSERT_TRUE(plan) << plan.error().line();
  EXPECT_EQ(plan->functions.size(), 2U);
}

TEST_F(Planned, OneWithoutClockGettimeIsNotSupported) {
  const auto mappings = targets::Mappings::read(child_.pid());
  const targets::Mapping* vdso = mappings->find("[vdso]");
  FakeVdso fake;
  fake.functions = {{"__vdso_getcpu", 0, 6}};
  auto image = fake.bytes();
  image.resize(vdso->size());
  ASSERT_TRUE(tracee::Memory::open(child_.pid())->write(vdso->start, image));
  const auto plan = this->plan();
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind(), Exit::kUnsupported);
  EXPECT_THAT(plan.error().line(), HasSubstr("no __vdso_clock_gettime"));
}

TEST_F(Planned, ClockGettimeThatCannotBeMovedIsNotSupported) {
  ASSERT_NO_FATAL_FAILURE(replace_vdso(0x20, 0x40));
  const auto mappings = targets::Mappings::read(child_.pid());
  const uint64_t entry = mappings->find("[vdso]")->start + FakeVdso::kCode;
  auto memory = tracee::Memory::open(child_.pid());
  // lea rax, [rip]: its bytes may stand nowhere else. The same in gettimeofday is no obstacle,
  // because that function is not called any more.
  const std::vector<uint8_t> relative = {0x48, 0x8d, 0x05, 0, 0, 0, 0};
  ASSERT_TRUE(memory->write(entry + 0x20, relative));
  auto plan = this->plan(Detour::kFiveByte);
  ASSERT_TRUE(plan) << plan.error().line();
  EXPECT_TRUE(of(*plan, Function::kGettimeofday).boundaries.empty());
  EXPECT_EQ(of(*plan, Function::kGettimeofday).moved, 0U);
  ASSERT_TRUE(memory->write(entry, relative));
  plan = this->plan(Detour::kFiveByte);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind(), Exit::kUnsupported);
  EXPECT_THAT(plan.error().line(), HasSubstr("depends on rip"));
}

TEST_F(Planned, ABranchIntoTheJumpIsNotSupported) {
  ASSERT_NO_FATAL_FAILURE(replace_vdso(0x20, 0x40));
  const auto mappings = targets::Mappings::read(child_.pid());
  const uint64_t entry = mappings->find("[vdso]")->start + FakeVdso::kCode;
  auto memory = tracee::Memory::open(child_.pid());
  ASSERT_TRUE(memory->write(entry + 0x60, std::vector<uint8_t>{0xeb, 0x9f}));  // jmp entry + 1
  const auto plan = this->plan();
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().line(), HasSubstr("inside the jump"));
}

TEST(ReadVdso, AProcessWithoutOneIsNotSupported) {
  const auto mappings = targets::Mappings::parse("1000000-1001000 r-xp 00000000 00:00 0 \n");
  const Child child;
  const auto memory = tracee::Memory::open(child.pid());
  const auto vdso = read_vdso(*mappings, *memory);
  ASSERT_FALSE(vdso);
  EXPECT_EQ(vdso.error().kind(), Exit::kUnsupported);
  EXPECT_THAT(vdso.error().line(), HasSubstr("no vDSO"));
}

}  // namespace
}  // namespace time_chaos::vdso
