#include "agent/tracee/eintr.h"

#include "agent/tracee/waits_anew.h"

namespace time_chaos::tracee {

Registers without_our_eintr(const SeizedThread& stopped, const Registers& registers) {
  if (!registers.interrupted_without_restart()) return waiting_anew(registers);
  if (signal_deliverable(stopped.pid(), stopped.tid())) return registers;
  return registers.call_again();
}

Status undo_our_eintr(SeizedThread& stopped) {
  TC_TRY(const Registers registers, stopped.registers());
  const Registers wanted = without_our_eintr(stopped, registers);
  return wanted == registers ? Status() : stopped.set_registers(wanted);
}

}  // namespace time_chaos::tracee
