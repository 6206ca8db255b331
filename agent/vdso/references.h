// Does any thread of a target stand in some code, or come back to it?
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/payload/layout.h"
#include "agent/targets/mappings.h"
#include "agent/tracee/memory.h"
#include "agent/tracee/seized_thread.h"

namespace time_chaos::vdso {

// True when the instruction pointer lies in one of the ranges, or any aligned word of the stack
// from sp upwards (at most `depth` bytes, to the end of what is readable) points into one: a return
// address, or where a signal handler will return to. A signal frame leads on to the stack that the
// signal interrupted, which is looked at too (sigaltstack). Conservative: an old value in a slot
// that nobody wrote since counts, too.
using Ranges = std::vector<payload::PageRange>;
// `end`: where the stack ends at the latest. What follows it may be a library's data, which is full
// of such words.
bool refers_to(const tracee::Memory& memory, uint64_t ip, uint64_t sp, const Ranges& ranges,
               uint64_t depth, uint64_t end = UINT64_MAX);
inline constexpr uint64_t kMostStack = uint64_t{1} << 20;

// Where a stack ends at the latest: with its mapping, or with those behind it that are alike, for
// parts of a stack may have got other properties; not with those of files. Far away where sp is in
// none.
uint64_t stack_end(const targets::Mappings& mappings, uint64_t sp);

// True when a signal handler on this stack has interrupted code of one of the ranges, or when that
// cannot be told, because the stack goes on beyond `depth`. Old frames count, too.
bool interrupted_in(const tracee::Memory& memory, uint64_t sp, const Ranges& ranges, uint64_t depth,
                    uint64_t end);

// For many stopped threads at once, in a few calls: which of these stacks refer to the ranges. By
// index. `end` is where the stack's mapping ends, as far as is known.
struct Stack {
  uint64_t sp = 0;
  uint64_t end = 0;
};
// `room` is what their words are read into. Everybody waits meanwhile, and fresh memory takes time:
// best it is of about the right size before anyone is stopped.
std::vector<size_t> referring(const tracee::Memory& memory, std::span<const Stack> stacks,
                              const Ranges& ranges, uint64_t depth, std::vector<uint64_t>& room);

// Looks at all threads, one after another, without stopping those that are asleep: a thread that
// did not run between two looks was as good as stopped. Enough for code into which no way leads
// any more: a thread once clean stays clean. kFailed, naming the thread, when one refers to it for
// longer than a short while. With `only`, just that thread.
Status check_unreferenced(pid_t pid, const tracee::Memory& memory, const Ranges& ranges,
                          std::optional<pid_t> only = std::nullopt);

}  // namespace time_chaos::vdso
