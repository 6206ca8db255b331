// What is found in a process: by the record in the code page, or by what a dead agent's stub says.
#include "agent/vdso/find.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>

#include <algorithm>
#include <csignal>

#include "agent/vdso/clock_page.h"
#include "tests/unit/vdso/hot_child.h"

namespace time_chaos::vdso {
namespace {

using test::Child;
using test::eventually;
using test::HotChild;
using test::kHour;
using test::Shared;

TEST(FindExperiment, NothingInAProcessWithoutOne) {
  const Child child;
  const auto found = find_experiment(child.pid());
  ASSERT_TRUE(found) << found.error().line();
  EXPECT_FALSE(*found);
}

TEST(FindExperiment, APageThatOnlyLooksLikeOursIsNot) {
  // A shared page right behind anonymous code, as some runtimes have it.
  const Child child([] {
    void* const pages = ::mmap(nullptr, size_t{2} * 4096, PROT_READ | PROT_EXEC,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::mmap(static_cast<char*>(pages) + 4096, 4096, PROT_READ | PROT_WRITE,
           MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  });
  const auto found = find_experiment(child.pid());
  ASSERT_TRUE(found);
  EXPECT_FALSE(*found);
}

TEST(FindExperiment, AProcessThatIsGoneIsAnError) {
  Child child;
  child.end();
  const auto found = find_experiment(child.pid());
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind(), Exit::kNoTarget);
}

class Carrier : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto attached = test::shift(child_.pid());
    ASSERT_TRUE(attached) << attached.error().line();
    code_ = attached->code;
  }
  Found found() { return find_experiment(child_.pid()).value().value(); }
  tracee::Memory memory() { return tracee::Memory::open(child_.pid()).value(); }

