// Where things lie in an ELF image: the part of the parser that reads program and section headers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "agent/base/error.h"

namespace time_chaos::elf {

// Offsets into the image; `end` is exclusive.
struct Range {
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct Layout {
  // Address minus offset, the same for all of the image: 0 for today's vDSOs, not for prelinked
  // ones.
  uint64_t bias = 0;
  Range code;
  std::optional<Range> dynamic;
  uint64_t content_end = 0;  // not rounded
};

// kFailed: what about the image breaks the rules of elf(5).
tl::unexpected<Error> malformed(std::string_view what);

// kUnsupported for images of another class or machine, kFailed for malformed ones. Every range it
// returns lies inside `bytes`.
Result<Layout> read_layout(std::span<const uint8_t> bytes);

}  // namespace time_chaos::elf
