// The vDSO image of a process, read from its memory: nothing in it is trusted.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"

namespace time_chaos::elf {

struct Symbol {
  uint64_t offset = 0;  // from the start of the image
  uint64_t size = 0;
};

// A parsed copy of a vDSO. In a vDSO file layout and memory layout are the same.
class VdsoImage {
 public:
  // `bytes`: the whole mapping. kUnsupported for 32-bit and x32 images and other machines (said in
  // the message), kFailed for what is not a well-formed image. Never reads out of bounds, never
  // loops for ever, whatever the bytes (fuzzed).
  static Result<VdsoImage> parse(std::vector<uint8_t> bytes);

  [[nodiscard]] std::span<const uint8_t> bytes() const { return bytes_; }
  // A defined function by its dynamic symbol name ("__vdso_clock_gettime").
  [[nodiscard]] std::optional<Symbol> function(std::string_view name) const;
  // All of them, by name; several names may have the same offset.
  [[nodiscard]] const std::map<std::string, Symbol, std::less<>>& functions() const {
    return functions_;
  }
  // [begin, end) of the executable code, as offsets (from .text if there are section headers, else
  // from the executable segment).
  [[nodiscard]] uint64_t code_begin() const { return code_begin_; }
  [[nodiscard]] uint64_t code_end() const { return code_end_; }
  // The first offset behind everything that belongs to the image (segments, section contents,
  // section headers), rounded up to 64.
  [[nodiscard]] uint64_t content_end() const { return content_end_; }
  // Bytes from content_end() to the end of the mapping.
  [[nodiscard]] std::span<const uint8_t> tail() const;
  // The soname, usually "linux-vdso.so.1"; empty when absent.
  [[nodiscard]] const std::string& soname() const { return soname_; }

 private:
  std::vector<uint8_t> bytes_;
  std::map<std::string, Symbol, std::less<>> functions_;
  std::string soname_;
  uint64_t code_begin_ = 0;
  uint64_t code_end_ = 0;
  uint64_t content_end_ = 0;
};

}  // namespace time_chaos::elf
