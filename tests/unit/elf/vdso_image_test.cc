// What the parser accepts and what it refuses, one bent part at a time.
#include "agent/elf/vdso_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/unit/elf/fake_vdso.h"

namespace time_chaos::elf {
namespace {

using test::FakeVdso;
using testing::HasSubstr;

TEST(VdsoImage, ReadsAnImageMadeByHand) {
  const auto image = VdsoImage::parse(FakeVdso{}.bytes());
  ASSERT_TRUE(image) << image.error().line();
  EXPECT_EQ(image->soname(), "linux-vdso.so.1");
  const auto function = image->function("__vdso_clock_gettime");
  ASSERT_TRUE(function);
  EXPECT_EQ(function->offset, FakeVdso::kCode);
  EXPECT_EQ(function->size, 6U);
  EXPECT_EQ(image->functions().size(), 1U);
  EXPECT_EQ(image->code_begin(), FakeVdso::kCode);
  EXPECT_EQ(image->code_end(), FakeVdso::kCode + 6);
  // The section headers are the last content: 0xd00 + 3 * 64, a multiple of 64.
  EXPECT_EQ(image->content_end(), 0xdc0U);
  EXPECT_EQ(image->tail().size(), 0x240U);
  EXPECT_EQ(image->tail().data(), image->bytes().data() + 0xdc0);
}

TEST(VdsoImage, WithoutSectionsTheExecutableSegmentIsTheCode) {
  FakeVdso fake;
  fake.sections = false;
  const auto image = VdsoImage::parse(fake.bytes());
  ASSERT_TRUE(image) << image.error().line();
  EXPECT_EQ(image->code_begin(), 0U);
  EXPECT_EQ(image->code_end(), FakeVdso::kCode + 6);
  EXPECT_EQ(image->content_end(), 0x840U);  // 0x806 rounded up to 64
}

TEST(VdsoImage, CountsSymbolsByEitherHashTable) {
  for (const bool gnu : {false, true}) {
    FakeVdso fake;
    fake.hash = !gnu;
    fake.gnu_hash = gnu;
    fake.functions = {{"first", 0, 1}, {"second", 1, 1}, {"third", 2, 4}};
    const auto image = VdsoImage::parse(fake.bytes());
    ASSERT_TRUE(image) << image.error().line();
    EXPECT_EQ(image->functions().size(), 3U) << gnu;
    ASSERT_TRUE(image->function("third"));
    EXPECT_EQ(image->function("third")->offset, FakeVdso::kCode + 2);
  }
}

TEST(VdsoImage, AnEmptyGnuHashTableMeansNoSymbols) {
  FakeVdso fake;
  fake.hash = false;
  fake.gnu_hash = true;
  auto bytes = fake.bytes();
  FakeVdso::put(bytes, FakeVdso::kGnuHash + 28, uint32_t{0});  // the one bucket in use
  const auto image = VdsoImage::parse(bytes);
  ASSERT_TRUE(image) << image.error().line();
  EXPECT_TRUE(image->functions().empty());
}

TEST(VdsoImage, PrelinkedAddressesBecomeOffsets) {
  FakeVdso fake;
  fake.bias = 0xffffffffff700000;
  fake.gnu_hash = true;
  const auto image = VdsoImage::parse(fake.bytes());
  ASSERT_TRUE(image) << image.error().line();
  ASSERT_TRUE(image->function("__vdso_clock_gettime"));
  EXPECT_EQ(image->function("__vdso_clock_gettime")->offset, FakeVdso::kCode);
}

TEST(VdsoImage, UndefinedFunctionsAreNotThere) {
  FakeVdso fake;
  fake.functions[0].defined = false;
  const auto image = VdsoImage::parse(fake.bytes());
  ASSERT_TRUE(image);
  EXPECT_FALSE(image->function("__vdso_clock_gettime"));
}

struct Bent {
  const char* what;
  std::function<void(std::vector<uint8_t>&)> bend;
  Exit kind;
  const char* message;
};

void PrintTo(const Bent& bent, std::ostream* out) {
  *out << bent.what;
}

class BentImage : public testing::TestWithParam<Bent> {};

TEST_P(BentImage, IsRefused) {
  auto bytes = FakeVdso{}.bytes();
  GetParam().bend(bytes);
  const auto image = VdsoImage::parse(std::move(bytes));
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().kind(), GetParam().kind);
  EXPECT_THAT(image.error().line(), HasSubstr(GetParam().message));
}

template <typename T>
auto set(uint64_t offset, T value) {
  return [=](std::vector<uint8_t>& bytes) { FakeVdso::put(bytes, offset, value); };
}

constexpr uint64_t kLoad = sizeof(Elf64_Ehdr);
constexpr uint64_t kSymbol = FakeVdso::kSymbols + sizeof(Elf64_Sym);
constexpr uint64_t kText = FakeVdso::kSections + sizeof(Elf64_Shdr);
constexpr uint64_t kHuge = 0xfffffffffffffff0;  // wraps around in a careless sum
constexpr uint64_t kDyn = sizeof(Elf64_Dyn);

INSTANTIATE_TEST_SUITE_P(
    VdsoImage, BentImage,
    testing::Values(
        Bent{"Empty", [](auto& b) { b.clear(); }, Exit::kFailed, "no ELF magic"},
        Bent{"TooLarge", [](auto& b) { b.resize((1 << 20) + 1); }, Exit::kFailed, "too many"},
        Bent{"OtherMagic", set(0, uint32_t{0x464c4600}), Exit::kFailed, "no ELF magic"},
        Bent{"Class32", [](auto& b) { b[EI_CLASS] = ELFCLASS32, b[18] = EM_386; },
             Exit::kUnsupported, "a 32-bit vDSO"},
        Bent{"X32", [](auto& b) { b[EI_CLASS] = ELFCLASS32; }, Exit::kUnsupported, "an x32 vDSO"},
        Bent{"NoClass", [](auto& b) { b[EI_CLASS] = 7; }, Exit::kFailed, "unknown class"},
        Bent{"OtherMachine", set(18, uint16_t{EM_AARCH64}), Exit::kUnsupported, "machine 183"},
        Bent{"BigEndian", [](auto& b) { b[EI_DATA] = ELFDATA2MSB; }, Exit::kUnsupported,
             "not x86-64"},
        Bent{"Executable", set(16, uint16_t{ET_EXEC}), Exit::kFailed, "not a shared object"},
        Bent{"SegmentSize", set(54, uint16_t{57}), Exit::kFailed, "program headers of a strange"},
        Bent{"SegmentsOutside", set(32, kHuge), Exit::kFailed, "program headers outside"},
        Bent{"SectionSize", set(58, uint16_t{63}), Exit::kFailed, "section headers of a strange"},
        Bent{"SectionsOutside", set(40, kHuge), Exit::kFailed, "section headers outside"},
        Bent{"SegmentOutside", set(kLoad + 32, kHuge), Exit::kFailed, "a segment outside"},
        Bent{"MemoryOutside", set(kLoad + 40, uint64_t{0x1001}), Exit::kFailed,
             "a segment outside"},
        Bent{"NotExecutable", set(kLoad + 4, uint32_t{PF_R}), Exit::kFailed,
             "no executable segment"},
        Bent{"SectionOutside", set(kText + 32, kHuge), Exit::kFailed, "a section outside"},
        Bent{"TextNotInSegment", set(kText + 32, uint64_t{7}), Exit::kFailed,
             ".text outside the executable segment"},
        Bent{"NoDynamicTable", set(kLoad + 56, uint32_t{PT_NOTE}), Exit::kFailed,
             "no dynamic table"},
        Bent{"EmptyDynamicTable", set(FakeVdso::kDynamic, uint64_t{DT_NULL}), Exit::kFailed,
             "no dynamic symbols"},
        Bent{"NoHashTable", set(FakeVdso::kDynamic + kDyn, uint64_t{DT_DEBUG}), Exit::kFailed,
             "no hash table"},
        Bent{"HashOutside", set(FakeVdso::kDynamic + kDyn + 8, kHuge), Exit::kFailed,
             "hash table outside"},
        Bent{"StringsOutside", set(FakeVdso::kDynamic + 2 * kDyn + 8, kHuge), Exit::kFailed,
             "string table outside"},
        Bent{"SymbolsOutside", set(FakeVdso::kDynamic + 3 * kDyn + 8, kHuge), Exit::kFailed,
             "symbol table outside"},
        Bent{"SymbolSize", set(FakeVdso::kDynamic + 5 * kDyn + 8, uint64_t{16}), Exit::kFailed,
             "symbols of a strange size"},
        Bent{"TooManySymbols", set(FakeVdso::kHash + 4, uint32_t{4097}), Exit::kFailed,
             "4097 symbols"},
        Bent{"NamelessFunction", set(kSymbol, uint32_t{0xffffffff}), Exit::kFailed,
             "without a name"},
        Bent{"FunctionOutside", set(kSymbol + 8, kHuge), Exit::kFailed, "a function outside"},
        Bent{"FunctionTooLong", set(kSymbol + 16, kHuge), Exit::kFailed, "a function outside"}),
    [](const auto& test) { return std::string(test.param.what); });

TEST(VdsoImage, GnuHashChainsEndSomewhere) {
  FakeVdso fake;
  fake.hash = false;
  fake.gnu_hash = true;
  auto bytes = fake.bytes();
  for (size_t at = FakeVdso::kGnuHash + 32; at < bytes.size(); ++at) bytes[at] &= 0xfe;
  const auto image = VdsoImage::parse(bytes);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().kind(), Exit::kFailed);
}

TEST(VdsoImage, NamesHaveALimit) {
  FakeVdso fake;
  fake.functions[0].name.assign(255, 'a');
  // Such a string table reaches over DT_HASH in this image: use the other hash table.
  fake.hash = false;
  fake.gnu_hash = true;
  EXPECT_TRUE(VdsoImage::parse(fake.bytes()));
  fake.functions[0].name += 'a';
  EXPECT_FALSE(VdsoImage::parse(fake.bytes()));
}

}  // namespace
}  // namespace time_chaos::elf
