#include "agent/tracee/hidden_vdso.h"

#include <elf.h>

#include <cstring>
#include <span>
#include <vector>

namespace time_chaos::tracee {
namespace {

// "tc-h": the upper half of the value of a 64-bit program's entry, the first of a 32-bit one's two.
constexpr uint64_t kMark = 0x682d6374;
// Arguments and environment are at most 3/4 of the stack's limit, 6 MiB (fs/exec.c); pointers to
// them can be as many as their bytes.
constexpr uint64_t kMostWords = 8'000'000;
constexpr uint64_t kChunk = 512;       // words read at once
constexpr uint64_t kMostEntries = 64;  // of the vector; the kernel's has about 20

// The stack of a program as the kernel lays it out: argc, argv, 0, environment, 0, the vector.
class Stack {
 public:
  Stack(const Memory& memory, uint64_t start, uint64_t word)
      : memory_(memory), start_(start), word_(word) {}

  [[nodiscard]] uint64_t word_size() const { return word_; }
  [[nodiscard]] uint64_t at(uint64_t index) const { return start_ + index * word_; }

  Result<std::vector<uint64_t>> read(uint64_t index, uint64_t count) const {
    // Up to where the stack ends: what is asked for may be more than there is.
    std::vector<uint8_t> bytes(count * word_);
    bytes.resize(memory_.read_as_target(at(index), bytes) / word_ * word_);
    if (bytes.empty()) return fail(Exit::kFailed, "its stack cannot be read");
    std::vector<uint64_t> words(bytes.size() / word_);
    for (size_t i = 0; i < words.size(); i++) {
      std::memcpy(&words[i], bytes.data() + i * word_, word_);
    }
    return words;
  }

  // The index of the vector's first word.
  Result<uint64_t> vector() const {
    TC_TRY(const auto argc, read(0, 1));
    uint64_t index = 1 + argc[0] + 1;
    while (index < kMostWords) {
      TC_TRY(const auto words, read(index, kChunk));
      for (size_t i = 0; i < words.size(); i++) {
        if (words[i] == 0) return index + i + 1;
      }
      index += words.size();
    }
    return fail(Exit::kFailed, "its stack holds no environment that ends");
  }

 private:
  const Memory& memory_;
  uint64_t start_;
  uint64_t word_;
};

struct Entry {
  uint64_t type = AT_NULL;
  uint64_t value = 0;
  bool operator==(const Entry&) const = default;
};

Result<std::vector<Entry>> entries(const Stack& stack, uint64_t vector) {
  TC_TRY(const auto words, stack.read(vector, 2 * kMostEntries));
  std::vector<Entry> list;
  for (size_t i = 0; i + 1 < words.size() && words[i] != AT_NULL; i += 2) {
    list.push_back({words[i], words[i + 1]});
  }
  return list;
}

Status write(Memory& memory, const Stack& stack, uint64_t index, const Entry& entry) {
  std::vector<uint8_t> bytes(2 * stack.word_size());
  std::memcpy(bytes.data(), &entry.type, stack.word_size());
  std::memcpy(bytes.data() + stack.word_size(), &entry.value, stack.word_size());
  return memory.write(stack.at(index), bytes);
}

}  // namespace

Result<bool> hide_vdso(Memory& memory, const Registers& registers, pid_t target) {
  const Stack stack(memory, registers.sp(), registers.narrow() ? 4 : 8);
  TC_TRY(const uint64_t vector, stack.vector());
  TC_TRY(auto wanted, entries(stack, vector));
  const auto id = static_cast<uint64_t>(static_cast<uint32_t>(target));
  bool any = false;
  for (size_t i = 0; i < wanted.size(); i++) {
    Entry& entry = wanted[i];
    if (entry.type == AT_SYSINFO) {  // of 32-bit programs only: how to enter the kernel
      entry = {AT_IGNORE, kMark};
    } else if (entry.type == AT_SYSINFO_EHDR) {
      entry = {AT_IGNORE, registers.narrow() ? id : kMark << 32 | id};
    } else {
      continue;
    }
    TC_CHECK(write(memory, stack, vector + 2 * i, entry));
    any = true;
  }
  TC_TRY(const auto now, entries(stack, vector));
  if (now != wanted) return fail(Exit::kFailed, "what was written to its stack is not there");
  return any;
}

std::optional<pid_t> read_mark(const Memory& memory, uint64_t start) {
  for (const uint64_t word : {8, 4}) {
    const Stack stack(memory, start, word);
    const auto vector = stack.vector();
    if (!vector) continue;
    const auto list = entries(stack, *vector);
    if (!list) continue;
    for (size_t i = 0; i < list->size(); i++) {
      const Entry& entry = (*list)[i];
      if (entry.type != AT_IGNORE) continue;
      if (word == 8 && entry.value >> 32 == kMark) return static_cast<pid_t>(entry.value);
      if (word == 4 && entry.value == kMark && i + 1 < list->size() &&
          (*list)[i + 1].type == AT_IGNORE) {
        return static_cast<pid_t>((*list)[i + 1].value);
      }
    }
  }
  return std::nullopt;
}

}  // namespace time_chaos::tracee
