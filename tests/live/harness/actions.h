// What most tests do with the program, and what must come of it.
#pragma once

#include <nlohmann/json.hpp>

#include "tests/live/harness/program.h"
#include "tests/live/harness/readings.h"

namespace time_chaos::live {

// `agent` in the foreground, after its "shifted" event, and that event.
struct HeldShift {
  Agent agent;
  nlohmann::json shifted;
  int64_t since = 0;  // host monotonic ns: readings from here on are shifted
};
Result<HeldShift> shift_held(pid_t pid, const std::string& offset, const Arguments& more = {});
// The same with the ptrace engine, after its "following" event.
Result<HeldShift> trace_held(pid_t pid, const std::string& offset, const Arguments& more = {});

// `agent --detach`: exit code 0 and one "shifted" event for the target, which it returns.
Result<nlohmann::json> shift_detached(pid_t pid, const std::string& offset,
                                      const Arguments& more = {});
// `set`: exit code 0 and a "set" event.
Result<nlohmann::json> set_offset(pid_t pid, const std::string& offset, const Arguments& more = {});
// `recover`: exit code 0 and a "recovered" event.
Result<nlohmann::json> recover_target(pid_t pid);
// SIGINT to the agent: exit code 0 and a "recovered" event.
Result<nlohmann::json> stop_agent(Agent& agent);

// `recover` after anything may have happened: exit code 0 whether there was something to undo or
// not. (A target that was never touched is accepted as "target not there", exit code 4, too.)
Status recover_whatever(pid_t pid);

// A member of an object; null where there is none (operator[] of a const object would abort).
nlohmann::json member(const nlohmann::json& object, const std::string& name);

// Was any of the code that the event speaks of left in the target? ("mappings": "kept")
bool code_was_kept(const nlohmann::json& recovered);

}  // namespace time_chaos::live
