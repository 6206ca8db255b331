// What the agent lays out inside a target: a code page (payload, then a record that says what was
// changed), and the clock page right behind it. Whoever finds these pages can undo the experiment.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "time_chaos/abi/clock_page.h"

namespace time_chaos::payload {

inline constexpr uint64_t kPageSize = TC_PAGE_SIZE;
inline constexpr uint64_t kClockPageOffset = 0x1000;  // from the code page
inline constexpr uint64_t kRecordOffset = 0xc00;      // inside the code page
inline constexpr int kMaxFunctions = 3;
inline constexpr int kMaxPads = 3;

// "tc-code1" and "tc-stub1", little-endian.
inline constexpr uint64_t kRecordMagic = 0x3165646f632d6374;
inline constexpr uint64_t kStubMagic = 0x31627574732d6374;
inline constexpr uint32_t kRecordVersion = 2;

// The vDSO functions that are detoured, in the order in which they are planned and reported.
enum class Function : uint32_t { kClockGettime = 0, kGettimeofday = 1, kTime = 2 };
const char* function_name(Function function);    // "clock_gettime"
const char* function_symbol(Function function);  // "__vdso_clock_gettime"

struct PatchRecord {
  uint64_t entry = 0;  // address of the function in the vDSO
  uint64_t hook = 0;   // address of our function in the code page
  uint64_t pad = 0;    // address of the landing pad; 0 when five bytes are patched
  uint32_t function = 0;
  uint32_t length = 0;  // bytes that are changed at entry: 1 or 5
  uint8_t original[8] = {};
  uint8_t patched[8] = {};
};
static_assert(sizeof(PatchRecord) == 48);

struct PageRange {
  uint64_t start = 0;
  uint64_t size = 0;
};

struct CodeRecord {
  uint64_t magic = kRecordMagic;
  uint32_t version = kRecordVersion;
  uint32_t patch_count = 0;
  uint64_t vdso = 0;
  uint64_t vdso_size = 0;
  PageRange pads[kMaxPads] = {};
  PatchRecord patches[kMaxFunctions] = {};
  uint64_t plt = 0;  // PLT mode (plt.h): where its pages are, in the place of the first landing pad
};
static_assert(sizeof(CodeRecord) <= kPageSize - kRecordOffset);

// Stands in front of the stub in the zero bytes at the end of the vDSO for as long as the stub
// does: what the thread `tid` has been sent to map. It is how an attach that was killed before it
// wrote a CodeRecord is found and undone.
struct StubHeader {
  uint64_t magic = kStubMagic;
  uint32_t tid = 0;   // as the target's own kernel names it for us: in the agent's pid namespace
  uint32_t size = 0;  // of header and stub together
  uint64_t code = 0;  // the code page; the clock page follows it
  PageRange pads[kMaxPads] = {};
};
static_assert(sizeof(StubHeader) == 72);

// The payload's bytes and the offsets of its functions.
std::span<const uint8_t> code();
uint64_t hook_offset(Function function);
uint64_t original_offset();
inline constexpr uint64_t kOriginalSlotSize = 64;

// What the code page has left, as offsets: for calls that return through a slot (call_slot.h). It
// goes with the page, which stays as long as a thread stands in it.
std::array<PageRange, 2> free_space();

}  // namespace time_chaos::payload
