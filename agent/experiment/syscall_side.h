// The system call side of an experiment: which engine shifts the calls that do not go through the
// vDSO, and why that one.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/experiment/bpf_place.h"
#include "agent/experiment/carrier.h"
#include "agent/experiment/following.h"
#include "agent/experiment/request.h"
#include "agent/syscalls/bpf_engine.h"
#include "agent/syscalls/ptrace_engine.h"
#include "agent/targets/arrivals.h"

namespace time_chaos::experiment {

struct SyscallChoice {
  RawCalls engine = RawCalls::kUntouched;
  std::string hooks;                 // kBpf: "fexit"
  std::string why;                   // why this engine; why its hooks
  std::vector<std::string> refused;  // hooks that the kernel refused: for -v
  std::string no_time;               // kBpf: why raw time(2) calls are not shifted; empty: they are
  std::string no_waits;              // kBpf: why waits end in real time; empty: they do not
  std::string no_left;   // kBpf: why what is left of waits is real; empty: it is the target's time
  std::string no_guard;  // kBpf: why targets can set the machine's clock; empty: they cannot
  bool by_itself = false;  // the user left it to us
};

class SyscallSide {
 public:
  // What begin() would choose, for --dry-run. The BPF engine is started and ended for it, because
  // what a kernel refuses is known when it refuses it.
  static Result<SyscallChoice> foresee(const ShiftRequest& request);
  // Chooses, and starts the BPF engine, with no targets yet, if that is the choice. An error only
  // where the user insists on an engine that cannot be had.
  static Result<SyscallSide> begin(const ShiftRequest& request, size_t targets);

  [[nodiscard]] const SyscallChoice& choice() const { return choice_; }
  // Ours: none or one.
  [[nodiscard]] Engines engines() const;

  // The n-th target's place; nothing without BPF.
  [[nodiscard]] std::optional<BpfPlace> place(size_t n) const;
  // To be called when targets have been entered, and before their clocks change: where the engine
  // must outlive this agent, it does from here on.
  Status keep_if_needed();

  // What is executed under that name, or in that control group, in our pid namespace or one below,
  // is a target of that place from here on; until unfollow(). False: the kernel does not do that
  // for us, without BPF, and for a group of version 1 or before 5.15.
  Result<bool> follow(const targets::Selector& selector, const BpfPlace& place);
  void unfollow();
  // The number of a place that nobody has, for a target that comes later.
  Result<size_t> free_place() const;

  // ptrace: follows all threads of `pids`, whose clock pages say by how much; calls from inside a
  // detoured vDSO are left to the detour. Where we chose ptrace by ourselves and it cannot be, the
  // choice says so from here on.
  Status follow(const std::vector<pid_t>& pids, const ShiftRequest& request);
  // One more. Nothing where there is no ptrace engine.
  Status follow_too(pid_t pid, const ShiftRequest& request);
  [[nodiscard]] const syscalls::PtraceEngine* following() const { return following_.engine.get(); }
  [[nodiscard]] syscalls::PtraceEngine* following() { return following_.engine.get(); }
  // The page of a target, while somebody is followed because of it; else null.
  [[nodiscard]] std::shared_ptr<FollowedPage> followed_page(pid_t target) const {
    const auto found = following_.pages.find(target);
    return found == following_.pages.end() ? nullptr : found->second.lock();
  }
  // The leases of the targets that are followed.
  void renew_followed(std::optional<Nanoseconds> lease, const clock::Programs& programs) {
    following_.renew(lease, programs);
  }
  // Their maps were changed.
  void begin_waits_anew() {
    if (following_.engine) following_.engine->begin_waits_anew();
  }
  // following() can still be asked what it did.
  void stop_following() { following_.stop(); }
  void end_following() { following_ = {}; }

 private:
  SyscallSide() = default;
  // As far as it can be told without trying.
  static Result<SyscallSide> choose(const ShiftRequest& request);
  Status start_bpf(const ShiftRequest& request, size_t places);
  void choose_another(const ShiftRequest& request, const Error& refusal);
  [[nodiscard]] Status check_any_engine(const ShiftRequest& request) const;

  SyscallChoice choice_;
  bool outlive_ = false;
  std::unique_ptr<syscalls::BpfEngine> bpf_;
  std::set<uint32_t> followed_places_;  // what BPF enters by itself gets them
  Following following_;
};

}  // namespace time_chaos::experiment
