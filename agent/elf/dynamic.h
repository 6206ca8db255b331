// The dynamic table of an ELF image: its functions by name, and its own name.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "agent/base/error.h"
#include "agent/elf/layout.h"
#include "agent/elf/vdso_image.h"

namespace time_chaos::elf {

struct Dynamic {
  std::map<std::string, Symbol, std::less<>> functions;
  std::string soname;
};

// Defined functions only; each lies inside `bytes`. kFailed for a malformed or missing table.
Result<Dynamic> read_dynamic(std::span<const uint8_t> bytes, const Layout& layout);

}  // namespace time_chaos::elf
