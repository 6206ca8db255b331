#include "agent/vdso/computed.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "agent/clock/map_plan.h"
#include "agent/vdso/jump.h"
#include "agent/vdso/mirror_image.h"

namespace time_chaos::vdso {
namespace {

using payload::Function;
using Bytes = std::vector<uint8_t>;

// Compares copies of the target's pages with what an attach writes.
class Comparison {
 public:
  Comparison(const MirrorImage& image, const Found& found) : image_(image), found_(found) {}

  Status check() {
    original_ = image_.vdso_bytes;
    for (const payload::PatchRecord& patch : image_.patches) TC_CHECK(check_patch(patch));
    const auto code = payload::code().first(payload::original_offset());
    if (!stands_at(found_.code, {code.begin(), code.end()})) {
      return fail(Exit::kFailed, "its code page is not as written");
    }
    return check_prologue();
  }

  [[nodiscard]] std::optional<tc_clock_page> clock_page() const {
    const MirrorPiece* piece = piece_at(found_.clock_page(), sizeof(tc_clock_page));
    if (piece == nullptr) return std::nullopt;
    tc_clock_page page{};
    std::memcpy(&page, piece->bytes.data(), sizeof page);
    return page;
  }

 private:
  Status check_patch(const payload::PatchRecord& patch) {
    const auto function = static_cast<Function>(patch.function);
    const std::string name = payload::function_name(function);
    const uint64_t offset = patch.entry - image_.block.vdso;
    if (offset >= original_.size() || original_.size() - offset < kJumpSize) {
      return fail(Exit::kFailed, fmt::format("its record of {} is not as written", name));
    }
    const auto entry = original_.begin() + static_cast<std::ptrdiff_t>(offset);
    std::optional<Bytes> jump;
    if (patch.pad == 0) {
      jump = near_jump(patch.entry, patch.hook);
    } else if (punned_target(patch.entry, patch.original) == patch.pad) {
      jump = punned_entry(patch.original);
    }
    const uint64_t hook = found_.fake ? found_.fake->place + payload::fake_hook_offset(function)
                                      : found_.code + payload::hook_offset(function);
    const bool detoured =
        jump && std::equal(jump->begin(), jump->end(), entry) && patch.hook == hook;
    if (!detoured) return fail(Exit::kFailed, fmt::format("its {} is not detoured", name));
    if (patch.pad != 0 && !stands_at(patch.pad, pad_jump(patch.pad, patch.hook))) {
      return fail(Exit::kFailed, fmt::format("the landing pad of its {} is not as written", name));
    }
    std::copy_n(std::begin(patch.original), kJumpSize, entry);
    return {};
  }

  // The way from the payload back to the real clock_gettime.
  Status check_prologue() {
    TC_TRY(const auto image, elf::VdsoImage::parse(original_));
    TC_TRY(const Prologue prologue, read_prologue(image, image_.original - image_.block.vdso));
    const uint64_t at = found_.code + payload::original_offset();
    TC_TRY(const Bytes moved, relocated(prologue, image_.original, at));
    if (stands_at(at, moved)) return {};
    return fail(Exit::kFailed, "its copy of clock_gettime's first bytes is not as written");
  }

  [[nodiscard]] const MirrorPiece* piece_at(uint64_t address, uint64_t size) const {
    for (const MirrorPiece& piece : image_.pieces) {
      if (address >= piece.address && size <= piece.bytes.size() &&
          address - piece.address <= piece.bytes.size() - size) {
        return &piece;
      }
    }
    return nullptr;
  }

  [[nodiscard]] bool stands_at(uint64_t address, const Bytes& bytes) const {
    const MirrorPiece* piece = piece_at(address, bytes.size());
    if (piece == nullptr) return false;
    const auto at = piece->bytes.begin() + static_cast<std::ptrdiff_t>(address - piece->address);
    return std::equal(bytes.begin(), bytes.end(), at);
  }

  const MirrorImage& image_;
  const Found& found_;
  Bytes original_;  // the vDSO without our jumps
};

Mirror apply_page(const tc_clock_page& page) {
  const clock::ClockMaps maps = clock::maps_in_force(page);
  Mirror mirror;
  const clock::HostReadings host = clock::read_host_clocks();
  for (int id = 0; id < TC_CLOCK_COUNT; id++) {
    MirrorReading& reading = mirror.clocks[static_cast<size_t>(id)];
    reading.before = reading.after = host[static_cast<size_t>(id)];
    // How read_host_clocks() says that there is no such clock.
    if (reading.before == clock::Reading{}) reading.result = reading.host_result = -EINVAL;
    reading.shown = clock::apply(maps, id, reading.before);
  }
  mirror.gettimeofday = mirror.clocks[CLOCK_REALTIME];
  mirror.gettimeofday.shown.nsec -= mirror.gettimeofday.shown.nsec % 1000;
  mirror.time = mirror.clocks[CLOCK_REALTIME_COARSE];
  mirror.time.shown = {clock::apply(maps, CLOCK_REALTIME, mirror.time.before).sec, 0};
  mirror.has_time = true;
  mirror.tz_minuteswest = page.tz_minuteswest;
  mirror.tz_dsttime = page.tz_dsttime;
  return mirror;
}

}  // namespace

Result<Mirror> compute_mirror(pid_t pid, const Found& found) {
  TC_TRY(const MirrorImage image, read_image(pid, &found));
  Comparison comparison(image, found);
  TC_CHECK(comparison.check());
  const auto page = comparison.clock_page();
  if (!page) return fail(Exit::kFailed, "its clock page is not mapped");
  return apply_page(*page);
}

Result<Mirror> compute_unshifted_mirror(pid_t pid) {
  TC_TRY(const MirrorImage theirs, read_image(pid, nullptr));
  TC_TRY(const MirrorImage ours, read_image(::getpid(), nullptr));
  if (theirs.vdso_bytes != ours.vdso_bytes) {
    return fail(Exit::kFailed, "its vDSO is not as the kernel made it");
  }
  tc_clock_page page{};
  struct timezone zone {};
  ::syscall(SYS_gettimeofday, nullptr, &zone);
  page.tz_minuteswest = zone.tz_minuteswest;
  page.tz_dsttime = zone.tz_dsttime;
  return apply_page(page);
}

}  // namespace time_chaos::vdso
