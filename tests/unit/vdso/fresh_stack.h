// Children whose threads run on stacks that nobody used before.
//
// A child that the test forks has a copy of the test's stack, and a thread that it starts may get
// the stack of one of the test's threads. On both lie addresses in code pages of earlier attaches,
// because the test was the agent: recovery would rightly refuse to unmap what they seem to refer
// to.
#pragma once

#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <stdexcept>
#include <utility>

#include "tests/unit/tracee/support.h"

namespace time_chaos::test {

// Pages of zeros with a page behind them at which every search ends.
inline stack_t fresh_stack() {
  constexpr size_t kSize = size_t{256} << 10;
  constexpr size_t kGuard = 4096;
  void* memory =
      ::mmap(nullptr, kSize + kGuard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("mmap");
  ::mprotect(static_cast<char*>(memory) + kSize, kGuard, PROT_NONE);
  stack_t stack{};
  stack.ss_sp = memory;
  stack.ss_size = kSize;
  return stack;
}

using Body = std::function<void()>;

// Never comes back.
inline void go_on_fresh_stack(const Body& body) {
  static const Body* what = nullptr;  // makecontext passes ints
  static ucontext_t context;
  what = &body;
  ::getcontext(&context);
  context.uc_stack = fresh_stack();
  ::makecontext(
      &context,
      [] {
        (*what)();
        for (;;) ::pause();
      },
      0);
  ::setcontext(&context);
}

inline void start_thread_on_fresh_stack(Body body) {
  const stack_t stack = fresh_stack();
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstack(&attributes, stack.ss_sp, stack.ss_size);
  static std::atomic<int> taken;
  static std::array<Body, 16> bodies;
  const int slot = taken++;
  bodies.at(static_cast<size_t>(slot)) = std::move(body);
  pthread_t thread{};
  ::pthread_create(
      &thread, &attributes,
      [](void* mine) -> void* {
        (*static_cast<Body*>(mine))();
        return nullptr;
      },
      &bodies.at(static_cast<size_t>(slot)));
  ::pthread_detach(thread);
}

class FreshChild {
 public:
  explicit FreshChild(const Body& body)
      : child_([&] { go_on_fresh_stack(body); }, Child::Ready::kAtOnce) {}
  [[nodiscard]] pid_t pid() const { return child_.pid(); }
  void stop() { child_.stop(); }

 private:
  Child child_;
};

}  // namespace time_chaos::test
