// Signals, group stops and blocking calls: a followed program sees what it would see otherwise.
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "target.h"

namespace time_chaos::testing {
namespace {

Shared* g_shared;  // for the handlers of one target

void on_signal(int) {
  g_shared->signals++;
}

void count_signals(SharedMemory& shared, int signal) {
  g_shared = &shared.get();
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(signal, &action, nullptr);
}

// Real-time signals queue: each one sent must be seen.
class Sender {
 public:
  explicit Sender(pid_t pid) : thread_([this, pid] { send(pid); }) {}
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;
  Sender(Sender&&) = delete;
  Sender& operator=(Sender&&) = delete;
  ~Sender() { finish(); }
  uint64_t finish() {
    quit_ = true;
    if (thread_.joinable()) thread_.join();
    return sent_;
  }

 private:
  void send(pid_t pid) {
    while (!quit_) {
      if (::sigqueue(pid, SIGRTMIN, {}) == 0) sent_++;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  std::atomic<bool> quit_ = false;
  std::atomic<uint64_t> sent_ = 0;
  std::thread thread_;
};

TEST(PtraceSignals, NoneIsLostAtAKilohertzOverStartsAndStops) {
  SharedMemory shared;
  Target target([&] {
    count_signals(shared, SIGRTMIN);
    in_threads(4, [&](size_t) { read_clocks_forever(shared.get()); });
    return 0;
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 4; }));
  Sender sender(target.pid());
  for (int i = 0; i < 40; i++) {
    auto engine = start(target.pid());
    pause_for(20);
    engine->stop();
    pause_for(5);
  }
  const uint64_t sent = sender.finish();
  EXPECT_GT(sent, 500U);
  EXPECT_TRUE(eventually([&] { return shared->signals == sent; }, std::chrono::seconds(3)))
      << shared->signals << " of " << sent;
  EXPECT_EQ(shared->phases[0].wrong, 0U);
  shared->quit = true;
  EXPECT_EQ(target.wait(), 0);
}

// Stopped and continued by its natural parent, which must see both; the engine's process is
// another.
TEST(PtraceSignals, GroupStopsPass) {
  SharedMemory shared;
  Target parent([&] {
    const pid_t pid = ::fork();
    if (pid < 0) return 8;  // and never kill(-1)
    if (pid == 0) {
      std::thread other([&] { read_clocks_forever(shared.get()); });
      read_clocks_forever(shared.get());
      other.join();
      ::_exit(7);
    }
    shared->values[0] = pid;
    while (shared->phase == 0) ::usleep(1000);
    for (int i = 0; i < 25; i++) {
      int status = 0;
      ::kill(pid, SIGSTOP);
      if (::waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status)) return 1;
      const uint64_t stopped = shared->phases[1].shifted;
      ::usleep(2000);
      if (shared->phases[1].shifted != stopped) return 2;  // it ran
      ::kill(pid, SIGCONT);
      if (::waitpid(pid, &status, WCONTINUED) != pid || !WIFCONTINUED(status)) return 3;
      for (int wait = 0; shared->phases[1].shifted == stopped; wait++) {
        if (wait == 5000) return 4;  // it does not run
        ::usleep(1000);
      }
    }
    shared->quit = true;
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return 5;
    return WEXITSTATUS(status) == 7 ? 0 : 6;
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 2; }));
  const auto pid = static_cast<pid_t>(shared->values[0]);
  auto engine = start(pid);
  shared->phase = 1;
  EXPECT_EQ(parent.wait(), 0);
  EXPECT_TRUE(eventually([&] { return engine->exit_status(pid) == 7 << 8; }));
}

TEST(PtraceSignals, AStoppedProcessStaysStoppedAtStartAndAtStop) {
  SharedMemory shared;
  Target target([&] {
    std::thread other([&] { read_clocks_forever(shared.get()); });
    read_clocks_forever(shared.get());
    other.join();
    return 0;
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 2; }));
  const auto runs = [&] {
    Counts& counts = shared->phases[0];
    const uint64_t before = counts.real + counts.shifted;
    pause_for(30);
    return counts.real + counts.shifted != before;
  };
  ::kill(target.pid(), SIGSTOP);
  ASSERT_TRUE(eventually([&] { return state_of(target.pid()) == 'T'; }));
  auto engine = start(target.pid());
  EXPECT_FALSE(runs());
  ::kill(target.pid(), SIGCONT);
  EXPECT_TRUE(runs());
  EXPECT_GT(shared->phases[0].shifted, 0U);
  ::kill(target.pid(), SIGSTOP);
  pause_for(30);
  EXPECT_FALSE(runs());
  engine->stop();
  EXPECT_EQ(tracer_of(target.pid()), 0);
  EXPECT_TRUE(eventually([&] { return state_of(target.pid()) == 'T'; }));
  EXPECT_FALSE(runs());
  ::kill(target.pid(), SIGCONT);
  EXPECT_TRUE(runs());
  shared->quit = true;
  EXPECT_EQ(target.wait(), 0);
}

