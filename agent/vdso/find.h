// Finds an experiment by what is in a target itself: there is no state file to lose.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/payload/layout.h"
#include "agent/tracee/call_slot.h"
#include "agent/vdso/plan.h"
#include "agent/vdso/plt_table.h"

namespace time_chaos::vdso {

enum class State {
  kShifted,  // detoured, or some of its slots lead to us
  kInert,    // the vDSO's bytes are as before; our code is still mapped
  kRemnant,  // an agent died before it was done; nothing is shifted
};

struct Found {
  State state = State::kRemnant;
  uint64_t code = 0;  // 0: not even the code page is there
  // kShifted and kInert.
  payload::CodeRecord record;
  tc_clock_page page{};
  std::string page_identity;  // device and inode: the same for all processes that share the page
  // Ranges of ours that are mapped now: pads (or what stands in their places), more slots; code and
  // clock page come last.
  std::vector<payload::PageRange> pages;
  std::vector<tracee::SlotRange> more_slots;
  StubPlace stub;
  std::optional<payload::SlotTable> slots;  // PLT mode
  std::optional<FakeFound> fake;            // a library of the user's
  size_t led = 0;                           // how many of them lead to us
  bool stub_written = false;                // the end of the vDSO is not all zero

  [[nodiscard]] uint64_t clock_page() const { return code + payload::kClockPageOffset; }
  [[nodiscard]] std::vector<payload::PatchRecord> patches() const {
    return {record.patches, record.patches + record.patch_count};
  }
  [[nodiscard]] PltPlace plt() const { return {code, record.plt}; }
  // Room for calls with a replaced argument: in the code page, and what was mapped for more.
  [[nodiscard]] std::vector<tracee::SlotRange> call_slots() const;
};

// Nothing when the process carries nothing of ours. Errors only where it cannot be looked at.
Result<std::optional<Found>> find_experiment(pid_t pid);

// Of a mapping of a clock page, whoever has it: Found::page_identity.
std::string identity_of(const targets::Mapping& mapping);

// Every process that maps the same clock page as `identity`: the target and its forked children.
std::vector<pid_t> sharers(const std::string& identity);

}  // namespace time_chaos::vdso
