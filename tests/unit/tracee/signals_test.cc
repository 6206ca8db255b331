// Signals and calls of a thread that is stopped again and again: none is lost, none is made up.
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "agent/tracee/eintr.h"
#include "agent/tracee/session.h"
#include "tests/unit/tracee/support.h"

namespace time_chaos::tracee {
namespace {

using test::Child;
using test::Counter;
using test::eventually;
using test::Shared;

// A child in a call that only knows EINTR. `ended` counts returns, `error` is the last errno.
struct Waiter {
  Counter ended{0};
  std::atomic<int> error{0};
};

struct Blocking {
  const char* name;
  int64_t call;
  long (*wait)();
};

long wait_epoll() {
  static const int fd = ::epoll_create1(0);
  epoll_event event{};
  return ::syscall(SYS_epoll_wait, fd, &event, 1, -1);
}
long wait_epoll_p() {
  static const int fd = ::epoll_create1(0);
  epoll_event event{};
  return ::syscall(SYS_epoll_pwait, fd, &event, 1, 600'000, nullptr, 8);
}
long wait_signal() {
  const uint64_t set = uint64_t{1} << (SIGRTMAX - 1);
  timespec timeout{600, 0};
  return ::syscall(SYS_rt_sigtimedwait, &set, nullptr, &timeout, sizeof set);
}
long wait_receive() {
  static int pair[2] = {-1, -1};
  if (pair[0] < 0) {
    (void)!::socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    const timeval timeout{600, 0};
    ::setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  }
  char byte = 0;
  return ::syscall(SYS_recvfrom, pair[0], &byte, 1, 0, nullptr, nullptr);
}

void PrintTo(const Blocking& blocking, std::ostream* out) {
  *out << blocking.name;
}

class Eintr : public ::testing::TestWithParam<Blocking> {
 protected:
  Child make_child() {
    return Child(
        [this] {
          struct sigaction action {};
          action.sa_handler = [](int) {};
          ::sigaction(SIGUSR1, &action, nullptr);
          for (;;) {
            (void)GetParam().wait();
            waiter_->error = errno;
            ++waiter_->ended;
          }
        },
        Child::Ready::kAtOnce);
  }
  Shared<Waiter> waiter_;
};

TEST_P(Eintr, OfOursIsNotSeen) {
  const Child child = make_child();
  const pid_t pid = child.pid();
  ASSERT_TRUE(eventually([&] { return test::sleeps_in(pid, GetParam().call); }));
  for (int i = 0; i < 20; i++) {
    const auto held = in_session([&]() -> Result<int64_t> {
      TC_TRY(auto thread, SeizedThread::seize(pid, pid));
      TC_CHECK(thread.interrupt());
      TC_TRY(const Registers registers, thread.registers());
      TC_CHECK(undo_our_eintr(thread));
      TC_CHECK(thread.detach());
      return registers.result();
    });
    ASSERT_TRUE(held) << held.error().line();
    ASSERT_EQ(*held, -EINTR) << "the test is about a call that does not restart by itself";
    ASSERT_TRUE(eventually([&] { return test::sleeps_in(pid, GetParam().call); }));
  }
  EXPECT_EQ(waiter_->ended, 0U);
}

TEST_P(Eintr, OfASignalIsSeen) {
  const Child child = make_child();
  const pid_t pid = child.pid();
  ASSERT_TRUE(eventually([&] { return test::sleeps_in(pid, GetParam().call); }));
  const auto held = in_session([&]() -> Status {
    TC_TRY(auto thread, SeizedThread::seize(pid, pid));
    TC_CHECK(thread.interrupt());
    ::kill(pid, SIGUSR1);
    TC_TRY(const Registers before, thread.registers());
    EXPECT_EQ(without_our_eintr(thread, before), before);
    TC_CHECK(undo_our_eintr(thread));
    TC_CHECK(thread.detach());
    return {};
  });
  ASSERT_TRUE(held) << held.error().line();
  ASSERT_TRUE(eventually([&] { return waiter_->ended > 0; }));
  EXPECT_EQ(waiter_->error, EINTR);
}

INSTANTIATE_TEST_SUITE_P(Calls, Eintr,
                         ::testing::Values(Blocking{"epoll_wait", SYS_epoll_wait, wait_epoll},
                                           Blocking{"epoll_pwait", SYS_epoll_pwait, wait_epoll_p},
                                           Blocking{"sigtimedwait", SYS_rt_sigtimedwait,
                                                    wait_signal},
                                           Blocking{"recv_timeout", SYS_recvfrom, wait_receive}),
                         [](const auto& test) { return std::string(test.param.name); });

// Realtime signals are queued one by one: every one that was sent can be counted.
Counter* handled_signals = nullptr;  // what a signal handler can reach

Child child_that_counts_signals(Counter& counter) {
  handled_signals = &counter;
  return Child([] {
    struct sigaction action {};
    action.sa_handler = [](int) { ++*handled_signals; };
    ::sigaction(SIGRTMIN, &action, nullptr);
  });
}

class Sender {
 public:
  // At about 1 kHz.
  Sender(pid_t pid, int count)
      : thread_([this, pid, count] {
          for (int i = 0; i < count; i++) {
            while (::sigqueue(pid, SIGRTMIN, {}) != 0) std::this_thread::yield();
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
          done_ = true;
        }) {}
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;
  Sender(Sender&&) = delete;
  Sender& operator=(Sender&&) = delete;
  ~Sender() { thread_.join(); }
  [[nodiscard]] bool done() const { return done_; }

 private:
  std::atomic<bool> done_{false};
  std::thread thread_;
};

constexpr int kSignals = 400;

TEST(Signals, NoneIsLostByInterrupting) {
  Shared<Counter> handled;
  const Child child = child_that_counts_signals(*handled);
  int stops = 0;
  {
    const Sender sender(child.pid(), kSignals);
    while (!sender.done()) {
      const auto held = in_session([&]() -> Status {
        TC_TRY(auto thread, SeizedThread::seize(child.pid(), child.pid()));
        for (int i = 0; i < 20; i++) {
          TC_TRY(const Stop stop, thread.interrupt(std::chrono::seconds(10)));
          stops++;
          TC_CHECK(thread.go_on(stop));
          serve({thread}, std::chrono::microseconds(300));
        }
        return {};  // and the tracer ends, whatever the child is doing
      });
      ASSERT_TRUE(held) << held.error().line();
    }
  }
  EXPECT_TRUE(eventually([&] { return *handled == kSignals; })) << *handled;
  EXPECT_GT(stops, 20);
}

TEST(Signals, OfAThreadThatIsOnlyHeldArePassedOn) {
  Shared<Counter> handled;
  const Child child = child_that_counts_signals(*handled);
  auto thread = SeizedThread::seize(child.pid(), child.pid());
  ASSERT_TRUE(thread);
  const Sender sender(child.pid(), 50);
  EXPECT_TRUE(eventually([&] {
    serve({*thread}, std::chrono::milliseconds(2));
    return *handled == 50;
  })) << *handled;
}

// The kernel forgets the signal of a stop that was waited for when its tracer dies: hence WNOWAIT.
TEST(Signals, TheOneInAStopSurvivesItsTracer) {
  Shared<Counter> handled;
  const Child child = child_that_counts_signals(*handled);
  for (uint64_t i = 1; i <= 20; i++) {
    const auto stop = in_session([&]() -> Result<Stop> {
      TC_TRY(auto thread, SeizedThread::seize(child.pid(), child.pid()));
      ::sigqueue(child.pid(), SIGRTMIN, {});
      return thread.wait_stop(std::chrono::seconds(10));
    });
    ASSERT_TRUE(stop) << stop.error().line();
    ASSERT_EQ(stop->kind, Stop::Kind::kSignal);
    ASSERT_EQ(stop->signal, SIGRTMIN);
    ASSERT_TRUE(eventually([&] { return *handled == i; })) << i << " " << *handled;
  }
}

}  // namespace
}  // namespace time_chaos::tracee
