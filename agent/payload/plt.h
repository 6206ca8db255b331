// PLT mode: what the agent lays out inside a target besides the code page. Pages of their own hold
// the functions that GOT slots are led to, and the slot table: which slots were changed, and what
// stood in them. Whoever finds these pages can put everything back.
#pragma once

#include <cstdint>
#include <vector>

#include "agent/payload/layout.h"

namespace time_chaos::payload {

// "tc-plt01", little-endian.
inline constexpr uint64_t kSlotTableMagic = 0x3130746c702d6374;

// The functions whose GOT slots are changed.
enum class Imported : uint32_t { kClockGettime = 0, kGettimeofday = 1, kTime = 2, kSyscall = 3 };
inline constexpr uint32_t kImportedCount = 4;
const char* imported_name(Imported function);  // "clock_gettime"

struct SlotRecord {
  uint64_t address = 0;
  uint64_t original = 0;
  uint32_t function = 0;  // Imported
  uint32_t copied = 0;    // not 0: the program may make copies of what stands in the slot
};
static_assert(sizeof(SlotRecord) == 24);

// A slot's record is written before the slot is.
struct SlotTable {
  uint64_t magic = kSlotTableMagic;
  uint32_t active = 0;  // slots may be changed; 0: all have been put back
  uint32_t count = 0;
  // A bit for each Imported of which the program may have made copies: until these pages go,
  // because a copy outlives its slot and the slot's record.
  uint32_t copied = 0;
  uint32_t unused = 0;
  char modules[232] = {};  // those that were asked for, a line each; empty: all
};
static_assert(sizeof(SlotTable) == 256);

// From the start of these pages: functions, table, slots.
inline constexpr uint64_t kPltSize = 8 * kPageSize;
inline constexpr uint64_t kSlotTableOffset = 0x200;
inline constexpr uint64_t kSlotsOffset = kSlotTableOffset + sizeof(SlotTable);
inline constexpr uint32_t kMostSlots =
    static_cast<uint32_t>((kPltSize - kSlotsOffset) / sizeof(SlotRecord));

// Where slots of that function lead to. `code`, `plt`: where our pages are in the target.
uint64_t imported_hook(Imported function, uint64_t code, uint64_t plt);

// The C library's own functions in the target.
struct LibraryFunctions {
  uint64_t clock_gettime = 0;
  uint64_t syscall = 0;
};
// The functions of these pages, for code at `code`.
std::vector<uint8_t> plt_code(uint64_t code, const LibraryFunctions& library);

}  // namespace time_chaos::payload
