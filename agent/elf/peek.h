// One value out of another process's memory.
#pragma once

#include <type_traits>

#include "agent/elf/link_map.h"

namespace time_chaos::elf {

template <typename T>
Result<T> peek(const ReadMemory& read, uint64_t address) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value{};
  TC_CHECK(read(address, {reinterpret_cast<uint8_t*>(&value), sizeof value}));
  return value;
}

}  // namespace time_chaos::elf
