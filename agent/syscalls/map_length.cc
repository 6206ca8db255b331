#include "agent/syscalls/map_length.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "agent/syscalls/deadline.h"
#include "agent/syscalls/followed_thread.h"
#include "agent/syscalls/replace_argument.h"
#include "agent/syscalls/wire_time.h"
#include "agent/tracee/clock_calls.h"

namespace time_chaos::syscalls {
namespace {

using tracee::Length;
using LengthWait = FollowedThread::LengthWait;

constexpr int64_t kMillisecond = 1'000'000;

// Nanoseconds of one step.
int64_t step_of(Length::Form form) {
  switch (form) {
    case Length::Form::kTimespec:
      return 1;
    case Length::Form::kTimeval:
      return 1000;
    case Length::Form::kMilliseconds:
      return kMillisecond;
    case Length::Form::kSeconds:
      break;
  }
  return TC_NSEC_PER_SEC;
}

// In a register: milliseconds as an int, of which negative ones are no end; seconds without a sign.
std::optional<int64_t> read_register(const Length& length, uint64_t argument) {
  const int64_t steps = length.form == Length::Form::kSeconds
                            ? static_cast<int64_t>(static_cast<uint32_t>(argument))
                            : static_cast<int64_t>(static_cast<int32_t>(argument));
  if (steps < 0) return std::nullopt;
  return steps * step_of(length.form);
}

uint64_t as_register(const Length& length, int64_t real) {
  const int64_t step = step_of(length.form);
  const int64_t steps = real / step + (real % step != 0);
  if (length.form == Length::Form::kSeconds) {
    return static_cast<uint64_t>(std::min<int64_t>(steps, INT32_MAX));
  }
  return real == TC_ENDLESS ? static_cast<uint32_t>(-1)
                            : static_cast<uint64_t>(std::min<int64_t>(steps, INT32_MAX));
}

bool same_call(const LengthWait& a, const LengthWait& b) {
  return a.number == b.number && a.ip == b.ip && a.arguments == b.arguments;
}

int64_t left_until(clock::Reading end, clock::Reading now) {
  return std::max<int64_t>(tc_between(now.sec, now.nsec, end.sec, end.nsec), 0);
}

// Nothing where there is no length, or none that the kernel takes.
struct Given {
  std::vector<uint8_t> bytes;
  int64_t length = 0;
};
std::optional<Given> read_given(FollowedThread& thread, const Length& length, uint64_t argument,
                                bool compat) {
  if (!length.in_memory()) {
    const auto value = read_register(length, argument);
    return value ? std::optional(Given{{}, *value}) : std::nullopt;
  }
  if (argument == 0) return std::nullopt;
  auto bytes = read_argument(thread, argument, length.size());
  if (!bytes) return std::nullopt;
  const size_t place = length.setting ? length.size() / 2 : 0;
  const auto value =
      WireLength::read(bytes->data() + place, length.narrow, compat, step_of(length.form));
  return value ? std::optional(Given{std::move(*bytes), *value}) : std::nullopt;
}

// A length of the wall clock passes as one of CLOCK_MONOTONIC (hrtimer_init,
// kernel/time/hrtimer.c): whoever sets the clock, or freezes it, does not change it.
int clock_of_length(const FollowedThread& thread, const Length& length, uint64_t first_argument) {
  const int clock = clock_of_call(thread, length.source, length.clock, first_argument);
  return clock == CLOCK_REALTIME ? CLOCK_MONOTONIC : clock;
}

// How far the wait is to go on from `now`, when it has been interrupted.
int64_t real_rest(const clock::ClockMaps& maps, LengthWait& wait, clock::Reading now,
                  int64_t length) {
  wait.end = wait.began;
  tc_add_nsec(&wait.end.sec, &wait.end.nsec, length);
  const clock::Reading end = real_time_of(maps, wait.clock, wait.end);
  return end.sec >= TC_LAST_SEC ? TC_ENDLESS : left_until(end, now);
}

Result<bool> replace_length(FollowedThread& thread, LengthWait wait, Given given,
                            clock::Reading now, int64_t real) {
  const Length& length = wait.call.length;
  const auto index = static_cast<size_t>(length.argument);
  const tracee::ReplacedArgument replaced{length.argument, wait.arguments[index], 0, wait.compat};
  Result<bool> done = true;
  if (length.in_memory()) {
    const size_t place = length.setting ? length.size() / 2 : 0;
    WireLength::write(given.bytes.data() + place, length.narrow, step_of(length.form), real);
    done = replace_argument(thread, replaced, given.bytes);
  } else {
    done = replace_argument(thread, replaced, {}, as_register(length, real));
  }
  if (!done || !*done || !wait.call.waits) return done;
  wait.replaced = true;
  wait.given = given.length;
  wait.over = now;
  tc_add_nsec(&wait.over.sec, &wait.over.nsec, real);
  thread.length = wait;
  return true;
}

// What is left of a wait whose length was replaced, for the program to read.
Status write_rest(FollowedThread& thread, const LengthWait& wait, int argument, int64_t rest) {
  const uint64_t address = wait.arguments[static_cast<size_t>(argument)];
  if (address == 0) return {};
  uint8_t bytes[16] = {};
  const Length& length = wait.call.length;
  WireLength::write(bytes, length.narrow, step_of(length.form), rest);
  TC_TRY(const tracee::Memory* memory, memory_of(thread));
  return memory->write_as_target(address, {bytes, WireTime::size(length.narrow)});
}

Status write_what_is_left(FollowedThread& thread, const LengthWait& wait,
                          const tracee::Registers& stopped) {
  const bool interrupted = stopped.restarting() || stopped.result() == -EINTR;
  if (!wait.call.updates && (wait.call.remainder < 0 || !interrupted)) return {};
  if (wait.call.updates && stopped.result() < 0 && !interrupted) return {};
  TC_TRY(const clock::ClockMaps maps, maps_of(thread, wait.clock));
  const clock::Reading now = clock::apply(maps, wait.clock, read_host(wait.clock));
  const int64_t rest = left_until(wait.end, now);
  const int argument = wait.call.updates ? wait.call.length.argument : wait.call.remainder;
  return write_rest(thread, wait, argument, rest);
}

// One length that a call has written.
Status shift_length(const clock::ClockMaps& maps, int clock, uint8_t* bytes, const Length& length,
                    bool compat) {
  const int64_t step = step_of(length.form);
  const auto real = WireLength::read(bytes, length.narrow, compat, step);
  if (!real || *real == 0) return {};
  WireLength::write(bytes, length.narrow, step,
                    shown_length_of(maps, clock, read_host(clock), *real));
  return {};
}

// Absolute ones of CLOCK_REALTIME go with that clock.
int clock_of_report(const FollowedThread& thread, const Length& length, uint64_t name) {
  const int clock = clock_of_call(thread, length.source, length.clock, name);
  if (clock != CLOCK_REALTIME) return clock;
  const auto& process = *thread.process;
  const bool absolute = length.source == tracee::Deadline::Clock::kTimerfd
                            ? process.timerfds.contains(static_cast<int32_t>(name))
                            : process.posix_timers.contains(static_cast<int32_t>(name));
  return absolute ? CLOCK_REALTIME : CLOCK_MONOTONIC;
}

// getsockopt writes no more than there is room for.
bool is_whole(FollowedThread& thread, const Length& length, const uint64_t* arguments) {
  if (length.room < 0) return true;
  const auto bytes = read_argument(thread, arguments[length.room], sizeof(int32_t));
  int32_t written = 0;
  if (bytes) std::memcpy(&written, bytes->data(), sizeof written);
  return written >= static_cast<int32_t>(length.size());
}

Status report_in_result(FollowedThread& thread, const tracee::Registers& stopped,
                        const clock::ClockMaps& maps, int clock) {
  if (stopped.result() <= 0) return {};
  const int64_t shown =
      shown_length_of(maps, clock, read_host(clock), stopped.result() * TC_NSEC_PER_SEC);
  tracee::Registers next = stopped;
  next.set_result(std::max<int64_t>((shown + TC_NSEC_PER_SEC / 2) / TC_NSEC_PER_SEC, 1));
  return thread.thread.set_registers(next);
}

}  // namespace

void map_interval(const clock::ClockMaps& maps, int clock, uint8_t* bytes, bool narrow, bool compat,
                  int64_t step) {
  if (maps[static_cast<size_t>(clock)].kind != TC_MAP_RATE) return;
  const auto shown = WireLength::read(bytes, narrow, compat, step);
  if (!shown || *shown == 0) return;
  WireLength::write(bytes, narrow, step, real_length_of(maps, clock, read_host(clock), *shown));
}

Result<bool> map_length(FollowedThread& thread, const tracee::SyscallStop& entry,
                        const tracee::LengthCall& call, const std::optional<LengthWait>& before) {
  const Length& length = call.length;
  const auto index = static_cast<size_t>(length.argument);
  if (length.in_memory() && entry.arguments[index] == 0) return false;
  LengthWait wait;
  wait.call = call;
  wait.number = entry.number;
  wait.ip = entry.instruction_pointer;
  std::copy(std::begin(entry.arguments), std::end(entry.arguments), wait.arguments.begin());
  wait.compat = tracee::narrow_arguments(entry.arch);
  wait.clock = clock_of_length(thread, length, entry.arguments[0]);
  if (wait.clock < 0 || wait.clock >= TC_CLOCK_COUNT) return false;
  if (length.source != tracee::Deadline::Clock::kKnown) {
    thread.timer_change = {length.source, static_cast<int32_t>(entry.arguments[0]), {}};
  }
  TC_TRY(const clock::ClockMaps maps, maps_of(thread, wait.clock));
  wait.map = maps[static_cast<size_t>(wait.clock)];
  const clock::Reading now = read_host(wait.clock);
  const bool continues = call.waits && !call.updates && before && same_call(*before, wait);
  wait.began = continues ? before->began : clock::apply(maps, wait.clock, now);
  if (call.waits) {
    thread.waits = true;
    thread.length = wait;
  }
  if (!continues && !changes_lengths(maps, wait.clock)) return false;
  auto given = read_given(thread, length, entry.arguments[index], wait.compat);
  if (!given) return false;
  const int64_t rest = real_rest(maps, wait, now, given->length);
  const int64_t real = continues ? rest : real_length_of(maps, wait.clock, now, given->length);
  if (length.setting && given->length == 0) return false;  // disarmed
  // Of a clock that stands still nobody would end it.
  if (real == TC_ENDLESS) return false;
  if (length.setting) {
    map_interval(maps, wait.clock, given->bytes.data(), length.narrow, wait.compat,
                 step_of(length.form));
  }
  if (real == given->length && !length.setting) return false;
  auto done = replace_length(thread, wait, std::move(*given), now, real);
  // The call is made again behind another one of ours.
  if (done && !*done && continues) thread.continues = before;
  return done;
}

Status end_length(FollowedThread& thread, bool leaving) {
  const auto wait = std::exchange(thread.length, std::nullopt);
  thread.continues.reset();
  if (!wait) return {};
  TC_TRY(const tracee::Registers stopped, thread.thread.registers());
  tracee::Registers next = stopped;
  if (wait->replaced) {
    (void)write_what_is_left(thread, *wait, stopped);
    // It could not write what is left where it was told to, so it does not dare to say that it may
    // be made again.
    if (wait->call.updates && stopped.result() == -EINTR) next = stopped.made_again();
  }
  // An agent that leaves has the kernel go on with the end that it knows, unless the whole length
  // anew is over sooner.
  const bool sooner =
      wait->replaced && wait->given < left_until(wait->over, read_host(wait->clock));
  if (stopped.restart_block() && (!leaving || sooner)) {
    next = stopped.begun_anew();
  }
  if (stopped.restarting() || stopped.result() == -EINTR) thread.continues = wait;
  return next == stopped ? Status() : thread.thread.set_registers(next);
}

Status report_length(FollowedThread& thread, uint32_t arch) {
  TC_TRY(const tracee::Registers stopped, thread.thread.registers());
  const bool narrow = tracee::narrow_arguments(arch);
  uint64_t arguments[6];
  for (int i = 0; i < 6; i++) {
    arguments[i] = narrow ? stopped.narrow_argument(i) : stopped.argument(i);
  }
  const auto length = tracee::reported_by(arch, stopped.call(), arguments);
  if (!length || stopped.result() < 0) return {};
  const int clock = clock_of_report(thread, *length, arguments[0]);
  if (clock < 0 || clock >= TC_CLOCK_COUNT) return {};
  TC_TRY(const clock::ClockMaps maps, maps_of(thread, clock));
  if (!changes_lengths(maps, clock)) return {};
  if (!length->in_memory()) return report_in_result(thread, stopped, maps, clock);
  const uint64_t address = arguments[length->argument];
  if (address == 0) return {};
  if (!is_whole(thread, *length, arguments)) return {};
  auto bytes = read_argument(thread, address, length->size());
  if (!bytes) return {};
  TC_CHECK(shift_length(maps, clock, bytes->data(), *length, narrow));
  if (length->setting) {
    TC_CHECK(shift_length(maps, clock, bytes->data() + length->size() / 2, *length, narrow));
  }
  TC_TRY(const tracee::Memory* memory, memory_of(thread));
  return memory->write_as_target(address, *bytes);
}

}  // namespace time_chaos::syscalls
