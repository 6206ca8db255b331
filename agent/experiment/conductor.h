// The agent's work from its first target to its last recovery, in steps: conduct.cc begins,
// conduct_wait.cc waits for targets, conduct_followers.cc takes in who comes later, conduct_stay.cc
// stays and recovers.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "agent/experiment/conduct.h"
#include "agent/experiment/control.h"
#include "agent/experiment/family.h"
#include "agent/experiment/followers.h"
#include "agent/vdso/plt_watch.h"

namespace time_chaos::experiment {

class Conductor : public Control {
 public:
  Conductor(const ShiftRequest& request, Events& events, std::vector<Asker*> askers)
      : request_(request), events_(events), askers_(std::move(askers)) {}

  Exit run(bool dry_run);

  Outcome set(clock::ClockSpec spec) override;
  Telemetry telemetry() override;
  void end() override;
  void complain(const Error& error) override;

 private:
  using Moment = std::chrono::steady_clock::time_point;

  // A target, or, when all targets have ended, one that came of them.
  struct Running {
    targets::Process process;
    FamilyName family;  // it, its children, and what they executed
    bool gone = false;
    std::shared_ptr<const clock::Program> program;  // of which it has a part at a time
  };

  Exit refuse(const Error& error);
  void note_shifted(const Shifted& shifted);
  void add_calls(Telemetry& telemetry) const;
  void fail_with(const Error& error);
  Result<Changed> change_followed(const Running& running, FollowedPage& page,
                                  const clock::ClockSpec& spec);
  Result<Changed> change_for_followers(const Running& ended, const clock::ClockSpec& spec);
  Exit foretell(std::vector<targets::Process> processes);
  Result<std::vector<PlannedTarget>> plan(std::vector<targets::Process> processes,
                                          const SyscallChoice& choice, Abandoned abandoned);
  Status shift(PlannedTarget& target, const ShiftRequest& request, size_t place);
  Status follow_syscalls();
  [[nodiscard]] Status drop_privileges() const;

  Result<std::vector<targets::Process>> find_targets(bool dry_run);
  // As long as the request is willing to wait. Asked to end meanwhile: stopped_.
  Result<std::vector<targets::Process>> await_targets(Lifetime& lifetime, bool dry_run);
  Result<std::vector<PlannedTarget>> plan_first(Lifetime& lifetime,
                                                std::vector<targets::Process> processes);
  Result<std::vector<PlannedTarget>> plan_without_abandoned(
      std::vector<targets::Process> processes);
  Status recover_abandoned(const std::vector<PlannedTarget>& targets);
  bool sleep(Lifetime& lifetime, std::chrono::milliseconds span);

  // Before anything changes: who comes from then on is not missed.
  void listen_for_followers();
  // The targets that are there are what those who come are to be like.
  Status follow_selectors();
  [[nodiscard]] const Running& first_of(const targets::Selector& selector) const;
  void set_model(size_t selector, const Running& running);
  void meet_followers(std::optional<Moment> end);
  void meet(const Followers::Candidate& candidate, std::optional<Moment> end);
  // It is a target already: a child of one, or one of BPF's.
  bool serves(const Followers::Candidate& candidate);
  Status take_in(const Followers::Candidate& candidate, const ShiftRequest& request);
  // A family of which nobody is left needs no memory.
  void forget_ended();

  void stay(Lifetime& lifetime);
  [[nodiscard]] std::vector<int> pidfds();
  [[nodiscard]] std::vector<int> asker_fds() const;
  void note_end(size_t target);
  [[nodiscard]] std::optional<Moment> refill_due(Moment now) const;
  // PLT mode: what was loaded since the last look.
  void watch_slots(Moment now);
  void renew_all(std::optional<Moment> end);
  [[nodiscard]] bool nobody_lives() const;
  bool anyone_left();
  void end_following();
  void report_released(pid_t pid);
  [[nodiscard]] std::vector<Carrier> members_of(const Running& running) const;
  void recover_all();
  void recover(const Carrier& member);

  ShiftRequest request_;
  Events& events_;
  std::vector<Asker*> askers_;
  std::vector<Running> running_;
  std::optional<SyscallSide> side_;
  std::optional<std::vector<targets::Selector>> selectors_;
  std::optional<Followers> followers_;
  ScopedFd notice_;
  std::optional<Moment> next_watch_;  // nothing: not in PLT mode
  std::vector<vdso::PltWatch> watched_;
  Moment members_due_;  // forked children are looked for less often
  Moment began_;
  bool stopped_ = false;
  Telemetry so_far_;  // what is only counted up
  // The counts of targets that are gone: engines keep them.
  struct Counted {
    std::map<std::pair<uint32_t, uint32_t>, BpfPlace> places;  // by engine and page
    std::set<pid_t> pids;
    void add(pid_t pid, const std::optional<BpfPlace>& place);
  };
  Counted still_counted_;
  int good_ = 0;
  Exit worst_ = Exit::kOk;
};

}  // namespace time_chaos::experiment
