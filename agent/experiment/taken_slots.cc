#include "agent/experiment/taken_slots.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/targets/proc_text.h"
#include "agent/vdso/plt_scan.h"
#include "agent/vdso/plt_watch.h"

namespace time_chaos::experiment {
namespace {

Status check_same_modules(const payload::SlotTable& table,
                          const std::vector<std::string>& modules) {
  TC_TRY(const std::string asked, vdso::table_names(modules));
  const std::string kept = table.modules;
  if (asked == kept) return {};
  std::string remedy = kept.empty() ? "leave out --module: it was for all" : "use";
  for (std::string_view rest = kept; !rest.empty();) {
    remedy += fmt::format(" --module {}", targets::printable(targets::next_line(rest)));
  }
  return fail(Exit::kUnsupported,
              "an earlier experiment's monotonic clocks are kept ahead in it, for other modules",
              remedy);
}

}  // namespace

Result<vdso::LedSlots> plan_taken_slots(pid_t pid, const tracee::Memory& memory,
                                        const vdso::Found& found,
                                        const std::vector<std::string>& modules) {
  TC_CHECK(check_same_modules(*found.slots, modules));
  TC_TRY(vdso::LedSlots led, vdso::find_led(pid, memory, found.plt()));
  TC_TRY(const vdso::SlotScan more, vdso::scan_slots(pid, memory, modules));
  led.count += more.slots.size();
  for (const std::string& name : more.modules) {
    const auto known = std::find(led.modules.begin(), led.modules.end(), name);
    if (known == led.modules.end()) led.modules.push_back(name);
  }
  return led;
}

Result<vdso::LedSlots> take_slots(pid_t pid, const vdso::Found& found,
                                  const std::vector<std::string>& modules) {
  TC_CHECK(vdso::PltWatch(pid, modules).look());
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid));
  return vdso::find_led(pid, memory, found.plt());
}

}  // namespace time_chaos::experiment
