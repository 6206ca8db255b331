// A clock of the user's own (--fake): what the agent lays out inside a target besides the code
// page. A page of code; pages of data, which the target can write to; and an empty page, like the
// first, so that the pages between them stay a mapping of their own. They stand in the places of
// the three landing pads, of which there is no need: functions are patched by five bytes. Whoever
// finds these pages can unload the library.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/payload/fake_call.h"
#include "agent/payload/layout.h"

namespace time_chaos::payload {

// "tc-fake1", little-endian.
inline constexpr uint64_t kFakeMagic = 0x31656b61662d6374;

// In the first page, behind its code.
struct FakeRecord {
  uint64_t magic = kFakeMagic;
  uint64_t errno_location = 0;
  uint64_t unload = 0;               // the loader's dlclose
  uint32_t functions = 0;            // bit f: the library has Function f
  uint32_t never_unloads = 0;        // not 0: this C library's dlclose does nothing
  char name[TC_FAKE_NAME_MAX] = {};  // the library's file, without its directory
};
inline constexpr uint64_t kFakeRecordOffset = 0xe00;
static_assert(sizeof(FakeRecord) <= kPageSize - kFakeRecordOffset);

// Where the library's functions lead to, as fake_x86_64.S has it.
struct FakeData {
  uint64_t all_signals = ~uint64_t{0};
  uint64_t real = 0;  // the real clock_gettime, relocated
  uint64_t clock_page = 0;
  uint64_t original[3] = {};  // struct time_chaos_original
  uint64_t library[3] = {};
  uint64_t on = 0;  // the library is asked
};

// From the start of these pages.
inline constexpr uint64_t kFakeCallOffset = kPageSize;
inline constexpr uint64_t kFakeVectorsSize = 0x4000;
inline constexpr uint64_t kFakeImageOffset = 0x46000;  // behind a stack of 256 KiB

// All of it, for a library of that many bytes.
uint64_t fake_size(uint64_t image_size);
// The three mappings of it.
std::array<PageRange, 3> fake_parts(uint64_t place, uint64_t image_size);
// Where such pages begin, if those are theirs.
std::optional<uint64_t> fake_place(const PageRange (&pads)[kMaxPads]);

uint64_t fake_hook_offset(Function function);
uint64_t fake_enter_offset();
uint64_t fake_restart_offset();
uint64_t fake_data_offset();
std::vector<uint8_t> fake_code();

// What routes lead to by default, for a code page at `code`.
FakeData fake_data(uint64_t code);

}  // namespace time_chaos::payload
