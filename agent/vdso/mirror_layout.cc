#include "agent/vdso/mirror_layout.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "agent/vdso/jump.h"
#include "agent/vdso/placement.h"

namespace time_chaos::vdso {
namespace {

constexpr uint64_t kStep = uint64_t{64} << 20;
constexpr uint64_t kMostSteps = 4096;  // 256 GiB down from our own vDSO

class Layout {
 public:
  Layout(const MirrorImage& image, const VdsoBlock& own, const Placement& placement)
      : image_(image), own_(own), placement_(placement) {}

  // Modulo 2^64: what is added to the target's addresses. Best first: where our own vDSO is, so
  // that it need not move (a sealed one cannot); the target's own addresses; any others.
  [[nodiscard]] std::optional<uint64_t> distance() const {
    if (pieces_fit(staying())) return staying();
    if (all_fit(0)) return 0;
    for (uint64_t i = 1; i <= kMostSteps; i++) {
      const uint64_t distance = staying() - i * kStep;
      if (all_fit(distance)) return distance;
    }
    return std::nullopt;
  }

  [[nodiscard]] MirrorJob job(uint64_t distance) const {
    MirrorJob job;
    job.pieces = image_.pieces;
    for (MirrorPiece& piece : job.pieces) {
      redirect_pads(piece, distance);
      piece.address += distance;
    }
    job.vdso = {image_.block.vdso + distance, image_.vdso_bytes, PROT_READ | PROT_EXEC};
    if (distance != staying()) {
      for (size_t i = 0; i < own_.vvar.size(); i++) {
        const payload::PageRange& from = own_.vvar[i];
        job.vvar.push_back({from.start, image_.block.vvar[i].start + distance, from.size});
      }
      const uint64_t start = image_.block.start();
      job.vvar_place = {start + distance, image_.block.vdso - start};
    }
    job.clock_gettime = image_.clock_gettime + distance;
    job.gettimeofday = image_.gettimeofday + distance;
    job.time = image_.time == 0 ? 0 : image_.time + distance;
    return job;
  }

 private:
  [[nodiscard]] uint64_t staying() const { return own_.vdso - image_.block.vdso; }

  [[nodiscard]] bool pieces_fit(uint64_t distance) const {
    return std::all_of(image_.pieces.begin(), image_.pieces.end(), [&](const MirrorPiece& piece) {
      return placement_.usable(piece.address + distance, piece.bytes.size());
    });
  }
  [[nodiscard]] bool all_fit(uint64_t distance) const {
    return pieces_fit(distance) &&
           placement_.usable(image_.block.start() + distance, image_.block.size());
  }

  // A far landing pad holds the hook's address. One that is not as the agent wrote it is copied as
  // it is.
  void redirect_pads(MirrorPiece& piece, uint64_t distance) const {
    for (const payload::PatchRecord& patch : image_.patches) {
      if (patch.pad < piece.address) continue;
      const uint64_t offset = patch.pad - piece.address;
      const auto jump = pad_jump(patch.pad, patch.hook);
      if (offset >= piece.bytes.size() || jump.size() > piece.bytes.size() - offset) continue;
      const auto at = piece.bytes.begin() + static_cast<std::ptrdiff_t>(offset);
      if (!std::equal(jump.begin(), jump.end(), at)) continue;
      const auto moved = pad_jump(patch.pad + distance, patch.hook + distance);
      std::copy(moved.begin(), moved.end(), at);
    }
  }

  const MirrorImage& image_;
  const VdsoBlock& own_;
  const Placement& placement_;
};

std::vector<payload::PageRange> writable_shared(const targets::Mappings& own, uint64_t but) {
  std::vector<payload::PageRange> shared;
  for (const targets::Mapping& mapping : own.all()) {
    if (mapping.perms[1] == 'w' && mapping.perms[3] == 's' && mapping.start != but) {
      shared.push_back({mapping.start, mapping.size()});
    }
  }
  return shared;
}

}  // namespace

Result<MirrorJob> lay_out(const MirrorImage& image, const targets::Mappings& own,
                          MirrorReport* report) {
  TC_TRY(const VdsoBlock block, find_block(own));
  if (!block.same_shape(image.block)) {
    return fail(Exit::kUnsupported, "its vDSO is not laid out as ours is");
  }
  const Placement placement(own, stack_limit_of(::getpid()));
  const Layout layout(image, block, placement);
  const auto distance = layout.distance();
  if (!distance) return fail(Exit::kUnsupported, "no room for a mirror in our address space");
  MirrorJob job = layout.job(*distance);
  job.shared = writable_shared(own, reinterpret_cast<uint64_t>(report));
  job.report = report;
  return job;
}

}  // namespace time_chaos::vdso
