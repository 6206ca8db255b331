// A shared library of the user's as a file here: what it offers, and what would make it unfit to be
// loaded into a program that is running. Read before anything is touched.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/elf/link_map.h"

namespace time_chaos::elf {

class LibraryFile {
 public:
  // kUsage for a file that is not there, is no shared library for x86-64, or must not be loaded:
  // one that wants executable stacks, or thread-local variables (their first use allocates memory).
  static Result<LibraryFile> read(const std::string& path);
  static Result<LibraryFile> parse(std::vector<uint8_t> bytes, std::string name);

  [[nodiscard]] const std::string& name() const { return name_; }  // without its directory
  [[nodiscard]] const std::vector<uint8_t>& bytes() const { return bytes_; }
  // The address of a function that it defines, before anything is added to it.
  [[nodiscard]] Result<std::optional<uint64_t>> function(std::string_view symbol) const;

 private:
  struct Segment {
    uint64_t address = 0;
    uint64_t offset = 0;
    uint64_t size = 0;  // in the file
  };
  LibraryFile(std::vector<uint8_t> bytes, std::string name)
      : name_(std::move(name)), bytes_(std::move(bytes)) {}
  Status read_headers();
  Status read_at_address(uint64_t address, std::span<uint8_t> into) const;

  std::string name_;
  std::vector<uint8_t> bytes_;
  std::vector<Segment> segments_;
  uint64_t dynamic_ = 0;
};

}  // namespace time_chaos::elf
