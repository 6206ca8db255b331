// What the two halves of the doctor share; the doctor itself is doctor.h.
#pragma once

#include <string_view>
#include <utility>

#include "agent/experiment/doctor.h"

namespace time_chaos::experiment {

inline constexpr const char* kBecomeRoot = "run as root, or with CAP_SYS_PTRACE";
inline constexpr const char* kYamaReboot =
    "reboot without kernel.yama.ptrace_scope = 3: it cannot be lowered while the machine runs";

// The same judgement for an engine: the functions that judge leave the engine empty.
inline Finding for_engine(std::string_view engine, Finding finding) {
  finding.engine = engine;
  return finding;
}

}  // namespace time_chaos::experiment
