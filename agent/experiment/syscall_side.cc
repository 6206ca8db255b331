#include "agent/experiment/syscall_side.h"

#include <fmt/format.h>

#include "agent/syscalls/bpf_pins.h"

namespace time_chaos::experiment {
namespace {

// A shifted monotonic clock stays ahead until its process ends: so must the engine that shows it
// so.
bool must_outlive(const ShiftRequest& request) {
  const clock::ClockSet monotonic =
      clock::ClockSet(~clock::ClockSet::wall().bits()) & request.clocks.clocks;
  return request.detach || !monotonic.empty();
}

Status bpf_possible(const ShiftRequest& request) {
  TC_TRY(const auto machine, targets::read_machine());
  TC_TRY(const auto kernel, syscalls::read_kernel_facts());
  TC_CHECK(syscalls::bpf_permitted(machine, kernel));
  if (!must_outlive(request)) return {};
  const Status pins = syscalls::pins_possible();
  if (pins) return {};
  return fail(pins.error().because_of(request.detach
                                          ? "without an agent the BPF engine has to be pinned"
                                          : "monotonic clocks stay ahead after the agent's end, "
                                            "for which the BPF engine has to be pinned"));
}

// A forked child carries its parent's clock in its memory: somebody must be there to take it out
// before the child's first instruction.
Status without_children_possible(const ShiftRequest& request) {
  if (request.syscalls == SyscallEngine::kBpf || request.syscalls == SyscallEngine::kOff) {
    return fail(Exit::kUsage,
                "--no-children needs the ptrace engine, which gives children their "
                "own clock back",
                "use --engine-syscalls ptrace");
  }
  if (request.detach) {
    return fail(Exit::kUsage, "--no-children needs an agent that stays", "leave out --detach");
  }
  if (must_outlive(request)) {
    return fail(Exit::kUsage,
                "--no-children cannot be for monotonic clocks: they would step back in children",
                "leave out --no-children, or the monotonic clocks of --clocks");
  }
  return {};
}

bool bpf_wanted(const ShiftRequest& request) {
  return request.syscalls == SyscallEngine::kAuto || request.syscalls == SyscallEngine::kBpf;
}

// At one time: those that BPF enters by itself share a place.
constexpr size_t kPlacesForFollowers = 32;

}  // namespace

void SyscallSide::choose_another(const ShiftRequest& request, const Error& refusal) {
  choice_.why = refusal.message();
  // Without an agent there is nobody who could trace.
  choice_.engine = request.detach ? RawCalls::kUntouched : RawCalls::kPtrace;
}

Status SyscallSide::check_any_engine(const ShiftRequest& request) const {
  if (request.detour != vdso::Detour::kNone || choice_.engine != RawCalls::kUntouched) return {};
  return fail(Exit::kUnsupported, "--engine-vdso off leaves no engine: " + choice_.why,
              "leave it out");
}

Result<SyscallSide> SyscallSide::choose(const ShiftRequest& request) {
  SyscallSide side;
  side.choice_.by_itself = request.syscalls == SyscallEngine::kAuto;
  if (request.syscalls == SyscallEngine::kPtrace) side.choice_.engine = RawCalls::kPtrace;
  if (!request.children) {
    TC_CHECK(without_children_possible(request));
    side.choice_.engine = RawCalls::kPtrace;
    side.choice_.why = "--no-children needs it";
    return side;
  }
  if (!bpf_wanted(request)) return side;
  if (const Status possible = bpf_possible(request)) {
    side.choice_.engine = RawCalls::kBpf;
  } else if (request.syscalls == SyscallEngine::kBpf) {
    return fail(possible.error().because_of("--engine-syscalls bpf"));
  } else {
    side.choose_another(request, possible.error());
  }
  TC_CHECK(side.check_any_engine(request));
  return side;
}

Status SyscallSide::start_bpf(const ShiftRequest& request, size_t places) {
  auto engine = syscalls::BpfEngine::start(static_cast<uint32_t>(places));
  if (!engine && request.syscalls == SyscallEngine::kBpf) {
    return fail(engine.error().because_of("--engine-syscalls bpf"));
  }
  if (!engine) {
    choose_another(request, engine.error());
    return check_any_engine(request);
  }
  bpf_ = std::make_unique<syscalls::BpfEngine>(std::move(*engine));
  outlive_ = must_outlive(request);
  choice_.hooks = syscalls::name(bpf_->hooks().exit);
  choice_.why = bpf_->hooks().why;
  choice_.refused = bpf_->refused();
  if (bpf_->no_guard()) choice_.no_guard = bpf_->no_guard()->message();
  if (bpf_->no_waits()) choice_.no_waits = bpf_->no_waits()->message();
  if (bpf_->no_left()) choice_.no_left = bpf_->no_left()->message();
  if (bpf_->no_time()) choice_.no_time = bpf_->no_time()->message();
  return {};
}

Result<SyscallSide> SyscallSide::begin(const ShiftRequest& request, size_t targets) {
  TC_TRY(SyscallSide side, choose(request));
  if (side.choice_.engine != RawCalls::kBpf) return side;
  end_unused(running_engines());
  const size_t later = request.targets.open_ended() && !request.detach ? kPlacesForFollowers : 0;
  TC_CHECK(side.start_bpf(request, targets + later));
  return side;
}

Result<SyscallChoice> SyscallSide::foresee(const ShiftRequest& request) {
  TC_TRY(SyscallSide side, choose(request));
  if (side.choice_.engine == RawCalls::kBpf) TC_CHECK(side.start_bpf(request, 1));
  return side.choice_;
}

Engines SyscallSide::engines() const {
  return bpf_ ? Engines{bpf_->state()} : Engines{};
}

std::optional<BpfPlace> SyscallSide::place(size_t n) const {
  if (!bpf_) return std::nullopt;
  return BpfPlace{bpf_->state(), static_cast<uint32_t>(n)};
}

Status SyscallSide::keep_if_needed() {
  if (!bpf_ || !outlive_ || syscalls::is_pinned(bpf_->state()->id())) return {};
  return bpf_->pin();
}

Result<bool> SyscallSide::follow(const targets::Selector& selector, const BpfPlace& place) {
  if (!bpf_) return false;
  // Of those that are to come the kernel knows nothing yet that it could go by.
  if (selector.containers || selector.all_but_ours) return false;
  if (selector.cgroup) {
    if (!bpf_->knows_cgroups() || selector.cgroup->id == 0) return false;
    TC_CHECK(bpf_->follow_cgroup(selector.cgroup->id, place.page));
  } else {
    TC_CHECK(bpf_->follow_name(selector.name, place.page));
  }
  followed_places_.insert(place.page);
  return true;
}

void SyscallSide::unfollow() {
  if (!followed_places_.empty()) bpf_->unfollow();
  followed_places_.clear();
}

Result<size_t> SyscallSide::free_place() const {
  if (!bpf_) return 0;
  std::set<uint32_t> taken = followed_places_;
  for (const auto& [tgid, target] : bpf_->state()->targets()) taken.insert(target.page);
  for (uint32_t n = 0; n < bpf_->state()->page_count(); n++) {
    if (!taken.contains(n)) return n;
  }
  return fail(Exit::kFailed,
              fmt::format("the BPF engine has room for {} that came later", kPlacesForFollowers),
              "start another agent for it");
}

Status SyscallSide::follow(const std::vector<pid_t>& pids, const ShiftRequest& request) {
  if (choice_.engine != RawCalls::kPtrace) return {};
  auto following = experiment::follow(pids, request.children);
  if (following) {
    following_ = std::move(*following);
    return {};
  }
  if (!choice_.by_itself || !request.children) return fail(following.error());
  choice_.engine = RawCalls::kUntouched;
  choice_.why += ", and ptrace cannot: " + following.error().message();
  return {};
}

Status SyscallSide::follow_too(pid_t pid, const ShiftRequest& request) {
  if (!following_.engine) return {};
  return experiment::follow_too(following_, pid, request.children);
}

}  // namespace time_chaos::experiment
