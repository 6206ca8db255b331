#include "agent/experiment/undo.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "agent/base/files.h"
#include "agent/experiment/owner.h"
#include "agent/experiment/waits_in_flight.h"

namespace time_chaos::experiment {
namespace {

constexpr int kOwnerRounds = 100;  // of 50 ms

Status send_sigterm(const targets::Process& process) {
  if (::syscall(SYS_pidfd_send_signal, process.pidfd(), SIGTERM, nullptr, 0) != 0) {
    return fail_errno(fmt::format("ask agent {} to end", process.pid()));
  }
  return {};
}

// `run` passes signals on to its command: asked to end, it would end that.
bool is_run(pid_t agent) {
  const auto line = read_file(fmt::format("/proc/{}/cmdline", agent));
  if (!line) return false;
  const size_t first = line->find('\0');
  return first != std::string::npos && line->compare(first + 1, 4, "run", 4) == 0;
}

Status end_agent(pid_t owner, pid_t target) {
  const auto before = targets::read_status(target);
  if (!before || before->tracer == 0) return {};
  TC_TRY(const targets::Process agent, targets::Process::open(owner));
  if (is_run(owner)) {
    return fail(Exit::kFailed,
                fmt::format("time-chaos run (pid {}) serves it until its command ends", owner),
                "end the command");
  }
  TC_CHECK(send_sigterm(agent));
  for (int round = 0; round < kOwnerRounds; round++) {
    const auto now = targets::read_status(target);
    if (!now || now->tracer == 0) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return fail(Exit::kFailed, fmt::format("agent {} traces it and does not end", owner),
              fmt::format("end agent {} and try again", owner));
}

// While another agent's ptrace engine follows the threads, nobody else can stop them.
Status wait_for_tracing_owner(const Carrier& carrier) {
  const auto owner = living_owner(carrier.found.page);
  if (!owner || *owner == ::getpid() || !is_followed(carrier)) return {};
  return end_agent(*owner, carrier.process.pid());
}

void forget_name(const Carrier& carrier) {
  auto page = open_page(carrier);
  if (!page) return;
  (void)page->update([](clock::ClockMaps&, tc_clock_page& header) {
    for (char& c : header.experiment) c = '\0';
    unsign(header);
    return Status();
  });
}

// The clocks first, through every engine in the same instant; then what showed them.
Result<vdso::RecoverReport> take_back(const Carrier& carrier, bool force) {
  vdso::RecoverReport report;
  if (!carrier.has_pages()) {
    TC_TRY(auto page, open_page(carrier));
    TC_TRY(report.kept, vdso::put_clocks_back(page));
    begin_waits_anew(carrier.process.pid(), carrier.bpf);
    report.bytes_restored = report.unmapped = true;
    return report;
  }
  TC_TRY(auto twin, open_twin(carrier));
  // The owner may have recovered it while it ended.
  const pid_t pid = carrier.process.pid();
  TC_TRY(const auto found, vdso::find_experiment(pid));
  if (found) return vdso::recover(pid, *found, force, std::move(twin));
  report.bytes_restored = report.unmapped = true;
  return report;
}

Result<Recovered> undo(const Carrier& carrier, bool force) {
  const pid_t pid = carrier.process.pid();
  TC_CHECK(wait_for_tracing_owner(carrier));
  Recovered recovered{pid,  carrier.process.name(), carrier.experiment(), {}, {}, false, false,
                      false};
  recovered.only_calls = !carrier.has_pages();
  recovered.executed = carrier.executed;
  const clock::ClockMaps before = maps_in_force(carrier.bpf);
  auto report = take_back(carrier, force);
  set_timerfds_anew(carrier.bpf, before);
  TC_TRY(recovered.report, std::move(report));
  if (!recovered.report.kept.empty()) {
    forget_name(carrier);
    return recovered;
  }
  if (carrier.bpf) {
    TC_CHECK(leave(*carrier.bpf));
    recovered.left_bpf = true;
  }
  if (!recovered.only_calls) {
    TC_TRY(recovered.checked, check_recovered(pid));
  }
  return recovered;
}

}  // namespace

Result<Recovered> recover_carrier(const Carrier& carrier, bool force) {
  auto recovered = undo(carrier, force);
  if (!recovered) {
    return fail(
        recovered.error().because_of(fmt::format("cannot recover {}", carrier.process.label())));
  }
  return recovered;
}

Status let_go(const Node& executed) {
  auto done = end_agent(executed.executed->agent, executed.process().pid());
  if (!done) {
    return fail(
        done.error().because_of(fmt::format("cannot recover {}", executed.process().label())));
  }
  return {};
}

}  // namespace time_chaos::experiment
