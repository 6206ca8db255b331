#include "agent/syscalls/timerfds.h"

#include <linux/kcmp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <string>

#include "agent/clock/clock_set.h"
#include "agent/syscalls/deadline.h"
#include "agent/targets/timers.h"

namespace time_chaos::syscalls {
namespace {

using std::chrono::nanoseconds;

constexpr unsigned long kSetTicks = _IOW('T', 0, uint64_t);  // TFD_IOC_SET_TICKS, linux/timerfd.h

// Between the readings of a timer and of its clock something else may run.
constexpr nanoseconds kBetween = std::chrono::milliseconds(20);

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

bool same_map(const clock::ClockMaps& a, const clock::ClockMaps& b, int clock) {
  const auto i = static_cast<size_t>(clock);
  return std::memcmp(&a[i], &b[i], offsetof(tc_clock_map, until_sec)) == 0 &&
         std::memcmp(&a.table, &b.table, sizeof a.table) == 0;
}

timespec as_timespec(clock::Reading time) {
  return {time.sec, time.nsec};
}

}  // namespace

bool TimerfdRound::done_before(int file) const {
  const pid_t self = ::getpid();
  return std::any_of(done_.begin(), done_.end(), [&](const ScopedFd& other) {
    return ::syscall(SYS_kcmp, self, self, KCMP_FILE, file, other.get()) == 0;
  });
}

void TimerfdRound::set_one(FollowedProcess& process, int pidfd, int fd,
                           const clock::ClockMaps& before, const clock::ClockMaps& now) {
  const auto timer = targets::read_timerfd(process.pid, fd);
  if (!timer || timer->clock < 0 || timer->clock >= TC_CLOCK_COUNT) return;
  // See maps_of(), and no need to touch what is right.
  if (process.executed && clock::is_monotonic(timer->clock)) return;
  if (same_map(before, now, timer->clock)) return;
  const clock::Reading host = read_host(timer->clock);
  const clock::Reading left{timer->value_sec, timer->value_nsec};
  const auto known = process.timerfds.find(fd);
  const bool absolute = (timer->flags & TFD_TIMER_ABSTIME) != 0;
  if (!absolute || left == clock::Reading{}) {
    process.timerfds.erase(fd);
    return;
  }
  // A little late, never early: the clock was read after the timer.
  clock::Reading real = clock::plus(host, std::chrono::seconds(left.sec) + nanoseconds(left.nsec));
  clock::Reading shown = clock::apply(before, timer->clock, real);
  if (known != process.timerfds.end()) {
    const nanoseconds off = clock::minus(real, known->second.real);
    if (off >= -kBetween && off <= kBetween) shown = known->second.shown;
  }
  real = real_time_of(now, timer->clock, shown);
  if (real == clock::Reading{}) real.nsec = 1;  // over, not disarmed
  ScopedFd file(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, fd, 0)));
  if (!file.valid() || done_before(file.get())) return;
  const itimerspec setting{{timer->interval_sec, timer->interval_nsec}, as_timespec(real)};
  if (::timerfd_settime(file.get(), static_cast<int>(timer->flags), &setting, nullptr) == 0) {
    process.timerfds[fd] = {shown, real};
    // What has expired is not lost by that.
    if (timer->ticks != 0) (void)::ioctl(file.get(), kSetTicks, &timer->ticks);
  }
  done_.push_back(std::move(file));
}

void TimerfdRound::set_anew(FollowedProcess& process, const clock::ClockMaps& before,
                            const clock::ClockMaps& now) {
  const auto timerfds = timerfds_of(process.pid);
  if (timerfds.empty()) return;
  const ScopedFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd.valid()) return;
  for (const int fd : timerfds) set_one(process, pidfd.get(), fd, before, now);
}

}  // namespace time_chaos::syscalls
