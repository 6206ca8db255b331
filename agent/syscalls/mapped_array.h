// A mappable BPF array, mapped: what the programs write is read, and read by them is written,
// without a system call.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <memory>
#include <span>

#include "agent/base/error.h"

namespace time_chaos::syscalls {

template <typename T>
class MappedArray {
 public:
  // T is the array's value, of a size that is a multiple of 8.
  static Result<MappedArray> open(int map, size_t count) {
    static_assert(sizeof(T) % 8 == 0, "else values are apart (array_map_alloc_check)");
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t size = (count * sizeof(T) + page - 1) / page * page;
    void* at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, map, 0);
    if (at == MAP_FAILED) return fail_errno("map a BPF array");
    return MappedArray(std::unique_ptr<void, Unmap>(at, Unmap{size}), count);
  }

  [[nodiscard]] std::span<const T> values() const {
    return {static_cast<const T*>(memory_.get()), count_};
  }

 private:
  struct Unmap {
    size_t size;
    void operator()(void* memory) const { ::munmap(memory, size); }
  };
  MappedArray(std::unique_ptr<void, Unmap> memory, size_t count)
      : memory_(std::move(memory)), count_(count) {}

  std::unique_ptr<void, Unmap> memory_;
  size_t count_;
};

}  // namespace time_chaos::syscalls