// Sleeper number `index` says how its call ended if not well.
void sleep_in(SharedMemory& shared, size_t index, const std::function<bool()>& undisturbed) {
  shared->ready++;
  if (undisturbed()) return;
  shared->values[index] = errno != 0 ? errno : -1;
  shared->interrupted++;
}

std::string surprises(SharedMemory& shared) {
  std::string text;
  for (size_t i = 0; i < 10; i++) {
    if (shared->values[i] != 0) {
      text += " sleeper " + std::to_string(i) + " errno " + std::to_string(shared->values[i]);
    }
  }
  return text;
}

// Threads in calls that the kernel restarts, in calls that it does not, and in sleeps.
int many_sleepers(SharedMemory& shared) {
  int pipe_ends[2];
  int sockets[2];
  if (::pipe(pipe_ends) != 0 || ::socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) return 1;
  const timeval patience{60, 0};
  ::setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sigset_t waited;
  sigemptyset(&waited);
  sigaddset(&waited, SIGUSR2);
  ::sigprocmask(SIG_BLOCK, &waited, nullptr);
  const int epoll = ::epoll_create1(0);
  epoll_event watched{};
  watched.events = EPOLLIN;
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_ends[0], &watched);
  static int futex;
  const timespec minute{60, 0};
  char byte = 0;
  const std::vector<std::function<bool()>> calls = {
      [&] {
        epoll_event event{};
        return ::epoll_wait(epoll, &event, 1, 60'000) == 1;
      },
      [&] {
        epoll_event event{};
        return ::epoll_pwait(epoll, &event, 1, -1, &waited) == 1;
      },
      [&] {
        pollfd wanted{pipe_ends[0], POLLIN, 0};
        return ::poll(&wanted, 1, 60'000) == 1;
      },
      [&] { return ::syscall(SYS_futex, &futex, FUTEX_WAIT, 0, &minute, nullptr, 0) == 0; },
      [&] { return ::recv(sockets[0], &byte, 1, MSG_PEEK) == 1; },
      [&] { return ::sigtimedwait(&waited, nullptr, &minute) == SIGUSR2; },
      [&] {
        const timespec nap{2, 0};
        timespec before{};
        timespec after{};
        ::clock_gettime(CLOCK_MONOTONIC, &before);
        const int result = ::nanosleep(&nap, nullptr);
        ::clock_gettime(CLOCK_MONOTONIC, &after);
        return result == 0 && after.tv_sec - before.tv_sec >= 1;
      },
  };
  std::vector<std::thread> threads;
  for (size_t i = 0; i < calls.size(); i++) {
    threads.emplace_back([&, i] { sleep_in(shared, i, calls[i]); });
  }
  while (shared->phase == 0) ::usleep(1000);
  // All of them must now end, and well.
  if (::write(pipe_ends[1], "x", 1) != 1 || ::write(sockets[1], "x", 1) != 1) return 2;
  ::kill(::getpid(), SIGUSR2);
  while (::syscall(SYS_futex, &futex, FUTEX_WAKE, 1, nullptr, nullptr, 0) != 1) ::usleep(1000);
  for (auto& thread : threads) thread.join();
  return 0;
}

TEST(PtraceSignals, BlockingCallsAreNotCutShortByStartStopOrIgnoredSignals) {
  SharedMemory shared;
  Target target([&] { return many_sleepers(shared); });
  ASSERT_TRUE(eventually([&] { return shared->ready == 7; }));
  pause_for(50);
  for (int i = 0; i < 15; i++) {
    auto engine = start(target.pid());
    pause_for(10);
    // Ignored by default: untraced, these wake nobody.
    ::kill(target.pid(), SIGCHLD);
    ::kill(target.pid(), SIGURG);
    ::kill(target.pid(), SIGWINCH);
    pause_for(i % 3 == 0 ? 0 : 10);
    engine->stop();
    EXPECT_EQ(shared->interrupted, 0) << "in round " << i << surprises(shared);
  }
  shared->phase = 1;
  EXPECT_EQ(target.wait(), 0);
  EXPECT_EQ(shared->interrupted, 0) << surprises(shared);
}

TEST(PtraceSignals, ACaughtSignalInterruptsAsEver) {
  SharedMemory shared;
  Target target([&] {
    count_signals(shared, SIGUSR1);
    const int epoll = ::epoll_create1(0);
    epoll_event event{};
    shared->ready = 1;
    const int result = ::epoll_wait(epoll, &event, 1, 20'000);
    shared->values[0] = result == -1 ? errno : 0;
    shared->done = 1;
    ::pause();
    return 0;
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 1; }));
  pause_for(20);
  auto engine = start(target.pid());
  pause_for(20);
  ::kill(target.pid(), SIGUSR1);
  ASSERT_TRUE(eventually([&] { return shared->done == 1; }, std::chrono::seconds(5)));
  EXPECT_EQ(shared->values[0], EINTR);
  EXPECT_EQ(shared->signals, 1U);
}

}  // namespace
}  // namespace time_chaos::testing
