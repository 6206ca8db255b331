#include "agent/vdso/references.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "agent/targets/mappings.h"
#include "agent/targets/process.h"
#include "agent/tracee/world.h"

namespace time_chaos::vdso {
namespace {

constexpr uint64_t kFirstChunk = 16384;  // most stacks end before
constexpr size_t kMostStacks = 8;        // nested signals on stacks of their own
constexpr int kRounds = 25;
constexpr uint64_t kMoment = 20'000;  // ns

bool inside(uint64_t address, const std::vector<payload::PageRange>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const payload::PageRange& range) {
    return address - range.start < range.size;
  });
}

// The least range that holds them all.
payload::PageRange hull(const Ranges& ranges) {
  uint64_t start = UINT64_MAX;
  uint64_t end = 0;
  for (const payload::PageRange& range : ranges) {
    start = std::min(start, range.start);
    end = std::max(end, range.start + range.size);
  }
  return {start, end > start ? end - start : 0};
}

bool any_inside(std::span<const uint64_t> words, const payload::PageRange& range) {
  return std::any_of(words.begin(), words.end(),
                     [&](uint64_t word) { return word - range.start < range.size; });
}

// From sp up to `depth` bytes, or to the end of the stack. Below sp, red zone included, there are
// no return addresses, only old ones.
std::vector<uint64_t> read_stack(const tracee::Memory& memory, uint64_t sp, uint64_t depth) {
  const uint64_t start = sp & ~uint64_t{7};
  std::vector<uint64_t> words;
  for (uint64_t chunk = kFirstChunk; words.size() * sizeof(uint64_t) < depth; chunk *= 4) {
    const size_t before = words.size();
    const uint64_t size = std::min(chunk, depth - before * sizeof(uint64_t));
    words.resize(before + size / sizeof(uint64_t));
    const size_t got = memory.read_as_target(
        start + before * sizeof(uint64_t),
        {reinterpret_cast<uint8_t*>(words.data() + before), size & ~uint64_t{7}});
    words.resize(before + got / sizeof(uint64_t));
    if (got < size) break;
  }
  return words;
}

// A thread's stack, and those of code that a signal has interrupted (sigaltstack).
class Stacks {
 public:
  explicit Stacks(uint64_t sp) : tops_{sp} {}

  // Found on one of them, whose words these are.
  void add(uint64_t sp, size_t on, const std::vector<uint64_t>& words) {
    if (sp - tops_[on] < words.size() * sizeof(uint64_t)) return;  // the same
    if (tops_.size() == kMostStacks) {
      too_many_ = true;
    } else {
      tops_.push_back(sp);
    }
  }
  [[nodiscard]] size_t count() const { return tops_.size(); }
  [[nodiscard]] bool too_many() const { return too_many_; }
  uint64_t operator[](size_t i) const { return tops_[i]; }

 private:
  std::vector<uint64_t> tops_;
  bool too_many_ = false;
};

enum class Look { kClean, kRefers, kUnknown };

// A sleeping thread, looked at from outside.
Look look_asleep(pid_t pid, pid_t tid, const tracee::Memory& memory, const Ranges& ranges,
                 const targets::Mappings& mappings) {
  const auto before = targets::read_thread_status(pid, tid);
  const auto call = targets::read_thread_syscall(pid, tid);
  if (!before || !call || call->running || call->stack_pointer == 0) return Look::kUnknown;
  const bool refers = refers_to(memory, call->instruction_pointer, call->stack_pointer, ranges,
                                kMostStack, stack_end(mappings, call->stack_pointer));
  const auto after = targets::read_thread_status(pid, tid);
  if (!after || before->voluntary_switches != after->voluntary_switches ||
      before->involuntary_switches != after->involuntary_switches || after->state == 'R') {
    return Look::kUnknown;
  }
  return refers ? Look::kRefers : Look::kClean;
}

// Those of the threads that are busy are stopped together: on a busy machine each would need its
// turn on a CPU to stop, and together they need one. Returns those that refer to the ranges.
Result<std::vector<pid_t>> look_stopped(pid_t pid, const std::vector<pid_t>& busy,
                                        const tracee::Memory& memory, const Ranges& ranges,
                                        const targets::Mappings& mappings) {
  TC_TRY(tracee::StoppedWorld world, tracee::StoppedWorld::stop_these(pid, busy));
  std::vector<pid_t> referring;
  for (const auto& t : world.threads()) {
    if (refers_to(memory, t.registers.ip(), t.registers.sp(), ranges, kMostStack,
                  stack_end(mappings, t.registers.sp()))) {
      referring.push_back(t.thread.tid());
    }
  }
  return referring;
}

