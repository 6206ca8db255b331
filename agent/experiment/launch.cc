#include "agent/experiment/launch.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "agent/experiment/change.h"
#include "agent/experiment/family.h"
#include "agent/experiment/start.h"
#include "agent/experiment/undo.h"

namespace time_chaos::experiment {
namespace {

// Those that a supervisor or a user sends to end or to notify a command.
constexpr int kPassedOn[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

Result<ScopedFd> signals_as_fd(sigset_t* before) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kPassedOn) sigaddset(&set, signal);
  if (::pthread_sigmask(SIG_BLOCK, &set, before) != 0) return fail_errno("block signals");
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return fail_errno("signalfd");
  return ScopedFd(fd);
}

// Ctrl-C in the terminal reaches the whole foreground process group, the command included; what
// was sent to us alone is passed on.
void pass_on_signals(pid_t child, int signals) {
  signalfd_siginfo info{};
  while (::read(signals, &info, sizeof info) == sizeof info) {
    const bool by_terminal = info.ssi_code == SI_KERNEL;
    if (!by_terminal) ::kill(child, static_cast<int>(info.ssi_signo));
  }
}

// Hands the command the next part of a schedule that its clock page does not hold at once.
class Feeder {
 public:
  Feeder(const PlannedTarget& target, SyscallSide& side, const FamilyName& family,
         const std::string& experiment)
      : target_(target),
        side_(side),
        family_(family),
        experiment_(experiment),
        began_(std::chrono::steady_clock::now()) {
    set_due();
  }
  // For poll(2).
  [[nodiscard]] int next() const {
    if (due_ == Moment::max()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(due_ - now());
    return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 3'600'000));
  }
  void feed() {
    if (now() < due_) return;
    const clock::Programs programs{target_.maps.program};
    if (side_.following() != nullptr) {
      side_.renew_followed(std::nullopt, programs);
    } else if (const auto members = survivors(family_, experiment_); !members.empty()) {
      (void)renew(members.front(), std::nullopt, programs);  // they share the page
    }
    set_due();
  }

 private:
  using Moment = std::chrono::steady_clock::time_point;
  static Moment now() { return std::chrono::steady_clock::now(); }
  void set_due() {
    due_ = Moment::max();
    if (!target_.maps.program) return;
    const Nanoseconds place = now() - began_;
    const auto after = target_.maps.program->refill_after(place.count());
    if (after) due_ = began_ + Nanoseconds(*after);
  }

  const PlannedTarget& target_;
  SyscallSide& side_;
  const FamilyName& family_;
  const std::string& experiment_;
  Moment began_;
  Moment due_ = Moment::max();
};

// Until the command has ended. By its pidfd, because its tracer, if there is one, gets its status.
// A long schedule is fed to it meanwhile.
void wait_for_end(const targets::Process& process, int signals, Feeder& feeder) {
  for (;;) {
    pollfd fds[] = {{signals, POLLIN, 0}, {process.pidfd(), POLLIN, 0}};
    if (::poll(fds, 2, feeder.next()) < 0 && errno != EINTR) return;
    feeder.feed();
    if (fds[0].revents != 0) pass_on_signals(process.pid(), signals);
    if (fds[1].revents != 0) return;
  }
}

// Children of the command that live on, in the background, get their own clock back: nobody would
// serve their system calls, or recover them.
void recover_left_behind(const FamilyName& family, const ShiftRequest& request, Ended& ended) {
  for (const Carrier& member : survivors(family, request.experiment)) {
    const auto recovered = recover_carrier(member, request.force);
    if (!recovered && member.process.alive()) ended.not_recovered.push_back(recovered.error());
  }
}

}  // namespace

Result<Ended> launch(const ShiftRequest& asked, const std::vector<std::string>& words,
                     const std::function<void(const Shifted&, const SyscallChoice&)>& started) {
  sigset_t mask;
  TC_TRY(const ScopedFd signals, signals_as_fd(&mask));
  TC_TRY(auto side, SyscallSide::begin(asked, 1));
  ShiftRequest request = asked;
  request.clocks.start = clock::read_host_clocks();
  TC_TRY(StartedCommand command, start_command(words, mask, request, side));
  const pid_t pid = command.child.pid();
  TC_CHECK(side.follow({pid}, request));
  const FamilyName family{command.planned.page_identity, command.planned.bpf};
  Feeder feeder(command.planned, side, family, request.experiment);
  started(command.shifted, side.choice());
  if (command.stopped && ::kill(pid, SIGCONT) != 0) return fail_errno("start the command");
  wait_for_end(command.planned.process, signals.get(), feeder);
  Ended ended;
  auto* const following = side.following();
  if (following != nullptr) {
    following->stop();
    ended.escaped_programs = following->counters(pid).failed_programs;
  }
  recover_left_behind(family, request, ended);
  end_unused(side.engines());
  if (const auto status = following != nullptr ? following->exit_status(pid) : std::nullopt) {
    command.child.reaped();
    ended.wait_status = *status;
  } else {
    ended.wait_status = command.child.wait();
  }
  return ended;
}

}  // namespace time_chaos::experiment
