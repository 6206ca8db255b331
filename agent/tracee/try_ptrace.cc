#include "agent/tracee/try_ptrace.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "agent/tracee/seized_thread.h"
#include "agent/tracee/session.h"

namespace time_chaos::tracee {

Status try_ptrace() {
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) ::pause();
  }
  auto tried = in_session([&]() -> Status {
    TC_TRY(auto thread, SeizedThread::seize(child, child));
    TC_TRY(const auto stop, thread.interrupt());
    (void)stop;
    return thread.detach();
  });
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return tried;
}

}  // namespace time_chaos::tracee
