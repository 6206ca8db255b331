// A process becomes a target of the BPF engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "agent/base/error.h"
#include "agent/clock/map_plan.h"
#include "agent/experiment/bpf_place.h"
#include "agent/targets/process.h"

namespace time_chaos::experiment {

struct VdsoRange {
  uint64_t start = 0;  // 0, 0: there is no detour
  uint64_t end = 0;
};

// `flags`: TC_BPF_ALONE, TC_BPF_VDSO. Its clocks are shown as they are until its clock page, of
// which this returns the twin, says otherwise. `header` fills in the page's first fields.
Result<std::shared_ptr<vdso::ClockPage>> enter(const targets::Process& process,
                                               const BpfPlace& place, VdsoRange detoured,
                                               uint32_t flags,
                                               const std::function<void(tc_clock_page&)>& header);

// A child that was forked after the target was entered, but before it had its clock page, is no
// target: its vDSO is not detoured.
Status expel_children_without_page(const BpfPlace& place, const std::string& page_identity);

// A random number, never 0.
uint64_t make_twin_number();

}  // namespace time_chaos::experiment