  HotChild child_;
  uint64_t code_ = 0;
};

TEST_F(Carrier, IsShifted) {
  const Found found = this->found();
  EXPECT_EQ(found.state, State::kShifted);
  EXPECT_EQ(found.code, code_);
  EXPECT_EQ(found.clock_page(), code_ + 0x1000);
  EXPECT_EQ(found.patches().size(), 3U);
  EXPECT_FALSE(found.page_identity.empty());
  EXPECT_TRUE(found.stub_written);
  const auto pads = std::count_if(std::begin(found.record.pads), std::end(found.record.pads),
                                  [](const auto& pad) { return pad.size != 0; });
  EXPECT_EQ(found.pages.size(), 2U + static_cast<size_t>(pads));
  const auto mappings = targets::Mappings::read(child_.pid());
  for (const auto& page : found.pages) {
    const targets::Mapping* mapping = mappings->at(page.start);
    ASSERT_NE(mapping, nullptr);
    EXPECT_EQ(mapping->start, page.start);
    EXPECT_EQ(mapping->size(), page.size);
  }
}

TEST_F(Carrier, IsInertWhenItsBytesAreBack) {
  auto memory = this->memory();
  const Found before = found();
  const auto patches = before.patches();
  for (size_t i = 0; i < patches.size(); i++) {
    EXPECT_EQ(found().state, State::kShifted) << i;  // one detour is enough
    ASSERT_TRUE(memory.write(patches[i].entry, {patches[i].original, patches[i].length}));
  }
  EXPECT_EQ(found().state, State::kInert);
  EXPECT_EQ(found().pages.size(), before.pages.size());
}

TEST_F(Carrier, WithoutAValidRecordIsFoundByItsStub) {
  auto memory = this->memory();
  const Found before = found();
  for (const auto& patch : before.patches()) {
    ASSERT_TRUE(memory.write(patch.entry, {patch.original, patch.length}));
  }
  const uint64_t record = code_ + payload::kRecordOffset;
  for (const auto& [offset, value] :
       {std::pair{offsetof(payload::CodeRecord, patch_count), uint32_t{4}},
        std::pair{offsetof(payload::CodeRecord, version), uint32_t{99}},
        std::pair{offsetof(payload::CodeRecord, magic), uint32_t{0}}}) {
    ASSERT_TRUE(memory.write_value(record + offset, value));
    const Found found = this->found();
    EXPECT_EQ(found.state, State::kRemnant) << offset;
    EXPECT_EQ(found.code, code_);
    EXPECT_EQ(found.pages.size(), before.pages.size());
  }
  const auto recovered = test::undo(child_.pid());
  ASSERT_TRUE(recovered) << recovered.error().line();
  EXPECT_TRUE(recovered->unmapped) << recovered->still_mapped_because;
  EXPECT_TRUE(child_.reads(0));
  EXPECT_FALSE(find_experiment(child_.pid()).value());
}

TEST_F(Carrier, NothingIsLeftOfAStubThatDidNothing) {
  ASSERT_TRUE(test::undo(child_.pid()));
  // As after an agent that was killed between writing its stub and sending a thread there.
  auto memory = this->memory();
  const auto mappings = targets::Mappings::read(child_.pid());
  const auto vdso = read_vdso(*mappings, memory);
  payload::StubHeader header;
  header.code = code_;
  ASSERT_TRUE(memory.write_value(vdso->stub.address, header));
  const Found found = this->found();
  EXPECT_EQ(found.state, State::kRemnant);
  EXPECT_EQ(found.code, 0U);
  EXPECT_TRUE(found.pages.empty());
  const auto recovered = test::undo(child_.pid());
  ASSERT_TRUE(recovered) << recovered.error().line();
  EXPECT_FALSE(find_experiment(child_.pid()).value());
  EXPECT_EQ(memory.read_value<uint64_t>(vdso->stub.address).value(), 0U);
}

// What a target may write there itself: sizes and names that would lead the agent astray.
TEST_F(Carrier, ARecordThatCannotBeOursIsNotBelieved) {
  auto memory = this->memory();
  const uint64_t first = code_ + payload::kRecordOffset + offsetof(payload::CodeRecord, patches);
  const auto patch = found().patches().front();
  for (const auto& [offset, value] :
       {std::pair{offsetof(payload::PatchRecord, length), uint32_t{0}},
        std::pair{offsetof(payload::PatchRecord, length), uint32_t{9}},
        std::pair{offsetof(payload::PatchRecord, length), ~uint32_t{0}},
        std::pair{offsetof(payload::PatchRecord, function), uint32_t{3}}}) {
    ASSERT_TRUE(memory.write_value(first + offset, value));
    EXPECT_EQ(found().state, State::kRemnant) << offset << " " << value;
    ASSERT_TRUE(memory.write_value(first, patch));
    EXPECT_EQ(found().state, State::kShifted);
  }
}

TEST_F(Carrier, ANameWithoutAnEndOrWithControlsIsTamed) {
  auto page = ClockPage::open(child_.pid(), code_ + payload::kClockPageOffset);
  ASSERT_TRUE(page && page->publish(test::hour_ahead(), [](tc_clock_page& header) {
    std::memset(header.experiment, 'x', sizeof header.experiment);
    header.experiment[1] = '\n';
    header.experiment[2] = '\x1b';
    header.experiment[3] = '\xff';
  }));
  EXPECT_EQ(std::string(found().page.experiment), "x???" + std::string(43, 'x'));
}

// Somebody else's debugger, say.
TEST_F(Carrier, WithForeignBytesAtAnEntryIsShiftedAndNotRestored) {
  auto memory = this->memory();
  const auto patch = found().patches().front();
  child_.child().stop();                                        // it must not run into them
  ASSERT_TRUE(memory.write_value(patch.entry, uint8_t{0xeb}));  // neither ours nor the original
  EXPECT_EQ(found().state, State::kShifted);
  ASSERT_TRUE(memory.write(patch.entry, {patch.patched, patch.length}));
  ::kill(child_.pid(), SIGCONT);
}

// fork() inherits all of it: the child of a target shares its clock page, and one write moves both.
TEST(Sharers, AreTheTargetAndItsForkedChildren) {
  Shared<test::HotReport> first;
  Shared<test::HotReport> second;
  Shared<std::atomic<bool>> go;
  Shared<std::atomic<pid_t>> forked;
  const test::FreshChild parent([&] {
    while (!*go) ::sched_yield();
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      test::read_hot(*second);
    }
    *forked = pid;
    test::read_hot(*first);
  });
  ASSERT_TRUE(test::shift(parent.pid()));
  *go = true;
  ASSERT_TRUE(eventually([&] { return first->reads > 100 && second->reads > 100; }));
  EXPECT_EQ(first->gettime, kHour);
  EXPECT_EQ(second->gettime, kHour);
  const auto found = find_experiment(parent.pid());
  ASSERT_TRUE(found && *found);
  std::vector<pid_t> family = {parent.pid(), *forked};
  std::sort(family.begin(), family.end());
  EXPECT_EQ(sharers((*found)->page_identity), family);
  EXPECT_EQ(find_experiment(*forked).value()->page_identity, (*found)->page_identity);

  {
    auto page = ClockPage::open(parent.pid(), (*found)->clock_page());
    ASSERT_TRUE(page && page->publish(clock::identity_maps()));
  }
  ASSERT_TRUE(eventually([&] { return first->gettime == 0 && second->gettime == 0; }));

  ASSERT_TRUE(test::undo(parent.pid()));
  EXPECT_EQ(sharers((*found)->page_identity), std::vector<pid_t>{*forked});
  ASSERT_TRUE(test::undo(*forked));
  EXPECT_TRUE(sharers((*found)->page_identity).empty());
  EXPECT_EQ(first->wild, 0U);
  EXPECT_EQ(second->wild, 0U);
}

}  // namespace
}  // namespace time_chaos::vdso
