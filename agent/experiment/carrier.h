// A process that carries an experiment: in its own memory, in a BPF engine, or both.
#pragma once

#include <optional>
#include <string>

#include "agent/base/error.h"
#include "agent/experiment/bpf_place.h"
#include "agent/targets/process.h"
#include "agent/vdso/clock_page.h"
#include "agent/vdso/find.h"

namespace time_chaos::experiment {

// Which engine shifts the raw system calls of a target.
enum class RawCalls { kUntouched, kBpf, kPtrace };

// Where an agent has a clock page in its own memory.
struct PageOfAgent {
  pid_t agent = 0;
  uint64_t address = 0;
};

struct Carrier {
  targets::Process process;
  // Of a target without pages of its own (code == 0): the BPF engine's clock page, in force.
  vdso::Found found;
  std::optional<BpfPlace> bpf;
  // It has no pages because it runs a program that a target executed; its vDSO is hidden.
  bool executed = false;
  // Followed by ptrace: nobody but its agent has its page any more.
  std::optional<PageOfAgent> in_agent = {};

  [[nodiscard]] std::string experiment() const { return found.page.experiment; }
  [[nodiscard]] bool has_pages() const { return found.code != 0 || !bpf; }
};

// What the process carries; nothing if it is nothing. `engines`: where to look besides.
Result<std::optional<Carrier>> carrier_of(targets::Process process, const Engines& engines);

// The same where its place in a BPF engine is known already. `only_calls`: it has no pages of its
// own.
Result<std::optional<Carrier>> carrier_at(targets::Process process, std::optional<BpfPlace> place,
                                          bool only_calls);

// The clock page, with its twin in the BPF engine. kNotPermitted where a twin may exist that we are
// not allowed to see: the target's clocks would part.
Result<vdso::ClockPage> open_page(const Carrier& carrier);
Result<std::shared_ptr<vdso::ClockPage>> open_twin(const Carrier& carrier);

RawCalls raw_calls(const Carrier& carrier);
// The agent that owns its experiment follows its system calls by ptrace.
bool is_followed(const Carrier& carrier);

}  // namespace time_chaos::experiment
