// Bounded reads from bytes that nobody vouches for: what lies outside is nothing, not a crash.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace time_chaos::elf {

// Whether [offset, offset + size) lies inside `total` bytes. No sum that could wrap around.
constexpr bool fits(uint64_t offset, uint64_t size, uint64_t total) {
  return offset <= total && size <= total - offset;
}

// A copy, so that an unaligned offset does no harm.
template <typename T>
std::optional<T> read_at(std::span<const uint8_t> bytes, uint64_t offset) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (!fits(offset, sizeof(T), bytes.size())) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

// The string at `offset` of a string table. Nothing where it has no end within the table or within
// `limit` bytes: names that overlap could otherwise add up to the square of the image's size.
inline std::optional<std::string_view> string_at(std::span<const uint8_t> table, uint64_t offset,
                                                 uint64_t limit = 256) {
  if (offset >= table.size()) return std::nullopt;
  const std::span<const uint8_t> rest =
      table.subspan(offset, std::min<uint64_t>(limit, table.size() - offset));
  const auto end = std::find(rest.begin(), rest.end(), uint8_t{0});
  if (end == rest.end()) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(rest.data()),
                          static_cast<size_t>(end - rest.begin()));
}

}  // namespace time_chaos::elf
