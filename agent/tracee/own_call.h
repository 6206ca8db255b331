// A system call of ours, made by a thread of the target in place of the one that it was about to
// make, in such a way that it goes on as if there had been none whatever happens to the agent.
//
// As with a replaced argument (call_slot.h) the call returns into a few instructions written for
// it. These put back all registers that a call has and jump to where the thread was: to its own
// call's instruction, so that it makes that one now. As long as the agent lives it puts the
// registers back itself, at the exit of the call, and nobody runs them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "agent/tracee/call_slot.h"
#include "agent/tracee/registers.h"

namespace time_chaos::tracee {

inline constexpr uint64_t kOwnCallCode = 88;
inline constexpr uint64_t kOwnCallNote = 96;  // behind the code: what the agent notes
inline constexpr uint64_t kOwnCallSize = 3 * kSlotSize;

// The range that such a call maps.
struct OwnCallNote {
  uint64_t start = 0;
  uint64_t size = 0;
};
static_assert(kOwnCallNote + sizeof(OwnCallNote) <= kOwnCallSize);

struct OwnCall {
  int64_t number = 0;
  std::array<uint64_t, 6> arguments{};
};

// What the thread goes on with.
struct Home {
  std::array<uint64_t, 6> arguments{};
  uint64_t result = 0;  // the register that holds a call's number, and then its result
  uint64_t ip = 0;
  bool narrow = false;
  bool operator==(const Home&) const = default;
};

// Of a thread at the entry of a call: it makes that call again.
Home call_again(const Registers& entry, bool narrow);

std::array<uint8_t, kOwnCallCode> own_call_code(const Home& home, uint64_t at);
// The reverse; nothing if it is no such code.
std::optional<Home> parse_own_call(std::span<const uint8_t> code, uint64_t at);

// The registers at the entry of a call, with ours in its place.
Registers through_own_call(const Registers& entry, const OwnCall& call, bool narrow, uint64_t at);
// Wherever in that code the thread stands: at home.
Registers at_home(const Registers& stopped, const Home& home);

}  // namespace time_chaos::tracee
