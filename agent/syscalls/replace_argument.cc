#include "agent/syscalls/replace_argument.h"

#include <array>
#include <utility>

#include "agent/syscalls/followed_thread.h"
#include "agent/syscalls/more_slots.h"

namespace time_chaos::syscalls {
namespace {

// A slot that is ours still: nothing but what calls of ours leave behind stands in it.
Result<CallSlots::Lease> take_slot(FollowedThread& thread, size_t data) {
  TC_TRY(const tracee::Memory* memory, memory_of(thread));
  for (;;) {
    auto lease = thread.process->slots->take(data);
    if (!lease) return fail(Exit::kFailed, "too many waits at once");
    std::array<uint8_t, tracee::kSlotCode> before{};
    const auto read = memory->read(lease->address(), before);
    if (read && tracee::is_free_or_old(before, lease->address())) return std::move(*lease);
    lease->keep();
  }
}

}  // namespace

std::optional<std::vector<uint8_t>> read_argument(FollowedThread& thread, uint64_t address,
                                                  size_t size) {
  const auto memory = memory_of(thread);
  if (!memory) return std::nullopt;
  std::vector<uint8_t> bytes(size);
  if ((*memory)->read_as_target(address, bytes) != size) return std::nullopt;
  return bytes;
}

Result<bool> replace_argument(FollowedThread& thread, tracee::ReplacedArgument replaced,
                              std::span<const uint8_t> data, std::optional<uint64_t> given) {
  TC_TRY(const tracee::Registers entry, thread.thread.registers());
  if (!thread.process->slots) {
    return fail(Exit::kFailed, "whose child it is, is not known yet");
  }
  auto lease = take_slot(thread, data.size());
  if (!lease) {
    TC_CHECK(map_more_slots(thread, entry, replaced.narrow));
    return false;
  }
  const uint64_t slot = lease->address();
  // A 32-bit call of 64-bit code: what it points at, and where it returns, must have 32 bits.
  if (replaced.narrow && (!entry.narrow() || slot + lease->size() > UINT32_MAX)) {
    return fail(Exit::kUnsupported, "a 32-bit call of 64-bit code");
  }
  replaced.ip = entry.ip();
  const auto code = tracee::slot_code(replaced, slot);
  std::vector<uint8_t> bytes(code.begin(), code.end());
  bytes.insert(bytes.end(), data.begin(), data.end());
  TC_CHECK(write_memory(thread, slot, bytes));
  TC_CHECK(thread.thread.set_registers(
      tracee::through_slot(entry, replaced, slot, given.value_or(slot + tracee::kSlotCode))));
  thread.mapped.emplace(FollowedThread::Mapped{replaced, std::move(*lease)});
  return true;
}

Status put_argument_back(FollowedThread& thread) {
  if (!thread.mapped) return {};
  const FollowedThread::Mapped mapped = std::move(*thread.mapped);
  thread.mapped.reset();
  const uint64_t slot = mapped.slot.address();
  TC_TRY(const tracee::Registers stopped, thread.thread.registers());
  TC_CHECK(thread.thread.set_registers(tracee::put_back(stopped, mapped.replaced, slot)));
  // From here on it is free for whoever looks at the memory, too.
  return write_memory(thread, slot, std::vector<uint8_t>(mapped.slot.size()));
}

}  // namespace time_chaos::syscalls
