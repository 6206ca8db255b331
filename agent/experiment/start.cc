#include "agent/experiment/start.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "agent/tracee/spawn.h"

namespace time_chaos::experiment {
namespace {

// Until the kernel has laid out the new program, as it does at once.
constexpr auto kStep = std::chrono::microseconds(100);

Result<StartedCommand> start_detoured(const std::vector<std::string>& command, const sigset_t& mask,
                                      const ShiftRequest& request, SyscallSide& side) {
  TC_TRY(const pid_t pid, tracee::spawn_stopped(command, mask));
  Child child(pid);
  TC_TRY(auto process, targets::Process::open(pid));
  TC_TRY(auto planned, plan_target(std::move(process), request, side.choice()));
  TC_TRY(auto shifted, shift_target(planned, request, side, 0));
  return StartedCommand{std::move(child), std::move(planned), std::move(shifted), true};
}

// The exec hook has hidden its vDSO: it counts that.
Status check_hidden(const targets::Process& process, const BpfPlace& place) {
  for (;;) {
    const auto programs = place.engine->counts(place.page)[TC_BPF_ROW_EXECS];
    if (programs.refused != 0) {
      return fail(Exit::kFailed, "the command's vDSO could not be hidden: it was ended at once",
                  "use --engine-syscalls ptrace");
    }
    if (programs.done != 0) return {};
    if (!process.alive()) return {};  // the kernel could not load it; its status says so
    std::this_thread::sleep_for(kStep);
  }
}

Result<StartedCommand> start_hidden(const std::vector<std::string>& command, const sigset_t& mask,
                                    const ShiftRequest& request, SyscallSide& side) {
  TC_TRY(auto waiting, tracee::WaitingChild::fork(command, mask));
  Child child(waiting.pid());
  TC_TRY(auto before, targets::Process::open(child.pid()));
  TC_TRY(auto planned, plan_before_exec(std::move(before), request));
  TC_TRY(auto shifted, shift_target(planned, request, side, 0));
  TC_CHECK(waiting.let_go());
  TC_CHECK(waiting.accepted());
  if (request.detour != vdso::Detour::kNone) TC_CHECK(check_hidden(planned.process, *planned.bpf));
  // By its new name.
  if (auto process = targets::Process::open(child.pid())) planned.process = std::move(*process);
  shifted.command = planned.process.name();
  shifted.hidden = request.detour != vdso::Detour::kNone;
  return StartedCommand{std::move(child), std::move(planned), std::move(shifted), false};
}

}  // namespace

Child::~Child() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  (void)wait();
}

int Child::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
  return status;
}

Result<StartedCommand> start_command(const std::vector<std::string>& command, const sigset_t& mask,
                                     const ShiftRequest& request, SyscallSide& side) {
  const bool bpf = side.choice().engine == RawCalls::kBpf;
  if (bpf && request.detour == vdso::Detour::kNone) {
    return start_hidden(command, mask, request, side);
  }
  auto detoured = start_detoured(command, mask, request, side);
  if (detoured || !bpf) return detoured;
  const Error why = detoured.error();
  if (why.kind() != Exit::kNotPermitted && why.kind() != Exit::kUnsupported) return detoured;
  auto hidden = start_hidden(command, mask, request, side);
  if (hidden) hidden->shifted.no_detour = why.message();
  return hidden;
}

}  // namespace time_chaos::experiment
