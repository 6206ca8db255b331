// Everything of a target that its clock readings depend on, copied.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "agent/base/error.h"
#include "agent/targets/mappings.h"
#include "agent/vdso/find.h"

namespace time_chaos::vdso {

// Whole pages of the target.
struct MirrorPiece {
  uint64_t address = 0;
  std::vector<uint8_t> bytes;
  int protection = 0;  // PROT_*
};

// The vDSO of a process and the pages of kernel data (vvar) that it reads, which the kernel maps
// directly in front of it, in one to three mappings.
struct VdsoBlock {
  uint64_t vdso = 0;
  uint64_t vdso_size = 0;
  std::vector<payload::PageRange> vvar;

  [[nodiscard]] uint64_t start() const { return vvar.empty() ? vdso : vvar.front().start; }
  [[nodiscard]] uint64_t size() const { return vdso + vdso_size - start(); }
  // The same mappings at the same distances, wherever the whole is.
  [[nodiscard]] bool same_shape(const VdsoBlock& other) const;
};
// kUnsupported when there is no vDSO.
Result<VdsoBlock> find_block(const targets::Mappings& mappings);

struct MirrorImage {
  VdsoBlock block;
  std::vector<uint8_t> vdso_bytes;
  std::vector<MirrorPiece> pieces;  // code page, landing pads, clock page
  std::vector<payload::PatchRecord> patches;
  // Entries of the functions; `time` is 0 where the vDSO has none.
  uint64_t clock_gettime = 0;
  uint64_t gettimeofday = 0;
  uint64_t time = 0;
  uint64_t original = 0;  // the vDSO's clock_gettime
};

// `found`: nullptr for the vDSO alone.
Result<MirrorImage> read_image(pid_t pid, const Found* found);

}  // namespace time_chaos::vdso
