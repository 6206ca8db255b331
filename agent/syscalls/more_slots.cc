#include "agent/syscalls/more_slots.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/syscalls/followed_thread.h"
#include "agent/syscalls/own_calls.h"
#include "agent/targets/mappings.h"
#include "agent/tracee/more_slots.h"

namespace time_chaos::syscalls {
namespace {

// Room for 1600 slots; what is not used takes no memory. The next range has four times as many.
constexpr uint64_t kFirstSize = uint64_t{64} << 10;
constexpr uint64_t kMostSize = uint64_t{4} << 20;

uint64_t next_size(const CallSlots& slots) {
  uint64_t last = 0;
  for (const tracee::SlotRange& range : slots.ranges()) last = std::max(last, range.size);
  if (last < kFirstSize / 2) return kFirstSize;
  return std::min((last / kFirstSize + 1) * kFirstSize * 4, kMostSize);
}

OwnCallPlan mapping_call(uint64_t start, uint64_t size, bool narrow) {
  OwnCallPlan plan{tracee::map_slots_call(start, size, narrow), "mmap"};
  const tracee::OwnCallNote note{start, size};
  std::memcpy(plan.data.data() + (tracee::kOwnCallNote - tracee::kOwnCallCode), &note, sizeof note);
  return plan;
}

Status begin_mapping(FollowedThread& thread, const tracee::Registers& entry, bool narrow,
                     uint64_t at) {
  TC_TRY(const auto mappings, targets::Mappings::read(thread.thread.tid()));
  const uint64_t size = next_size(*thread.process->slots);
  const auto start = tracee::place_for_slots(mappings, at, size);
  if (!start) return fail(Exit::kFailed, "its address space has no room for more waits");
  if (narrow && *start + size > UINT32_MAX) {
    return fail(Exit::kFailed, "its lower 4 GiB have no room for more waits");
  }
  TC_CHECK(begin_own_call(thread, entry, narrow, at, mapping_call(*start, size, narrow)));
  thread.own->range = {*start, size};
  return {};
}

}  // namespace

Status map_more_slots(FollowedThread& thread, const tracee::Registers& entry, bool narrow) {
  CallSlots& slots = *thread.process->slots;
  if (!slots.may_grow()) return fail(Exit::kFailed, "too many waits at once");
  TC_TRY(const uint64_t at, place_for_own_call(thread, entry, narrow));
  if (auto begun = begin_mapping(thread, entry, narrow, at); !begun) {
    slots.no_more();
    return begun;
  }
  TC_TRY(const bool done, await_own_call(thread));
  return done ? end_mapping(thread) : Status();
}

Status end_mapping(FollowedThread& thread) {
  const auto left = leave_own_call(thread);
  const FollowedThread::Own own = *std::exchange(thread.own, std::nullopt);
  TC_TRY(const int64_t result, left);
  const tracee::SlotRange& range = own.range;
  if (static_cast<uint64_t>(result) == range.start) {
    const tracee::MoreSlotsHeader header{tracee::MoreSlotsHeader::kMagic, range.size};
    TC_CHECK(write_memory(thread, range.start,
                          {reinterpret_cast<const uint8_t*>(&header), sizeof header}));
    thread.process->slots->add(tracee::slots_of_pages(range.start, range.size));
  } else {
    thread.process->slots->no_more();
  }
  return wipe_own_call(thread, own.at);
}

}  // namespace time_chaos::syscalls
