#include "agent/experiment/waits_in_flight.h"

#include <memory>
#include <utility>

#include "agent/experiment/family.h"
#include "agent/syscalls/bpf_processes.h"
#include "agent/syscalls/timerfds.h"
#include "agent/tracee/waits_anew.h"

namespace time_chaos::experiment {
namespace {

class NotesOfEngine : public syscalls::TimerfdNotes {
 public:
  NotesOfEngine(Engine engine, uint32_t tgid) : engine_(std::move(engine)), tgid_(tgid) {}
  std::optional<syscalls::TimerEnd> find(int fd) override { return engine_->timerfd(tgid_, fd); }
  void note(int fd, const syscalls::TimerEnd& end) override {
    engine_->note_timerfd(tgid_, fd, end);
  }

 private:
  Engine engine_;
  uint32_t tgid_;
};

}  // namespace

clock::ClockMaps maps_in_force(const std::optional<BpfPlace>& place) {
  return place ? clock::maps_in_force(place->engine->page(place->page)) : clock::identity_maps();
}

void begin_waits_anew(pid_t pid, const std::optional<BpfPlace>& place) {
  if (place && place->engine->shifts_waits()) (void)tracee::begin_waits_anew(pid);
}

void set_timerfds_anew(const std::optional<BpfPlace>& place, const clock::ClockMaps& before) {
  if (!place || !place->engine->shifts_waits()) return;
  const clock::ClockMaps now = maps_in_force(place);
  syscalls::TimerfdRound round;
  for (const pid_t pid : processes_of(*place)) {
    const auto process = syscalls::kernel_process(pid);
    if (!process) continue;  // it has ended
    round.add(pid, std::make_unique<NotesOfEngine>(place->engine, process->tgid), before, now);
  }
  round.run();
}

void begin_waits_anew(const Carrier& carrier, const clock::ClockMaps& before) {
  if (!carrier.bpf || !carrier.bpf->engine->shifts_waits()) return;
  bool among_them = false;
  for (const Carrier& member : family(family_name(carrier))) {
    among_them = among_them || member.process.pid() == carrier.process.pid();
    begin_waits_anew(member.process.pid(), member.bpf);
  }
  if (!among_them) begin_waits_anew(carrier.process.pid(), carrier.bpf);
  set_timerfds_anew(carrier.bpf, before);
}

}  // namespace time_chaos::experiment
