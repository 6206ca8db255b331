#include "agent/syscalls/timerfds.h"

#include <linux/kcmp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <utility>

#include "agent/clock/clock_set.h"
#include "agent/syscalls/deadline.h"
#include "agent/targets/timers.h"

namespace time_chaos::syscalls {
namespace {

constexpr unsigned long kSetTicks = _IOW('T', 0, uint64_t);  // TFD_IOC_SET_TICKS, linux/timerfd.h

std::vector<int> timerfds_of(pid_t pid) {
  std::vector<int> fds;
  std::error_code error;
  const std::filesystem::path directory = "/proc/" + std::to_string(pid) + "/fd";
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code ended;
    const auto link = std::filesystem::read_symlink(it->path(), ended);
    if (!ended && link == "anon_inode:[timerfd]") fds.push_back(std::stoi(it->path().filename()));
  }
  return fds;
}

timespec as_timespec(clock::Reading time) {
  return {time.sec, time.nsec};
}

clock::Reading after(clock::Reading now, int64_t sec, int64_t nsec) {
  return clock::plus(now, std::chrono::seconds(sec) + std::chrono::nanoseconds(nsec));
}

// A timerfd that is set to a time, and will expire.
struct Pending {
  targets::Timerfd timer;
  TimerStands stands;
};

ScopedFd duplicate(int pidfd, int fd) {
  return ScopedFd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, fd, 0)));
}

bool repeats(const targets::Timerfd& timer) {
  return timer.interval_sec != 0 || timer.interval_nsec != 0;
}

bool switched_off(const targets::Timerfd& timer) {
  return timer.value_sec == 0 && timer.value_nsec == 0;
}

std::optional<Pending> read_pending(pid_t pid, int pidfd, int fd) {
  auto timer = targets::read_timerfd(pid, fd);
  if (!timer || timer->clock < 0 || timer->clock >= TC_CLOCK_COUNT) return std::nullopt;
  const int clock = timer->clock;
  // The kernel lets one that repeats go on when somebody asks for it.
  if (switched_off(*timer) && repeats(*timer) && timer->ticks != 0) {
    itimerspec unused{};
    (void)::timerfd_gettime(duplicate(pidfd, fd).get(), &unused);
  }
  const clock::Reading earlier = read_host(clock);
  timer = targets::read_timerfd(pid, fd);
  const clock::Reading later = read_host(clock);
  if (!timer || timer->clock != clock || (timer->flags & TFD_TIMER_ABSTIME) == 0) {
    return std::nullopt;
  }
  if (switched_off(*timer)) return std::nullopt;
  return Pending{*timer,
                 {clock, after(earlier, timer->value_sec, timer->value_nsec),
                  after(later, timer->value_sec, timer->value_nsec), repeats(*timer)}};
}

// `old`: how it stood, by what the kernel said when it was set anew. The program itself may have
// set it meanwhile.
bool as_it_was(const Pending& pending, const itimerspec& old, clock::Reading now) {
  const auto& [timer, read] = pending;
  const timespec& left = old.it_value;
  const TimerEnd was{{}, after(now, left.tv_sec, left.tv_nsec)};
  if (old.it_interval.tv_sec != timer.interval_sec ||
      old.it_interval.tv_nsec != timer.interval_nsec) {
    return false;
  }
  // It may have expired since it was read.
  if (left.tv_sec == 0 && left.tv_nsec == 0) return is_at(read, {{}, now}) || now > read.latest;
  return is_at(read, was) || read.repeats;
}

}  // namespace

bool TimerfdRound::done_before(int file) const {
  const pid_t self = ::getpid();
  return std::any_of(done_.begin(), done_.end(), [&](const ScopedFd& other) {
    return ::syscall(SYS_kcmp, self, self, KCMP_FILE, file, other.get()) == 0;
  });
}

void TimerfdRound::set_anew(Process& process, int fd, Which which) {
  constexpr int kAttempts = 3;
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    const auto pending = read_pending(process.pid, process.pidfd.get(), fd);
    if (!pending) return;
    const targets::Timerfd& timer = pending->timer;
    // See maps_of().
    if (process.only_wall && clock::is_monotonic(timer.clock)) return;
    const auto noted = process.notes->find(fd);
    if (which == Which::kNoted && !(noted && is_at(pending->stands, *noted))) return;
    const auto end = end_anew(pending->stands, noted, process.before, process.now);
    if (!end) return;
    ScopedFd file = duplicate(process.pidfd.get(), fd);
    if (!file.valid() || done_before(file.get())) return;
    const itimerspec setting{{timer.interval_sec, timer.interval_nsec}, as_timespec(end->real)};
    itimerspec old{};
    const auto flags = static_cast<int>(timer.flags);
    if (::timerfd_settime(file.get(), flags, &setting, &old) != 0) return;
    const clock::Reading now = read_host(timer.clock);
    if (as_it_was(*pending, old, now)) {
      process.notes->note(fd, *end);
      // What has expired is not lost by that.
      if (timer.ticks != 0) (void)::ioctl(file.get(), kSetTicks, &timer.ticks);
      done_.push_back(std::move(file));
      return;
    }
    // Put back, and looked at again. Of a time there is a note; all else is a length.
    const clock::Reading was = after(now, old.it_value.tv_sec, old.it_value.tv_nsec);
    const auto fresh = process.notes->find(fd);
    const bool absolute = fresh && is_at({timer.clock, was, was, false}, *fresh);
    if (absolute) old.it_value = as_timespec(fresh->real);
    (void)::timerfd_settime(file.get(), absolute ? flags : 0, &old, nullptr);
  }
}

void TimerfdRound::add(pid_t pid, std::unique_ptr<TimerfdNotes> notes,
                       const clock::ClockMaps& before, const clock::ClockMaps& now,
                       bool only_wall) {
  auto timerfds = timerfds_of(pid);
  if (timerfds.empty()) return;
  ScopedFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) return;
  processes_.push_back(
      {pid, std::move(pidfd), std::move(notes), before, now, only_wall, std::move(timerfds)});
}

void TimerfdRound::run() {
  for (const Which which : {Which::kNoted, Which::kAll}) {
    for (Process& process : processes_) {
      for (const int fd : process.fds) set_anew(process, fd, which);
    }
  }
}

}  // namespace time_chaos::syscalls
