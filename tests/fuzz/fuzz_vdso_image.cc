// The vDSO parser, and the decoder behind it, on images that only look like images: whatever the
// bytes, there is an answer, and all offsets in it lie inside the image.
#include <sys/auxv.h>

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "agent/elf/vdso_image.h"
#include "agent/vdso/prologue.h"
#include "tests/fuzz/seeds.h"
#include "tests/unit/elf/fake_vdso.h"
#include "tests/unit/elf/own_vdso.h"

using time_chaos::elf::VdsoImage;

std::vector<std::vector<uint8_t>> fuzz_seeds() {
  using time_chaos::test::FakeVdso;
  FakeVdso gnu;
  gnu.hash = false;
  gnu.gnu_hash = true;
  FakeVdso prelinked;
  prelinked.bias = 0xffffffffff700000;
  prelinked.sections = false;
  return {time_chaos::test::own_vdso().bytes, FakeVdso{}.bytes(), gnu.bytes(), prelinked.bytes()};
}

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto image = VdsoImage::parse({data, data + size});
  if (!image) {
    require(!image.error().line().empty());
    return 0;
  }
  require(image->bytes().size() == size);
  require(image->code_begin() <= image->code_end() && image->code_end() <= image->content_end());
  require(image->content_end() + image->tail().size() == size);
  for (const auto& [name, symbol] : image->functions()) {
    require(symbol.offset < size && symbol.size <= size - symbol.offset);
  }
  // A few functions are enough for the decoder.
  int decoded = 0;
  for (const auto& [name, symbol] : image->functions()) {
    if (const auto prologue = time_chaos::vdso::read_prologue(*image, symbol.offset)) {
      require(prologue->bytes.size() >= time_chaos::vdso::kJumpSize);
      require(symbol.offset + prologue->bytes.size() <= image->code_end());
    }
    static_cast<void>(time_chaos::vdso::check_no_branch_into(*image, symbol.offset));
    if (++decoded == 2) break;
  }
  return 0;
}
