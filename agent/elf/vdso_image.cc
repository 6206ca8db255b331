// Puts the two halves of the parser (layout, dynamic table) together.
#include "agent/elf/vdso_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "agent/elf/dynamic.h"
#include "agent/elf/layout.h"

namespace time_chaos::elf {
namespace {

// Real ones have two to four pages. The limit bounds the work that a hostile image can cause.
constexpr size_t kMaxImage = size_t{1} << 20;
constexpr uint64_t kTailAlignment = 64;

}  // namespace

Result<VdsoImage> VdsoImage::parse(std::vector<uint8_t> bytes) {
  if (bytes.size() > kMaxImage) {
    return fail(Exit::kFailed,
                fmt::format("not a vDSO image: {} bytes are too many", bytes.size()));
  }
  TC_TRY(const Layout layout, read_layout(bytes));
  TC_TRY(Dynamic dynamic, read_dynamic(bytes, layout));
  VdsoImage image;
  image.code_begin_ = layout.code.begin;
  image.code_end_ = layout.code.end;
  const uint64_t rounded =
      (layout.content_end + kTailAlignment - 1) / kTailAlignment * kTailAlignment;
  image.content_end_ = std::min<uint64_t>(rounded, bytes.size());
  image.functions_ = std::move(dynamic.functions);
  image.soname_ = std::move(dynamic.soname);
  image.bytes_ = std::move(bytes);
  return image;
}

std::optional<Symbol> VdsoImage::function(std::string_view name) const {
  const auto found = functions_.find(name);
  if (found == functions_.end()) return std::nullopt;
  return found->second;
}

std::span<const uint8_t> VdsoImage::tail() const {
  return std::span<const uint8_t>(bytes_).subspan(content_end_);
}

}  // namespace time_chaos::elf
