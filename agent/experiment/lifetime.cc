#include "agent/experiment/lifetime.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <vector>

#include "agent/experiment/owner.h"

namespace time_chaos::experiment {

using std::chrono::steady_clock;

Result<Lifetime> Lifetime::begin() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, kChangedSignal}) sigaddset(&set, signal);
  if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno("block signals");
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return fail_errno("signalfd");
  return Lifetime(ScopedFd(fd));
}

std::optional<int> Lifetime::pending_signal() {
  signalfd_siginfo info{};
  if (::read(signals_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

Result<Lifetime::Event> Lifetime::wait(std::optional<steady_clock::time_point> until,
                                       std::span<const int> pidfds) {
  std::vector<pollfd> fds{{signals_.get(), POLLIN, 0}};
  for (const int fd : pidfds) fds.push_back({fd, POLLIN, 0});
  for (;;) {
    timespec timeout{};
    if (until) {
      const auto left = std::max(*until - steady_clock::now(), steady_clock::duration(0));
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
      timeout.tv_sec = seconds.count();
      timeout.tv_nsec = std::chrono::nanoseconds(left - seconds).count();
    }
    const int ready = ::ppoll(fds.data(), fds.size(), until ? &timeout : nullptr, nullptr);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return fail_errno("poll");
    if (ready == 0) return Event{Event::Kind::kMoment, 0, 0};
    if (const auto signal = pending_signal()) {
      const bool changed = *signal == kChangedSignal;
      return Event{changed ? Event::Kind::kChanged : Event::Kind::kSignal, *signal, 0};
    }
    for (size_t i = 1; i < fds.size(); i++) {
      if (fds[i].revents != 0) return Event{Event::Kind::kTargetEnded, 0, i - 1};
    }
  }
}

}  // namespace time_chaos::experiment
