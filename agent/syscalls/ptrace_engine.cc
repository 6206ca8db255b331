#include "agent/syscalls/ptrace_engine.h"

#include <pthread.h>
#include <sys/resource.h>

#include <csignal>
#include <utility>

#include "agent/syscalls/follower.h"

namespace time_chaos::syscalls {
namespace {

// The agent's signals are for its other threads. All but SIGCHLD: the kernel sends one for every
// stop of a tracee, and drops it at once where it is neither handled nor blocked by the tracer;
// blocked here, each would be queued and wake another thread instead.
void leave_signals_to_others() {
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGCHLD);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

// A file descriptor for the memory of each process that is followed: more than the usual 1024 may
// be wanted. Children of ours were made before.
void allow_many_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

Result<std::unique_ptr<PtraceEngine>> PtraceEngine::start(std::vector<PtraceTarget> targets) {
  std::unique_ptr<PtraceEngine> engine(new PtraceEngine());
  allow_many_files();
  std::promise<Status> attached;
  auto outcome = attached.get_future();
  engine->tracer_ =
      std::thread(&PtraceEngine::trace, engine.get(), std::move(targets), std::move(attached));
  TC_CHECK(outcome.get());
  return engine;
}

void PtraceEngine::trace(std::vector<PtraceTarget> targets, std::promise<Status> attached) {
  leave_signals_to_others();
  auto first = Doorbell::hang();
  if (!first) {
    attached.set_value(fail(first.error()));
    return;
  }
  bell_ = std::move(*first);  // nobody else looks at it before start() has returned
  Follower follower(std::move(targets), ledger_);
  if (Status status = follower.attach(); !status) {
    bell_.reset();
    follower.let_go();
    attached.set_value(std::move(status));
    return;
  }
  attached.set_value({});
  for (;;) {
    follower.follow(bell_->pid());
    std::vector<Order> orders;
    bool anew = false;
    {
      const std::lock_guard lock(mutex_);
      orders.swap(orders_);
      anew = std::exchange(anew_, false);
      auto next = stopping_ ? fail(Exit::kOk, "") : Doorbell::hang();
      if (!next) {
        bell_.reset();  // reaped: what is reported from here on are tracees
        for (Order& order : orders) order.done.set_value(fail(Exit::kFailed, "it ends"));
        break;
      }
      bell_ = std::move(*next);
    }
    if (anew) follower.begin_waits_anew();
    for (Order& order : orders) order.done.set_value(order.work(follower));
  }
  follower.let_go();
}

Status PtraceEngine::add(PtraceTarget target) {
  return ask([&](Follower& follower) { return follower.add(std::move(target)); });
}

Status PtraceEngine::include(pid_t child, pid_t target) {
  return ask([=](Follower& follower) { return follower.include(child, target); });
}

Status PtraceEngine::ask(std::function<Status(Follower&)> work) {
  std::future<Status> done;
  {
    const std::lock_guard lock(mutex_);
    if (!bell_) return fail(Exit::kFailed, "the ptrace engine has ended");
    Order& order = orders_.emplace_back(Order{std::move(work), {}});
    done = order.done.get_future();
    bell_->ring();
  }
  return done.get();
}

void PtraceEngine::begin_waits_anew() {
  const std::lock_guard lock(mutex_);
  if (!bell_) return;
  anew_ = true;
  bell_->ring();
}

void PtraceEngine::stop() {
  std::call_once(stopped_, [&] {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      if (bell_) bell_->ring();
    }
    if (tracer_.joinable()) tracer_.join();
  });
}

}  // namespace time_chaos::syscalls
