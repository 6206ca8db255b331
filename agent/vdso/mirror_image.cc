#include "agent/vdso/mirror_image.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>

namespace time_chaos::vdso {
namespace {

using payload::Function;

// A landing pad of 14 bytes needs two pages at most. The record that says where they are lies in
// the target's memory, so it is not trusted.
constexpr uint64_t kMostPiece = 2 * payload::kPageSize;

bool is_pad(const payload::CodeRecord& record, uint64_t start) {
  return std::any_of(std::begin(record.pads), std::end(record.pads),
                     [&](const payload::PageRange& pad) { return pad.start == start; });
}

// 0 where there is no such function.
uint64_t entry_of(const Vdso& vdso, Function function) {
  const auto symbol = vdso.image.function(payload::function_symbol(function));
  if (!symbol || symbol->offset >= vdso.image.bytes().size()) return 0;
  return vdso.start + symbol->offset;
}

}  // namespace

bool VdsoBlock::same_shape(const VdsoBlock& other) const {
  return vdso_size == other.vdso_size && vdso - start() == other.vdso - other.start() &&
         std::equal(vvar.begin(), vvar.end(), other.vvar.begin(), other.vvar.end(),
                    [&](const auto& a, const auto& b) {
                      return a.size == b.size && vdso - a.start == other.vdso - b.start;
                    });
}

Result<VdsoBlock> find_block(const targets::Mappings& mappings) {
  const auto& all = mappings.all();
  const auto vdso = std::find_if(all.begin(), all.end(),
                                 [](const targets::Mapping& m) { return m.path == "[vdso]"; });
  if (vdso == all.end()) return fail(Exit::kUnsupported, "there is no vDSO");
  VdsoBlock block{vdso->start, vdso->size(), {}};
  // "[vvar]", and since Linux 6.13 "[vvar_vclock]" (arch/x86/entry/vdso/vma.c).
  for (auto before = vdso; before != all.begin();) {
    --before;
    if (before->end != block.start() || before->path.rfind("[vvar", 0) != 0) break;
    block.vvar.insert(block.vvar.begin(), {before->start, before->size()});
  }
  return block;
}

Result<MirrorImage> read_image(pid_t pid, const Found* found) {
  TC_TRY(const targets::Mappings mappings, targets::Mappings::read(pid));
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid));
  TC_TRY(const Vdso vdso, read_vdso(mappings, memory));
  MirrorImage image;
  TC_TRY(image.block, find_block(mappings));
  const auto bytes = vdso.image.bytes();
  image.vdso_bytes.assign(bytes.begin(), bytes.end());
  image.clock_gettime = entry_of(vdso, Function::kClockGettime);
  image.original = image.clock_gettime;
  image.gettimeofday = entry_of(vdso, Function::kGettimeofday);
  image.time = entry_of(vdso, Function::kTime);
  if (image.clock_gettime == 0 || image.gettimeofday == 0) {
    return fail(Exit::kUnsupported, "its vDSO has no clock functions");
  }
  if (found == nullptr) return image;

  image.patches = found->patches();
  if (found->slots || found->fake) {
    // What its slots lead to, or a library asks for the real time. A vDSO without time() has no
    // need of ours.
    image.clock_gettime = found->code + payload::hook_offset(Function::kClockGettime);
    image.gettimeofday = found->code + payload::hook_offset(Function::kGettimeofday);
    image.time = found->code + payload::hook_offset(Function::kTime);
  }
  for (const payload::PageRange& page : found->pages) {
    if (found->slots && page.start == found->record.plt) continue;  // the C library's conventions
    // A library of the user's is run by nobody but its process.
    if (found->fake && is_pad(found->record, page.start)) continue;
    if (page.size > kMostPiece) {
      return fail(Exit::kFailed, fmt::format("its record names {} bytes at {:#x} as a landing pad",
                                             page.size, page.start));
    }
    TC_TRY(auto content, memory.read(page.start, page.size));
    const int access = page.start == found->clock_page() ? PROT_READ : PROT_READ | PROT_EXEC;
    image.pieces.push_back({page.start, std::move(content), access});
  }
  return image;
}

}  // namespace time_chaos::vdso
