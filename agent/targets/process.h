// A process as the agent knows it: by pid and start time, held by a pidfd.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"

namespace time_chaos::targets {

// What /proc/PID/status says (proc_pid_status(5)), of a process or of one of its threads.
struct ProcStatus {
  std::string name;
  char state = '?';  // R S D Z T t X I
  pid_t tgid = 0;
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t tracer = 0;             // 0: not traced
  std::vector<pid_t> ns_pids;   // NSpid: outermost (ours) first
  uint32_t uid = 0;             // effective
  uint64_t pending = 0;         // SigPnd
  uint64_t shared_pending = 0;  // ShdPnd
  uint64_t blocked = 0;         // SigBlk
  uint64_t ignored = 0;         // SigIgn
  uint64_t caught = 0;          // SigCgt
  uint64_t effective_capabilities = 0;
  int threads = 0;
  int seccomp_mode = 0;     // 0 none, 1 strict, 2 filter
  int seccomp_filters = 0;  // 0 where the kernel does not say
  bool no_memory = false;   // no VmSize line: a kernel thread or a zombie
  uint64_t voluntary_switches = 0;
  uint64_t involuntary_switches = 0;
};

Result<ProcStatus> parse_status(std::string_view text);
Result<ProcStatus> read_status(pid_t pid);
Result<ProcStatus> read_thread_status(pid_t pid, pid_t tid);

// What is used of /proc/PID/stat (proc_pid_stat(5)).
struct ProcStat {
  std::string name;  // comm
  char state = '?';
  uint64_t flags = 0;       // PF_*, field 9
  uint64_t start_time = 0;  // clock ticks since boot, field 22
  bool kernel_thread = false;
};
Result<ProcStat> parse_stat(std::string_view text);
Result<ProcStat> read_stat(pid_t pid);

// Field 22 of /proc/PID/stat, clock ticks since boot; comm may hold spaces and parentheses.
Result<uint64_t> parse_start_time(std::string_view stat_text);
Result<uint64_t> read_start_time(pid_t pid);
// Field 28: where the stack began when the program was executed (argc is there). kNotPermitted
// where the kernel does not tell us.
Result<uint64_t> parse_stack_start(std::string_view stat_text);
Result<uint64_t> read_stack_start(pid_t pid);
// PF_KTHREAD in field 9 of /proc/PID/stat.
Result<bool> is_kernel_thread(pid_t pid);

// The inode of /proc/PID/ns/pid. 0xEFFFFFFC (PROC_PID_INIT_INO, include/linux/proc_ns.h) is the
// initial namespace.
inline constexpr uint64_t kInitialPidNamespace = 0xEFFFFFFC;
Result<uint64_t> pid_namespace_inode(pid_t pid);

// All thread ids, ascending. Empty only for a process that is gone.
std::vector<pid_t> list_threads(pid_t pid);
// All process ids in /proc, ascending.
std::vector<pid_t> list_processes();

// /proc/PID/task/TID/syscall (proc_pid_syscall(5)).
struct ThreadSyscall {
  bool running = false;  // in user mode, or on a CPU: nothing more is known
  int64_t number = -1;   // -1: blocked, but not in a system call
  uint64_t arguments[6] = {};
  uint64_t stack_pointer = 0;
  uint64_t instruction_pointer = 0;
};
Result<ThreadSyscall> parse_thread_syscall(std::string_view text);
Result<ThreadSyscall> read_thread_syscall(pid_t pid, pid_t tid);

// In which function of the kernel it sleeps (proc_pid_wchan(5)); empty if that is not known.
std::string read_thread_wchan(pid_t pid, pid_t tid);

// Nanoseconds that the thread has run on a CPU (/proc/PID/task/TID/schedstat, CONFIG_SCHED_INFO).
std::optional<uint64_t> read_run_time(pid_t pid, pid_t tid);

// A process that stays the same process: the pid is not used after it was given to another.
class Process {
 public:
  // kNoTarget when there is none; a thread id that is not a process id is kNoTarget with a remedy
  // that names the process.
  static Result<Process> open(pid_t pid);

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] uint64_t start_time() const { return start_time_; }
  [[nodiscard]] const std::string& name() const { return name_; }  // comm
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  // Still there, with the same start time, and not a zombie.
  [[nodiscard]] bool alive() const;
  // "4242 (payments)", as messages name it.
  [[nodiscard]] std::string label() const;

 private:
  pid_t pid_ = 0;
  uint64_t start_time_ = 0;
  std::string name_;
  ScopedFd pidfd_;
};

// Refuses what can never be a target, before anything is touched: the machine's init (pid 1 of the
// initial pid namespace), the agent itself, kernel threads, zombies, processes that are traced
// already (names the tracer). Also refuses a process whose main thread alone has exited: the kernel
// no longer shows its memory under /proc/PID. Errors carry remedies and name the target: do not
// name it again around them. `allowed_tracer`, a process id, may trace it (0: nobody).
Status check_targetable(const Process& process, pid_t allowed_tracer = 0);

// TASK_COMM_LEN without the end: the rest of a longer name is not kept by the kernel.
inline constexpr size_t kCommLength = 15;
// The processes whose comm is `name` (at most 15 bytes, as the kernel keeps it; longer names match
// by their first 15), ascending, without the agent itself, threads and zombies.
std::vector<pid_t> find_by_name(std::string_view name);

}  // namespace time_chaos::targets
