#include "agent/syscalls/more_slots.h"

#include <linux/audit.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "agent/syscalls/followed_thread.h"
#include "agent/targets/process.h"
#include "agent/tracee/more_slots.h"
#include "agent/tracee/seccomp.h"

namespace time_chaos::syscalls {
namespace {

// Room for 1600 slots; what is not used takes no memory. The next range has four times as many.
constexpr uint64_t kFirstSize = uint64_t{64} << 10;
constexpr uint64_t kMostSize = uint64_t{4} << 20;

// Microseconds, if no other thread holds the address space.
constexpr std::chrono::milliseconds kPatience{500};

uint64_t next_size(const CallSlots& slots) {
  uint64_t last = 0;
  for (const tracee::SlotRange& range : slots.ranges()) last = std::max(last, range.size);
  if (last < kFirstSize / 2) return kFirstSize;
  return std::min((last / kFirstSize + 1) * kFirstSize * 4, kMostSize);
}

Status check_filters(const FollowedThread& thread, const tracee::OwnCall& call, bool narrow,
                     uint64_t ip) {
  TC_TRY(const auto status, targets::read_thread_status(thread.thread.pid(), thread.thread.tid()));
  const tracee::PlannedCall planned{call.number, call.arguments, ip, "mmap",
                                    narrow ? uint32_t{AUDIT_ARCH_I386} : tracee::audit_arch()};
  return tracee::check_allowed(thread.thread, status.seccomp_mode, {&planned, 1});
}

Status write_call(FollowedThread& thread, const FollowedThread::Mapping& mapping) {
  const auto code = tracee::own_call_code(mapping.home, mapping.at);
  std::vector<uint8_t> bytes(tracee::kOwnCallSize);
  std::copy(code.begin(), code.end(), bytes.begin());
  const tracee::OwnCallNote note{mapping.start, mapping.size};
  std::memcpy(bytes.data() + tracee::kOwnCallNote, &note, sizeof note);
  return write_memory(thread, mapping.at, bytes);
}

Status begin_mapping(FollowedThread& thread, const tracee::Registers& entry, bool narrow,
                     uint64_t at) {
  CallSlots& slots = *thread.process->slots;
  TC_TRY(const auto mappings, targets::Mappings::read(thread.thread.tid()));
  const uint64_t size = next_size(slots);
  const auto start = tracee::place_for_slots(mappings, at, size);
  if (!start) return fail(Exit::kFailed, "its address space has no room for more waits");
  if (narrow && *start + size > UINT32_MAX) {
    return fail(Exit::kFailed, "its lower 4 GiB have no room for more waits");
  }
  const tracee::OwnCall call = tracee::map_slots_call(*start, size, narrow);
  const tracee::Registers changed = tracee::through_own_call(entry, call, narrow, at);
  TC_CHECK(check_filters(thread, call, narrow, changed.ip()));
  const FollowedThread::Mapping mapping{tracee::call_again(entry, narrow), at, *start, size};
  TC_CHECK(write_call(thread, mapping));
  TC_CHECK(thread.thread.set_registers(changed));
  thread.mapping = mapping;
  return {};
}

Status check_place(FollowedThread& thread, uint64_t at) {
  std::array<uint8_t, tracee::kOwnCallSize> bytes{};
  TC_TRY(const tracee::Memory* memory, memory_of(thread));
  TC_CHECK(memory->read(at, bytes));
  if (tracee::is_free(bytes) || tracee::parse_own_call(bytes, at)) return {};
  return fail(Exit::kFailed, "the program has mapped something else there");
}

}  // namespace

Status map_more_slots(FollowedThread& thread, const tracee::Registers& entry, bool narrow) {
  CallSlots& slots = *thread.process->slots;
  const auto at = slots.own_call();
  if (!at) return fail(Exit::kFailed, "too many waits at once");
  // Another thread's call is on its way still.
  if (slots.mapping()) return fail(Exit::kFailed, "too many waits at once");
  // That says nothing of the calls of others.
  if (narrow && !entry.narrow()) {
    return fail(Exit::kUnsupported, "a 32-bit call of 64-bit code");
  }
  TC_CHECK(check_place(thread, *at));
  if (auto begun = begin_mapping(thread, entry, narrow, *at); !begun) {
    slots.no_more();
    return begun;
  }
  slots.set_mapping(true);
  TC_CHECK(thread.thread.resume_to_syscall());
  // Everybody waits for it: whoever comes next may need a slot, too.
  const auto stop = thread.thread.wait_stop(kPatience);
  return stop && stop->kind == tracee::Stop::Kind::kSyscall ? end_mapping(thread) : Status();
}

Status end_mapping(FollowedThread& thread) {
  const FollowedThread::Mapping mapping = *std::exchange(thread.mapping, std::nullopt);
  TC_TRY(const tracee::Registers stopped, thread.thread.registers());
  TC_CHECK(thread.thread.set_registers(tracee::at_home(stopped, mapping.home)));
  const auto result = static_cast<uint64_t>(stopped.result());
  thread.process->slots->set_mapping(false);
  if (result == mapping.start) {
    const tracee::MoreSlotsHeader header{tracee::MoreSlotsHeader::kMagic, mapping.size};
    TC_CHECK(write_memory(thread, mapping.start,
                          {reinterpret_cast<const uint8_t*>(&header), sizeof header}));
    thread.process->slots->add(tracee::slots_of_pages(mapping.start, mapping.size));
  } else {
    thread.process->slots->no_more();
  }
  return write_memory(thread, mapping.at, std::vector<uint8_t>(tracee::kOwnCallSize));
}

}  // namespace time_chaos::syscalls