// Until each of the threads has run for a moment. A thread that was let go and stopped again may
// not have executed a single instruction in between, on a busy machine. False when none of them
// ran: they are asleep, and would be asked in vain.
bool let_them_run(pid_t pid, const std::vector<pid_t>& tids, int round) {
  std::vector<std::pair<pid_t, uint64_t>> waiting;
  for (const pid_t tid : tids) {
    if (const auto ran = targets::read_run_time(pid, tid)) waiting.emplace_back(tid, *ran);
  }
  // Kernels that do not tell: a guess that grows.
  const size_t all = waiting.size();
  const int most = waiting.empty() ? std::min(round + 1, 10) : 60;
  for (int i = 0; i < most; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(i < 20 ? 1 : 10));
    if (waiting.empty()) continue;
    std::erase_if(waiting, [&](const auto& thread) {
      const auto ran = targets::read_run_time(pid, thread.first);
      return !ran || *ran > thread.second + kMoment;
    });
    if (waiting.empty()) return true;
  }
  return waiting.size() < all;
}

// On an overloaded machine a thread may wait for its turn for longer than anyone looks.
bool any_wants_cpu(pid_t pid, const std::vector<pid_t>& tids) {
  return std::any_of(tids.begin(), tids.end(), [&](pid_t tid) {
    const auto status = targets::read_thread_status(pid, tid);
    return status && status->state == 'R';
  });
}

}  // namespace

uint64_t stack_end(const targets::Mappings& mappings, uint64_t sp) {
  const targets::Mapping* mapping = mappings.at(sp);
  if (mapping == nullptr) return UINT64_MAX;
  uint64_t end = mapping->end;
  while ((mapping = mappings.at(end)) != nullptr && mapping->inode == 0 &&
         mapping->perms[1] == 'w') {
    end = mapping->end;
  }
  return end;
}

bool refers_to(const tracee::Memory& memory, uint64_t ip, uint64_t sp, const Ranges& ranges,
               uint64_t depth, uint64_t end) {
  if (inside(ip, ranges)) return true;
  Stacks stacks(sp);
  for (size_t next = 0; next < stacks.count(); next++) {
    const auto words =
        read_stack(memory, stacks[next], next == 0 ? std::min(depth, end - sp) : depth);
    for (size_t i = 0; i < words.size(); i++) {
      if (inside(words[i], ranges)) return true;
      if (const auto frame = tracee::signal_frame_at(words, i)) stacks.add(frame->sp, next, words);
    }
  }
  return false;
}

bool interrupted_in(const tracee::Memory& memory, uint64_t sp, const Ranges& ranges, uint64_t depth,
                    uint64_t end) {
  Stacks stacks(sp);
  for (size_t next = 0; next < stacks.count(); next++) {
    const auto words =
        read_stack(memory, stacks[next], next == 0 ? std::min(depth, end - sp) : depth);
    if (words.empty() || words.size() * sizeof(uint64_t) >= depth) return true;
    for (size_t i = 0; i < words.size(); i++) {
      const auto frame = tracee::signal_frame_at(words, i);
      if (!frame) continue;
      if (inside(frame->ip, ranges)) return true;
      stacks.add(frame->sp, next, words);
    }
  }
  return stacks.too_many();
}

std::vector<size_t> referring(const tracee::Memory& memory, std::span<const Stack> stacks,
                              const Ranges& ranges, uint64_t depth, std::vector<uint64_t>& room) {
  const payload::PageRange all = hull(ranges);
  std::vector<tracee::Memory::Place> places;
  size_t total = 0;
  for (const Stack& stack : stacks) {
    const uint64_t start = stack.sp & ~uint64_t{7};
    places.push_back({start, stack.end > start ? std::min(depth, stack.end - start) : 0});
    total += places.back().size;
  }
  if (room.size() < total / sizeof(uint64_t)) room.resize(total / sizeof(uint64_t));
  const size_t got =
      memory.read_as_target(places, {reinterpret_cast<uint8_t*>(room.data()), total});
  std::vector<size_t> found;
  size_t at = 0;
  for (size_t i = 0; i < places.size(); i++) {
    const size_t count = places[i].size / sizeof(uint64_t);
    const std::span<const uint64_t> own(room.data() + at, count);
    at += count;
    // What was not read, and what may lead on to another stack, is looked at by itself.
    const bool clean = count != 0 && at * sizeof(uint64_t) <= got && !any_inside(own, all) &&
                       !tracee::may_hold_signal_frame(own);
    if (!clean && refers_to(memory, 0, stacks[i].sp, ranges, depth)) found.push_back(i);
  }
  return found;
}

Status check_unreferenced(pid_t pid, const tracee::Memory& memory, const Ranges& ranges,
                          std::optional<pid_t> only) {
  TC_TRY(const targets::Mappings mappings, targets::Mappings::read(pid));
  std::vector<pid_t> left = only ? std::vector<pid_t>{*only} : targets::list_threads(pid);
  int in_vain = 0;
  for (int round = 0; round < kRounds; round++) {
    std::erase_if(left, [&](pid_t tid) {
      return look_asleep(pid, tid, memory, ranges, mappings) == Look::kClean;
    });
    if (left.empty()) return {};
    TC_TRY(left, look_stopped(pid, left, memory, ranges, mappings));
    if (left.empty()) return {};
    if (!let_them_run(pid, left, round) && !any_wants_cpu(pid, left) && ++in_vain == 2) break;
  }
  return fail(Exit::kFailed,
              fmt::format("thread {} is still in it, or may come back to it", left.front()));
}

}  // namespace time_chaos::vdso
