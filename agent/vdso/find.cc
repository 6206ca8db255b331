#include "agent/vdso/find.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "agent/targets/process.h"
#include "agent/tracee/more_slots.h"
#include "agent/vdso/jump.h"

namespace time_chaos::vdso {
namespace {

constexpr uint64_t kPage = payload::kPageSize;

// A shared page of ours is anonymous shared memory, which the kernel shows as this file.
bool may_be_clock_page(const targets::Mapping& mapping) {
  return mapping.size() == kPage && mapping.perms.size() == 4 && mapping.perms[3] == 's' &&
         mapping.path == "/dev/zero (deleted)";
}

bool may_be_code(const targets::Mapping* mapping) {
  return mapping != nullptr && mapping->anonymous() && mapping->perms == "r-xp";
}

bool may_be_data(const targets::Mapping* mapping) {
  return mapping != nullptr && mapping->anonymous() && mapping->perms == "rw-p";
}

// The record is in the target's memory: what it says is not trusted.
bool plausible(const payload::CodeRecord& record) {
  if (record.magic != payload::kRecordMagic || record.version != payload::kRecordVersion ||
      record.patch_count > payload::kMaxFunctions) {
    return false;
  }
  return std::all_of(record.patches, record.patches + record.patch_count, [](const auto& patch) {
    return (patch.length == kPunLength || patch.length == kJumpSize) &&
           patch.function < payload::kMaxFunctions;
  });
}

// Nor is the name of its experiment, which ends up on terminals.
void make_printable(char (&name)[TC_EXPERIMENT_NAME_MAX]) {
  name[TC_EXPERIMENT_NAME_MAX - 1] = '\0';
  for (char* c = name; *c != '\0'; c++) {
    if (*c < ' ' || *c > '~') *c = '?';
  }
}

// Of the ranges that we asked for, those that are mapped as we asked.
void add_mapped(const targets::Mappings& mappings, const payload::PageRange (&ranges)[3],
                std::vector<payload::PageRange>* pages) {
  const bool fake = payload::fake_place(ranges).has_value();
  for (const payload::PageRange& range : ranges) {
    if (range.size == 0) continue;
    const targets::Mapping* mapping = mappings.at(range.start);
    const bool data = fake && &range == &ranges[1];
    const bool alike = data ? may_be_data(mapping) : may_be_code(mapping);
    if (alike && mapping->start == range.start && mapping->size() == range.size) {
      pages->push_back(range);
    }
  }
}

void add_code_and_clock_page(const targets::Mappings& mappings, uint64_t code,
                             std::vector<payload::PageRange>* pages) {
  const targets::Mapping* first = mappings.at(code);
  if (may_be_code(first) && first->start == code && first->size() == kPage) {
    pages->push_back({code, kPage});
  }
  const targets::Mapping* second = mappings.at(code + payload::kClockPageOffset);
  if (second != nullptr && may_be_clock_page(*second)) {
    pages->push_back({code + payload::kClockPageOffset, kPage});
  }
}

void add_more_slots(const targets::Mappings& mappings, const tracee::Memory& memory, Found* found) {
  for (const auto& pages : tracee::find_more_pages(mappings, memory, found->call_slots())) {
    found->pages.push_back({pages.start, pages.size});
    found->more_slots.push_back(tracee::slots_of_pages(pages.start, pages.size));
  }
}

Result<State> state_of(const tracee::Memory& memory, const payload::CodeRecord& record) {
  for (uint32_t i = 0; i < record.patch_count; i++) {
    const payload::PatchRecord& patch = record.patches[i];
    TC_TRY(const auto now, memory.read(patch.entry, kJumpSize));
    if (std::memcmp(now.data(), patch.original, kJumpSize) != 0) return State::kShifted;
  }
  return State::kInert;
}

Result<std::optional<Found>> find_by_record(const targets::Mappings& mappings,
                                            const tracee::Memory& memory) {
  for (const targets::Mapping& mapping : mappings.all()) {
    if (!may_be_clock_page(mapping)) continue;
    const targets::Mapping* code = mappings.at(mapping.start - 1);
    if (!may_be_code(code) || code->end != mapping.start) continue;
    const uint64_t at = mapping.start - payload::kClockPageOffset;
    const auto record = memory.read_value<payload::CodeRecord>(at + payload::kRecordOffset);
    if (!record || !plausible(*record)) continue;
    Found found;
    found.code = at;
    found.record = *record;
    found.page_identity = identity_of(mapping);
    TC_TRY(found.page, memory.read_value<tc_clock_page>(mapping.start));
    make_printable(found.page.experiment);
    TC_TRY(found.state, state_of(memory, *record));
    if (record->plt != 0 && record->plt == record->pads[0].start) {
      // They go before the code page does; then all slots have been put back.
      if (auto table = read_slot_table(memory, found.plt())) found.slots = *table;
      if (const auto slots = read_slots(memory, found.plt())) {
        found.led = led_slots(memory, found.plt(), *slots);
      }
      if (found.slots && found.slots->active != 0) found.state = State::kShifted;
    }
    if (const auto place = payload::fake_place(record->pads))
      found.fake = read_fake(memory, *place);
    // Without a detour the pages are all there is: they are in force while they carry a name.
    if (record->patch_count == 0 && record->plt == 0 && found.page.experiment[0] != '\0')
      found.state = State::kShifted;
    add_mapped(mappings, record->pads, &found.pages);
    add_more_slots(mappings, memory, &found);
    add_code_and_clock_page(mappings, at, &found.pages);
    return std::optional<Found>(found);
  }
  return std::optional<Found>();
}

}  // namespace

std::vector<tracee::SlotRange> Found::call_slots() const {
  std::vector<tracee::SlotRange> ranges;
  for (const payload::PageRange& room : payload::free_space()) {
    ranges.push_back({code + room.start, room.size});
  }
  ranges.insert(ranges.end(), more_slots.begin(), more_slots.end());
  return ranges;
}

Result<std::optional<Found>> find_experiment(pid_t pid) {
  TC_TRY(const targets::Mappings mappings, targets::Mappings::read(pid));
  const targets::Mapping* vdso_mapping = mappings.find("[vdso]");
  if (vdso_mapping == nullptr) return std::optional<Found>();
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid));
  TC_TRY(auto found, find_by_record(mappings, memory));

  const auto vdso = read_vdso(mappings, memory);
  if (!vdso) return found;  // 32-bit: never one of ours
  const auto tail = vdso->image.tail();
  const bool written = std::any_of(tail.begin(), tail.end(), [](uint8_t b) { return b != 0; });
  payload::StubHeader header;
  header.magic = 0;
  if (tail.size() >= sizeof header) std::memcpy(&header, tail.data(), sizeof header);
  const bool ours = header.magic == payload::kStubMagic;
  if (!found && !ours) return found;
  if (!found) {
    found.emplace();
    found->state = State::kRemnant;
    add_mapped(mappings, header.pads, &found->pages);
    add_code_and_clock_page(mappings, header.code, &found->pages);
    found->code = found->pages.empty() ? 0 : header.code;
  }
  found->stub = vdso->stub;
  found->stub_written = written && ours;
  return found;
}

std::string identity_of(const targets::Mapping& mapping) {
  return fmt::format("{}:{}", mapping.device, mapping.inode);
}

std::vector<pid_t> sharers(const std::string& identity) {
  std::vector<pid_t> pids;
  for (const pid_t pid : targets::list_processes()) {
    const auto mappings = targets::Mappings::read(pid);
    if (!mappings) continue;
    const auto& all = mappings->all();
    const bool shares = std::any_of(all.begin(), all.end(), [&](const targets::Mapping& mapping) {
      if (!may_be_clock_page(mapping) || identity_of(mapping) != identity) return false;
      // Not an agent that has it mapped in order to change it.
      return may_be_code(mappings->at(mapping.start - 1));
    });
    if (shares) pids.push_back(pid);
  }
  return pids;
}

}  // namespace time_chaos::vdso
