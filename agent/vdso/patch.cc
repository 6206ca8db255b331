#include "agent/vdso/patch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>

#include "agent/targets/mappings.h"
#include "agent/targets/process.h"
#include "agent/tracee/world.h"
#include "agent/vdso/jump.h"
#include "agent/vdso/prologue.h"
#include "agent/vdso/references.h"

namespace time_chaos::vdso {
namespace {

using payload::PatchRecord;
using tracee::StoppedWorld;
constexpr int kMostStops = 60;
constexpr uint64_t kFrameDepth = uint64_t{64} << 10;
constexpr uint64_t kUsualStack = 8192;  // of a thread that waits; more is read where there is more
constexpr int kRewrites = 3;
constexpr std::chrono::milliseconds kTranslation(5);

enum class Direction { kPatch, kRestore };

const uint8_t* wanted(const PatchRecord& patch, Direction direction) {
  return direction == Direction::kPatch ? patch.patched : patch.original;
}

// True: still to be written.
Result<bool> due(const tracee::Memory& memory, const PatchRecord& patch, Direction direction) {
  TC_TRY(const auto now, memory.read(patch.entry, kJumpSize));
  if (std::memcmp(now.data(), wanted(patch, direction), kJumpSize) == 0) return false;
  const Direction other = direction == Direction::kPatch ? Direction::kRestore : Direction::kPatch;
  if (std::memcmp(now.data(), wanted(patch, other), kJumpSize) == 0) return true;
  return fail(
      Exit::kFailed,
      fmt::format("somebody else has changed the first bytes of its {} at {:#x}",
                  function_name(static_cast<payload::Function>(patch.function)), patch.entry));
}

Status write(tracee::Memory& memory, const PatchRecord& patch, Direction direction) {
  TC_CHECK(memory.write(patch.entry, {wanted(patch, direction), patch.length}));
  TC_TRY(const bool again, due(memory, patch, direction));
  if (again) return fail(Exit::kFailed, "the vDSO did not take what was written to it");
  return {};
}

const Move* move_at(const std::vector<Move>& moves, uint64_t entry) {
  const auto it = std::find_if(moves.begin(), moves.end(),
                               [&](const Move& move) { return move.entry == entry; });
  return it == moves.end() ? nullptr : &*it;
}

payload::PageRange behind_first_byte(const PatchRecord& patch) {
  return {patch.entry + 1, kJumpSize - 1};
}

// Threads that will come back from a signal handler into the bytes of one of these patches. Almost
// always none: all stacks are read at once for all patches, because everybody waits.
std::vector<const StoppedWorld::Thread*> returning(const tracee::Memory& memory,
                                                   const targets::Mappings& mappings,
                                                   StoppedWorld& world,
                                                   const std::vector<PatchRecord>& patches,
                                                   std::vector<uint64_t>& room) {
  Ranges windows;
  for (const PatchRecord& patch : patches) windows.push_back(behind_first_byte(patch));
  std::vector<Stack> stacks;
  for (const StoppedWorld::Thread& t : world.threads()) {
    const targets::Mapping* mapping = mappings.at(t.registers.sp());
    stacks.push_back({t.registers.sp(), mapping != nullptr ? mapping->end : 0});
  }
  std::vector<const StoppedWorld::Thread*> found;
  for (const size_t i : referring(memory, stacks, windows, kFrameDepth, room)) {
    found.push_back(&world.threads()[i]);
  }
  return found;
}

// Is the way free for one patch? Threads that stand inside are moved to the copy where there is
// one; false when one cannot be moved, or will come back there.
Result<bool> clear(const tracee::Memory& memory, StoppedWorld& world, const PatchRecord& patch,
                   const std::vector<Move>& moves,
                   const std::vector<const StoppedWorld::Thread*>& returning) {
  for (const StoppedWorld::Thread* t : returning) {
    const Ranges window{behind_first_byte(patch)};
    if (refers_to(memory, 0, t->registers.sp(), window, kFrameDepth)) return false;
  }
  const Move* move = move_at(moves, patch.entry);
  for (StoppedWorld::Thread& t : world.threads()) {
    const uint64_t inside = t.registers.ip() - patch.entry;
    if (inside == 0 || inside >= kJumpSize) continue;
    const bool movable = t.stopped && move != nullptr && move->copy != 0 &&
                         std::find(move->boundaries.begin(), move->boundaries.end(), inside) !=
                             move->boundaries.end();
    if (!movable) return false;
    t.registers.set_ip(move->copy + inside);
    TC_CHECK(t.thread.set_registers(t.registers));
  }
  return true;
}

// One world stop. Patches that could be written are taken out of `left`.
Status stop_and_write(pid_t pid, tracee::Memory& memory, std::vector<PatchRecord>* left,
                      const std::vector<Move>& moves, Direction direction, PatchRun* run) {
  TC_TRY(const targets::Mappings mappings, targets::Mappings::read(pid));
  std::vector<uint64_t> room;
  if (direction == Direction::kPatch) {
    room.resize(targets::list_threads(pid).size() * kUsualStack / sizeof(uint64_t));
  }
  TC_TRY(StoppedWorld world, StoppedWorld::stop(pid));
  const auto stopped = std::find_if(world.threads().begin(), world.threads().end(),
                                    [](const auto& t) { return t.stopped; });
  if (stopped != world.threads().end()) memory.poke_through(stopped->thread);
  // Where jumps stand now, no instruction begins behind the first byte.
  const bool patching = direction == Direction::kPatch;
  std::vector<const StoppedWorld::Thread*> back;
  if (patching) back = returning(memory, mappings, world, *left, room);
  Status status;
  for (auto patch = left->begin(); status && patch != left->end();) {
    auto free = patching ? clear(memory, world, *patch, moves, back) : Result<bool>(true);
    if (!free) {
      status = fail(free.error());
    } else if (!*free) {
      ++patch;
    } else if (status = write(memory, *patch, direction); status) {
      patch = left->erase(patch);
    }
  }
  memory.stop_poking();
  const auto before = run->world_stopped.value_or(std::chrono::nanoseconds(0));
  world.release();
  run->world_stopped = std::max<std::chrono::nanoseconds>(before, world.held_for());
  return status;
}

// Once more, when a translation that was under way has surely ended: a write makes such an emulator
// translate anew, whatever it writes.
void write_again(tracee::Memory& memory, const std::vector<PatchRecord>& patches,
                 Direction direction) {
  for (int round = 0; round < kRewrites; round++) {
    std::this_thread::sleep_for(kTranslation);
    for (const PatchRecord& patch : patches) {
      if (patch.length == 1) (void)write(memory, patch, direction);  // else all were stopped
    }
  }
}

Result<PatchRun> change(pid_t pid, tracee::Memory& memory, const std::vector<PatchRecord>& patches,
                        const std::vector<Move>& moves, Direction direction) {
  PatchRun run;
  std::vector<PatchRecord> whole;
  for (const PatchRecord& patch : patches) {
    TC_TRY(const bool needed, due(memory, patch, direction));
    if (!needed) continue;
    // Where only a tracer of a stopped thread may write, one byte is treated like five.
    if (patch.length != 1 || !write(memory, patch, direction)) whole.push_back(patch);
  }
  std::minstd_rand random(static_cast<unsigned>(pid));
  for (int stops = 0; !whole.empty(); stops++) {
    if (stops == kMostStops) {
      return fail(Exit::kFailed, "a thread of it stays inside the bytes that are to be changed",
                  "try again");
    }
    // A thread found in the way gets time to leave, of changing length.
    if (stops > 0) std::this_thread::sleep_for(std::chrono::microseconds(500 + random() % 10000));
    TC_CHECK(stop_and_write(pid, memory, &whole, moves, direction, &run));
  }
  if (may_run_stale_code()) write_again(memory, patches, direction);
  return run;
}

}  // namespace

Result<PatchRun> write_jumps(pid_t pid, tracee::Memory& memory,
                             const std::vector<PatchRecord>& patches,
                             const std::vector<Move>& moves) {
  return change(pid, memory, patches, moves, Direction::kPatch);
}

Result<PatchRun> restore_bytes(pid_t pid, tracee::Memory& memory,
                               const std::vector<PatchRecord>& patches) {
  return change(pid, memory, patches, {}, Direction::kRestore);
}

}  // namespace time_chaos::vdso
