#include "target.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#include "agent/clock/reading.h"
#include "agent/targets/process.h"

namespace time_chaos::testing {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

int64_t read_clock(clockid_t id) {
  timespec now{};
  ::syscall(SYS_clock_gettime, id, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

enum class Kind { kReal, kShifted, kWrong };

Kind judge(int64_t ahead) {
  constexpr int64_t kSlack = 10 * kSecond;  // the machine may be busy between two readings
  if (std::abs(ahead) < kSlack) return Kind::kReal;
  return std::abs(ahead - kOffset * kSecond) < kSlack ? Kind::kShifted : Kind::kWrong;
}

}  // namespace

SharedMemory::SharedMemory() {
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("mmap");
  shared_ = new (memory) Shared();  // NOLINT(cppcoreguidelines-owning-memory)
  shared_->base = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_MONOTONIC);
}

SharedMemory::~SharedMemory() {
  ::munmap(shared_, sizeof(Shared));
}

Target::Target(const std::function<int()>& body) : pid_(::fork()) {
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::_exit(body());
}

Target::~Target() {
  if (reaped_) return;
  ::kill(pid_, SIGKILL);
  wait();
}

int Target::wait() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  reaped_ = true;
  return status;
}

void read_clocks(Shared& shared) {
  const int phase = shared.phase;
  const int64_t host = shared.base + read_clock(CLOCK_MONOTONIC);
  timeval micro{};
  const Kind one = judge(read_clock(CLOCK_REALTIME) - host);
  ::syscall(SYS_gettimeofday, &micro, nullptr);
  const Kind two = judge(micro.tv_sec * kSecond + micro.tv_usec * 1000 - host);
  const Kind three = judge(::syscall(SYS_time, nullptr) * kSecond - host);
  if (shared.phase != phase) return;  // begun in one phase, ended in another: proves nothing
  Counts& counts = shared.phases[phase % 4];
  for (const Kind kind : {one, two, three}) {
    if (kind == Kind::kReal) counts.real++;
    if (kind == Kind::kShifted) counts.shifted++;
    if (kind == Kind::kWrong) counts.wrong++;
  }
}

void read_clocks_forever(Shared& shared) {
  shared.ready++;
  while (!shared.quit) read_clocks(shared);
}

void in_threads(size_t count, const std::function<void(size_t index)>& body) {
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (size_t i = 0; i < count; i++) threads.emplace_back([&, i] { body(i); });
  for (std::thread& thread : threads) thread.join();
}

int64_t raw_call(int64_t number, int64_t a, int64_t b, int64_t c) {
  int64_t result = 0;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c)
               : "rcx", "r11", "memory");
  return result;
}

clock::ClockMaps shifted_maps(int64_t nanoseconds) {
  clock::ClockMaps maps = clock::identity_maps();
  const clock::Reading offset = clock::as_reading(std::chrono::nanoseconds(nanoseconds));
  for (const int id : {CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI, CLOCK_REALTIME_ALARM}) {
    maps[static_cast<size_t>(id)].fake_sec = offset.sec;
    maps[static_cast<size_t>(id)].fake_nsec = offset.nsec;
  }
  return maps;
}

syscalls::PtraceTarget shifted_target(pid_t pid, int64_t nanoseconds) {
  syscalls::PtraceTarget target;
  target.pid = pid;
  target.maps = [maps = shifted_maps(nanoseconds)] { return Result<clock::ClockMaps>(maps); };
  return target;
}

std::unique_ptr<syscalls::PtraceEngine> start(pid_t pid) {
  auto engine = syscalls::PtraceEngine::start({shifted_target(pid)});
  if (!engine) throw std::runtime_error(engine.error().line());
  return std::move(*engine);
}

pid_t fork_agent(pid_t target) {
  const pid_t agent = ::fork();
  if (agent != 0) return agent;
  const auto engine = syscalls::PtraceEngine::start({shifted_target(target)});
  while (engine) ::pause();
  ::_exit(1);
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    pause_for(1);
  }
  return true;
}

char state_of(pid_t pid) {
  const auto status = targets::read_status(pid);
  return status ? status->state : '-';
}

pid_t tracer_of(pid_t pid) {
  const auto status = targets::read_status(pid);
  return status ? status->tracer : -1;
}

void pause_for(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

}  // namespace time_chaos::testing
