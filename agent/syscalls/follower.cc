// One report at a time: whose it is, and what follows from it. Beginning and end of the loop are in
// follower_attach.cc.
#include "agent/syscalls/follower.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/syscalls/guard.h"
#include "agent/syscalls/map_length.h"
#include "agent/syscalls/map_wait.h"
#include "agent/syscalls/more_slots.h"
#include "agent/syscalls/needless_eintr.h"
#include "agent/syscalls/posix_timers.h"
#include "agent/syscalls/shift_call.h"
#include "agent/targets/process.h"
#include "agent/tracee/following.h"
#include "agent/tracee/hidden_vdso.h"

namespace time_chaos::syscalls {

using tracee::Stop;

namespace {

// A thread that is killed leaves its stop at once, and its memory goes: nobody reads any more what
// it could not be given.
bool still_stopped(const FollowedThread& thread) {
  return thread.thread.registers().has_value();
}

}  // namespace

Follower::Follower(std::vector<PtraceTarget> targets, Ledger& ledger)
    : targets_(std::make_move_iterator(targets.begin()), std::make_move_iterator(targets.end())),
      ledger_(ledger),
      self_(::gettid()) {}

void Follower::follow(pid_t bell) {
  // waitid names the first thread with a report: one thread in a loop of system calls would be
  // named again and again while others wait. So everyone is asked in turn: with few threads after
  // each report, with many after so many that asking costs a few calls for each.
  constexpr size_t kAsksForOne = 8;
  size_t reports = 0;
  for (;;) {
    const auto tid = tracee::wait_any();
    if (!tid || *tid == bell) return;
    look_at(*tid);
    if (++reports * kAsksForOne < threads_.size()) continue;
    pump();
    reports = 0;
  }
}

void Follower::pump() {
  std::vector<pid_t> tids;
  tids.reserve(threads_.size() + unborn_.size());
  for (const auto& [tid, thread] : threads_) tids.push_back(tid);
  for (const auto& [tid, process] : unborn_) tids.push_back(tid);
  for (const pid_t tid : tids) look_at(tid);
}

void Follower::look_at(pid_t tid) {
  const auto found = threads_.find(tid);
  if (found == threads_.end()) return meet(tid);
  const auto stop = found->second.thread.poll_stop();
  if (stop && *stop) handle(found->second, **stop);
  note_if_idle();
}

void Follower::note_if_idle() {
  if (idle_ || leaving_ || !threads_.empty() || !unborn_.empty()) return;
  idle_ = true;
  ledger_.note_idle();
}

void Follower::meet(pid_t tid) {
  auto adopted = tracee::SeizedThread::adopt(tid, tid);
  const auto stop = adopted.poll_stop();
  if (!stop || !*stop) return;
  if ((*stop)->kind == Stop::Kind::kExited) {
    tracee::reap(tid);
    unborn_.erase(tid);
    return note_if_idle();
  }
  const auto process = process_of(tid);
  adopted = tracee::SeizedThread::adopt(process->pid, tid);
  FollowedThread& thread = add(tid, adopted, process);
  const bool child = process->pid == tid;
  if (child && process->target->release && !leaving_) return release(thread, **stop);
  handle(thread, **stop);
}

// A child that is not to be followed, before its first instruction. What shares its parent's memory
// (vfork) has the parent's clock in its vDSO until it executes something: writing there would take
// the parent's as well.
void Follower::release(FollowedThread& child, const Stop& stop) {
  const FollowedProcess& process = *child.process;
  if (!process.executed && !shares_memory(process.pid) && !process.target->release(child.thread)) {
    ledger_.count_failed(process.target->pid);
  }
  processes_.erase(process.pid);
  detach(child, stop.kind == Stop::Kind::kSignal ? stop.signal : 0);
  note_if_idle();
}

bool Follower::shares_memory(pid_t child) const {
  return std::any_of(processes_.begin(), processes_.end(), [&](const auto& other) {
    return other.first != child && tracee::share_memory(other.first, child);
  });
}

FollowedThread& Follower::add(pid_t tid, tracee::SeizedThread thread,
                              std::shared_ptr<FollowedProcess> process) {
  ledger_.add_thread(process->target->pid);
  return threads_.insert_or_assign(tid, FollowedThread{thread, std::move(process)}).first->second;
}

// A new thread's process is known. A child's parent is known if it has reported the birth, else
// from /proc; else (CLONE_PARENT, or the parent is gone) the first target stands in until the
// report comes, microseconds later: the child must not wait for it, the parent may have been
// killed.
std::shared_ptr<FollowedProcess> Follower::process_of(pid_t tid) {
  const auto status = targets::read_thread_status(tid, tid);
  const pid_t pid = status ? status->tgid : tid;
  const auto known = processes_.find(pid);
  const auto born = unborn_.extract(tid);
  if (known != processes_.end()) return known->second;
  auto process = std::make_shared<FollowedProcess>();
  const auto parent = processes_.find(status ? status->parent : 0);
  if (!born.empty()) {
    process->descend_from(*born.mapped(), tracee::share_memory(born.mapped()->pid, pid));
  } else if (parent != processes_.end()) {
    process->descend_from(*parent->second, tracee::share_memory(parent->first, pid));
  } else {
    const PtraceTarget& guess = targets_.front();
    process->target = &guess;
    process->vdso_start = guess.vdso_start;
    process->vdso_end = guess.vdso_end;
    process->provisional = true;
  }
  process->pid = pid;
  processes_[pid] = process;
  return process;
}

void Follower::forget(pid_t tid) {
  const auto found = threads_.find(tid);
  if (found == threads_.end()) return;
  ledger_.drop_thread(found->second.process->target->pid);
  threads_.erase(found);
}

void Follower::handle(FollowedThread& thread, const Stop& stop) {
  // Every stop answers an interrupt, whatever kind it is (ptrace_stop, kernel/signal.c, clears the
  // pending trap).
  const bool interrupted = std::exchange(thread.interrupted, false);
  switch (stop.kind) {
    case Stop::Kind::kExited:
      return at_end(thread, stop);
    case Stop::Kind::kSyscall:
      return at_syscall(thread, interrupted);
    case Stop::Kind::kEvent:
      return at_event(thread, stop);
    case Stop::Kind::kSignal:
      // Behind a handler the program goes on, and makes calls of its own.
      if (thread.continues && runs_handler(thread.thread, stop.signal)) thread.continues.reset();
      (void)settle_wait(thread);
      (void)undo_eintr_of_ignored(thread.thread, stop.signal);
      return go_on(thread, stop.signal);
    case Stop::Kind::kInterrupt:  // or a birth, or the end of a group stop
      if (interrupted) (void)undo_needless_eintr(thread.thread);
      (void)settle_wait(thread);
      return go_on(thread);
    case Stop::Kind::kGroup:
      if (leaves(thread)) return detach(thread);
      (void)thread.thread.listen();
      return;
  }
}

void Follower::at_syscall(FollowedThread& thread, bool interrupted) {
  const auto stop = tracee::read_syscall_stop(thread.thread);
  if (!stop || stop->phase != tracee::SyscallStop::Phase::kExit) {
    thread.writes_at_entry = thread.process->writes.count();
    if (stop) begin_call(thread, *stop);
    // Not detached here, not even when leaving: PTRACE_DETACH marks the thread as having a signal
    // (__ptrace_unlink, kernel/ptrace.c), and its call would end at once with EINTR. Interrupted
    // anew, it stops at the exit, where that can be put right.
    if (leaves(thread)) interrupt(thread);
    (void)thread.thread.resume_to_syscall();
    return;
  }
  if (thread.own) {
    (void)(thread.own->timer ? end_timer_call(thread) : end_mapping(thread));
    return go_on(thread);
  }
  (void)end_mapped_wait(thread, leaves(thread));
  (void)finish_refused_call(thread);
  const FollowedProcess& process = *thread.process;
  const bool in_detour = stop->instruction_pointer >= process.vdso_start &&
                         stop->instruction_pointer < process.vdso_end;
  const auto registers = thread.thread.registers();
  if (registers && registers->restart_block()) (void)settle_wait(thread);
  if (registers && !in_detour) {
    const auto shifted = shift_call(thread, *registers, stop->arch);
    if (!shifted && still_stopped(thread)) ledger_.count_failed(process.target->pid);
    if (shifted && *shifted)
      ledger_.count_shifted(process.target->pid, clock_read_by(*registers, stop->arch));
    (void)report_length(thread, stop->arch);
    note_timer(thread, registers->result());
  }
  if (registers && registers->interrupted_without_restart()) {
    // Of an ignored signal another thread may have been told. But a call may also return EINTR for
    // a reason of its own: not for ever.
    constexpr int kMaxRetries = 100;
    if (interrupted || leaves(thread) || thread.retries++ < kMaxRetries) {
      (void)undo_needless_eintr(thread.thread);
    }
  } else {
    thread.retries = 0;
  }
  go_on(thread);
}

void Follower::begin_call(FollowedThread& thread, const tracee::SyscallStop& stop) {
  if (stop.phase != tracee::SyscallStop::Phase::kEntry) return;
  if (!leaves(thread) && set_a_timer(thread, stop)) return;
  const pid_t target = thread.process->target->pid;
  const auto refused = refuse_setting(thread, stop);
  if (refused && *refused) ledger_.count_refused(target);
  if (leaves(thread)) return;
  const auto mapped = map_wait(thread, stop);
  if (mapped ? *mapped : still_stopped(thread)) ledger_.count_wait(target, mapped.has_value());
}

// First; then the thread makes its own call.
bool Follower::set_a_timer(FollowedThread& thread, const tracee::SyscallStop& stop) {
  if (!any_anew(*thread.process)) return false;
  // The program itself is about to.
  const auto busy = [&](int id) {
    return std::any_of(threads_.begin(), threads_.end(), [&](const auto& entry) {
      const auto& change = entry.second.timer_change;
      return entry.second.process == thread.process && change &&
             change->source == tracee::Deadline::Clock::kTimer && change->name == id;
    });
  };
  const auto set = set_timer_anew(thread, stop, busy);
  return set && *set;
}

void Follower::interrupt(FollowedThread& thread) {
  thread.interrupted = thread.thread.request_interrupt().has_value();
}

void Follower::at_event(FollowedThread& thread, const Stop& stop) {
  const tracee::Event event = tracee::event_of(stop);
  if (event == tracee::Event::kExec) tracee::take_event(thread.thread.tid());
  const auto message = thread.thread.event_message();
  const pid_t other = message ? static_cast<pid_t>(*message) : 0;
  if (event == tracee::Event::kNewTask && other != 0) {
    const auto born = threads_.find(other);
    if (born == threads_.end()) {
      if (traced_by_us(other)) unborn_[other] = thread.process;
    } else if (born->second.process->provisional) {
      const pid_t guessed = born->second.process->target->pid;
      FollowedProcess& process = *born->second.process;
      process.descend_from(*thread.process, tracee::share_memory(thread.process->pid, process.pid));
      ledger_.move_thread(guessed, born->second.process->target->pid);
    }
  }
  if (event == tracee::Event::kExec) {
    // The thread that called exec has its process's id now; the id it had is nobody's.
    if (other != thread.thread.tid()) forget(other);
    begin_program(thread);
  }
  go_on(thread);
}

// The new program has executed nothing yet. Without a vDSO it makes a system call for every
// reading. While leaving it is let go instead: its readings are real from the first on.
void Follower::begin_program(FollowedThread& thread) {
  FollowedProcess& process = *thread.process;
  process.after_exec();
  // This may be the record of the main thread, which another one has ended.
  thread.refused.reset();
  thread.mapped.reset();
  thread.own.reset();
  thread.length.reset();
  thread.continues.reset();
  thread.timer_change.reset();
  if (leaves(thread)) return;
  const Status hidden = [&]() -> Status {
    TC_TRY(const tracee::Registers registers, thread.thread.registers());
    TC_TRY(process.memory, tracee::Memory::open(process.pid));
    process.memory->poke_through(thread.thread);
    auto done = tracee::hide_vdso(*process.memory, registers, process.target->pid);
    process.memory->stop_poking();
    return done ? Status() : fail(done.error());
  }();
  ledger_.count_program(process.target->pid, hidden.has_value());
}

void Follower::at_end(FollowedThread& thread, const Stop& stop) {
  const pid_t tid = thread.thread.tid();
  const auto process = thread.process;
  const bool target = process->pid == tid && process->target->pid == tid;
  if (process->pid == tid) processes_.erase(tid);
  tracee::reap(tid);
  forget(tid);
  // At last: whoever learns of it finds none of its threads any more.
  if (target) ledger_.note_end(tid, stop.exit_status);
}

// ESRCH here means that the thread was killed meanwhile: its end will be reported.
void Follower::go_on(FollowedThread& thread, int signal) {
  if (leaves(thread)) return detach(thread, signal);
  (void)thread.thread.resume_to_syscall(signal);
}

void Follower::detach(FollowedThread& thread, int signal) {
  if (thread.thread.detach(signal)) forget(thread.thread.tid());
}

}  // namespace time_chaos::syscalls
