// The tracer's loop: every thread of every target goes from system call stop to system call stop;
// signals, group stops, births and deaths are passed on. One object, one thread of ours.
//
// No stop is consumed before its thread goes on (see seized_thread.h): a tracer that is killed
// between the two would swallow a signal.
#pragma once

#include <sys/types.h>

#include <list>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "agent/base/error.h"
#include "agent/clock/clock_maps.h"
#include "agent/syscalls/followed.h"
#include "agent/syscalls/ledger.h"
#include "agent/tracee/following.h"

namespace time_chaos::syscalls {

class Follower {
 public:
  // The ledger must outlive it. To be used by the thread that made it. At least one target.
  Follower(std::vector<PtraceTarget> targets, Ledger& ledger);

  // Seizes and interrupts all threads of all targets, until two passes find no new one, and waits
  // until each has stopped once (or cannot before it returns to user mode). After an error:
  // let_go().
  Status attach();
  // A child that a target has forked before it was seized: the same. kNoTarget: it has ended.
  Status include(pid_t pid, pid_t target);
  // One more target: as attach() does it. An error leaves it as it was.
  Status add(PtraceTarget target);
  // Serves until `bell`, a child of this thread, has ended.
  void follow(pid_t bell);
  // Waits in flight for absolute times begin anew, by the maps that are in force now, and timers
  // and timerfds that were set to one are set anew: timers when a thread of their process comes by.
  void begin_waits_anew();
  // Interrupts and detaches all. There must be no bell any more. A thread that cannot stop (in
  // uninterruptible sleep) is let go by the kernel when this thread ends (session.h).
  void let_go();

 private:
  Status seize_all(const PtraceTarget& target);
  void forget_ended_targets();
  void let_go_of(pid_t pid);
  Status seize_process(pid_t pid, std::shared_ptr<FollowedProcess> process);
  void await_first_stops();
  void set_timers_anew();
  // Somebody comes by soon.
  void rouse_setters();
  [[nodiscard]] bool any_timer_anew() const;
  void await_setters();
  [[nodiscard]] bool traced_by_us(pid_t tid) const;

  void pump();  // all that is reported now
  void look_at(pid_t tid);
  void meet(pid_t tid);  // a thread that the kernel attached
  void release(FollowedThread& child, const tracee::Stop& stop);
  [[nodiscard]] bool shares_memory(pid_t child) const;
  void note_if_idle();
  FollowedThread& add(pid_t tid, tracee::SeizedThread thread,
                      std::shared_ptr<FollowedProcess> process);
  std::shared_ptr<FollowedProcess> process_of(pid_t tid);
  void forget(pid_t tid);

  // These may end with the thread detached and forgotten.
  void handle(FollowedThread& thread, const tracee::Stop& stop);
  void at_syscall(FollowedThread& thread, bool interrupted);
  void at_event(FollowedThread& thread, const tracee::Stop& stop);
  void at_end(FollowedThread& thread, const tracee::Stop& stop);
  void begin_program(FollowedThread& thread);
  void begin_call(FollowedThread& thread, const tracee::SyscallStop& stop);
  bool set_a_timer(FollowedThread& thread, const tracee::SyscallStop& stop);
  void interrupt(FollowedThread& thread);
  void go_on(FollowedThread& thread, int signal = 0);
  [[nodiscard]] bool leaves(const FollowedThread& thread) const {
    return leaving_ || thread.process->leaving;
  }
  void detach(FollowedThread& thread, int signal = 0);

  std::list<PtraceTarget> targets_;  // processes point to them
  Ledger& ledger_;
  pid_t self_;
  bool leaving_ = false;
  bool idle_ = false;
  std::unordered_map<pid_t, FollowedThread> threads_;
  std::map<pid_t, std::shared_ptr<FollowedProcess>> processes_;
  // Threads and children whose birth was reported by the parent, and who have not stopped yet.
  std::map<pid_t, std::shared_ptr<FollowedProcess>> unborn_;
  // By which timerfds were set: of a target that is not here, real time.
  std::map<const PtraceTarget*, clock::ClockMaps> maps_of_timers_;
};

}  // namespace time_chaos::syscalls
