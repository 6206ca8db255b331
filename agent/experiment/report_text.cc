// The lines for people.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <time.h>

#include <algorithm>
#include <set>

#include "agent/experiment/owner.h"
#include "agent/experiment/page_words.h"
#include "agent/experiment/report.h"
#include "agent/experiment/words.h"

namespace time_chaos::experiment {
namespace {

std::string threads(int count) {
  return fmt::format("{} thread{}", count, count == 1 ? "" : "s");
}

std::string what(clock::ClockSet clocks, const std::string& words) {
  return fmt::format("{} {}", clocks.text(), words);
}

std::string what(const Shifted& shifted) {
  return shifted.fake.empty() ? what(shifted.clocks, shifted.words)
                              : fake_text(shifted.patches, shifted.fake);
}

std::string what(const Carrier& carrier) {
  const vdso::Found& found = carrier.found;
  if (found.fake) return fake_text(found.patches(), found.fake->name());
  return what(clock::ClockSet(found.page.clocks),
              text(in_force(found.page, clock::read_host_clocks())));
}

// `calls`: what serves what does not enter the kernel; empty: nothing.
std::string engines_text(const std::string& calls_by, RawCalls raw) {
  const char* calls = raw == RawCalls::kBpf      ? "bpf"
                      : raw == RawCalls::kPtrace ? "syscalls by ptrace"
                                                 : "";
  if (calls_by.empty()) return raw == RawCalls::kUntouched ? "no engine at work" : calls;
  return raw == RawCalls::kUntouched ? calls_by : fmt::format("{} + {}", calls_by, calls);
}

constexpr const char* kDetour = "vdso detour";

std::string slots_text(size_t slots, const std::string& modules) {
  std::string text = fmt::format("plt, {} slot{}", slots, slots == 1 ? "" : "s");
  return modules.empty() ? text : fmt::format("{} of {}", text, modules);
}

std::string joined(const std::vector<std::string>& names) {
  return names.size() > 4 ? fmt::format("{} modules", names.size())
                          : fmt::format("{}", fmt::join(names, " and "));
}

template <typename Target>
std::string calls_by(const Target& target, bool plt) {
  if (plt) return slots_text(target.slots, joined(target.modules));
  return target.patches.empty() ? "" : kDetour;
}

std::string calls_by(const Carrier& carrier) {
  if (const auto& slots = carrier.found.slots) {
    std::string modules = slots->modules;
    std::replace(modules.begin(), modules.end(), '\n', ' ');
    std::replace_if(
        modules.begin(), modules.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return slots_text(carrier.found.led, modules.empty() ? "all modules" : modules);
  }
  return carrier.found.record.patch_count != 0 ? kDetour : "";
}

std::string engines_text(const Carrier& carrier) {
  const std::string text = engines_text(calls_by(carrier), raw_calls(carrier));
  return carrier.executed ? text + " (vDSO hidden)" : text;
}

std::string stop_text(const Shifted& shifted) {
  if (shifted.only_calls) return "nothing of it stopped";
  std::string text = fmt::format("one thread stopped for {}", milliseconds(shifted.stopped));
  if (shifted.world_stopped) {
    text += fmt::format(", all for {}", milliseconds(*shifted.world_stopped));
  }
  return text;
}

std::string check_text(const Checked& checked) {
  return fmt::format("reads {} through {}, host {}", reading_text(checked.clock, checked.target),
                     checked.engine, reading_text(checked.clock, checked.host));
}

// One line for all engines: they were held against the same maps.
std::string check_text(const std::vector<Checked>& checked) {
  if (checked.empty()) return "";
  Checked first = checked.front();
  for (size_t i = 1; i < checked.size(); i++) first.engine += " and " + checked[i].engine;
  return "\nchecked: " + check_text(first);
}

// What the engine did for the experiment's targets so far; nothing is passed over in silence.
std::string counts_text(const BpfPlace& place, bool verbose) {
  const auto counts = place.engine->counts(place.page);
  tc_bpf_count all{};
  std::string each;
  for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
    const tc_bpf_count& count = counts[static_cast<size_t>(clock)];
    all.done += count.done;
    all.refused += count.refused;
    if (count.done + count.refused == 0) continue;
    each += fmt::format("\n  {}: {} system calls shifted, {} refused", clock::clock_name(clock),
                        count.done, count.refused);
  }
  std::string text = fmt::format(", {} system calls shifted", all.done);
  if (all.refused != 0) text += fmt::format(", {} could not be", all.refused);
  const tc_bpf_count& children = counts[TC_BPF_ROW_CHILDREN];
  if (children.refused != 0) {
    text += fmt::format(", {} forked children whose system calls are not", children.refused);
  }
  const tc_bpf_count& programs = counts[TC_BPF_ROW_EXECS];
  if (programs.refused != 0) {
    text += fmt::format(", {} executed programs whose vDSO could not be hidden", programs.refused);
  }
  const tc_bpf_count& waits = counts[TC_BPF_ROW_WAITS];
  if (waits.refused != 0) {
    text += fmt::format(", {} waits that could not be shifted", waits.refused);
  }
  uint64_t missed = 0;
  for (const auto& program : place.engine->misses()) missed += program.misses;
  if (missed != 0) text += fmt::format(", {} runs of the BPF programs skipped", missed);
  if (!place.engine->shifts_time()) text += ", raw time() calls are not shifted on this kernel";
  if (!place.engine->shifts_waits()) text += ", its waits end in real time";
  if (!verbose) return text;
  text += fmt::format("\n  bpf hooks: {}", place.engine->hooks()) + each;
  return text + fmt::format("\n  waits: {} shifted, {} refused", waits.done, waits.refused);
}

std::string kept_text(clock::ClockSet kept) {
  return kept.empty() ? ""
                      : fmt::format(
                            "; {} stays ahead until the process ends, because it must "
                            "never step back",
                            kept.text());
}

bool needs_world(const PlannedTarget& planned) {
  return planned.attach && planned.attach->needs_stopped_world();
}

std::string deadlines_text(RawCalls raw, const std::optional<BpfPlace>& bpf) {
  if (bpf && bpf->engine->shifts_waits()) {
    return "waits: in its time; real are lengths in registers (poll, epoll_wait, alarm), in a "
           "struct timeval (select, setitimer) or of sockets, what sleeps and timers say is left, "
           "POSIX timers that were set before a change, and io_uring";
  }
  if (raw != RawCalls::kPtrace) return "deadlines: real, whatever its clocks show";
  return "deadlines: absolute ones end in its time; real are POSIX timers that were set before it "
         "was followed, and those of io_uring";
}

std::string end_text(const tc_clock_page& page, clock::ClockSet clocks) {
  const clock::ClockMaps maps = clock::maps_in_force(page);
  const auto end = end_of(maps, clocks);
  if (!end) return "until it is recovered";
  const auto left = clock::minus(*end, clock::read_host_clocks()[0]);
  if (left <= std::chrono::nanoseconds(0)) {
    return fmt::format("ended by itself at {}, shows real time", moment(*end, false));
  }
  return fmt::format("until {}", moment(*end, false));
}

}  // namespace

std::string text(const SyscallChoice& choice, bool verbose) {
  std::string text;
  switch (choice.engine) {
    case RawCalls::kUntouched:
      return choice.by_itself ? "raw system calls are not shifted: " + choice.why : "";
    case RawCalls::kPtrace:
      if (!choice.by_itself) return "";
      return fmt::format(
          "raw system calls by ptrace, which is slow: {}; --engine-syscalls off leaves them alone",
          choice.why);
    case RawCalls::kBpf:
      break;
  }
  text = "raw system calls by bpf";
  if (!choice.hooks.empty()) text += fmt::format(", {} ({})", choice.hooks, choice.why);
  if (!choice.no_time.empty()) text += "; but raw time() calls are not shifted on this kernel";
  if (!choice.no_guard.empty()) {
    text += "; targets with CAP_SYS_TIME can set the machine's clock to the time they see";
  }
  if (!choice.no_waits.empty()) text += "; their waits end in real time";
  if (!choice.no_left.empty()) text += "; what is left of their waits may be told in real time";
  if (!verbose) return text;
  if (!choice.no_waits.empty()) text += fmt::format("\n  waits: {}", choice.no_waits);
  if (!choice.no_left.empty()) text += fmt::format("\n  left of waits: {}", choice.no_left);
  if (!choice.no_guard.empty()) text += fmt::format("\n  guard: {}", choice.no_guard);
  if (!choice.no_time.empty()) text += fmt::format("\n  time(): {}", choice.no_time);
  for (const std::string& refused : choice.refused) text += "\n  refused: " + refused;
  return text;
}

std::string text(const PlannedTarget& planned, const ShiftRequest& request,
                 const SyscallChoice& choice, bool verbose) {
  std::string line = fmt::format(
      "{} ({}): would show {}, {}, {}", planned.process.label(), threads(planned.threads),
      request.fake ? fake_text(planned.patches, request.fake->name())
                   : what(request.clocks.clocks, clock::words(request.clocks)),
      engines_text(calls_by(planned, planned.plt()), choice.engine),
      planned.only_calls     ? "nothing of it stopped"
      : needs_world(planned) ? "all threads stopped for a moment"
                             : "one thread stopped for a moment");
  if (planned.found && planned.attach) line += ", after clearing away what an agent left";
  if (!planned.abandoned.empty()) {
    line +=
        fmt::format(", after recovering experiment {}, whose agent was killed", planned.abandoned);
  }
  if (verbose && !planned.patches.empty()) line += "\n  " + patches_text(planned.patches);
  return line + kept_text(planned.maps.kept);
}

std::string text(const Shifted& shifted, bool verbose) {
  std::string line = fmt::format("{} {} ({}): {}, {}, {}", shifted.pid, shifted.command,
                                 threads(shifted.threads), what(shifted),
                                 engines_text(calls_by(shifted, shifted.plt), shifted.raw_calls) +
                                     (shifted.hidden ? " (vDSO hidden)" : ""),
                                 stop_text(shifted));
  line += check_text(shifted.checked);
  if (verbose) {
    line += "\n  experiment " + shifted.experiment;
    if (!shifted.no_detour.empty()) line += "\n  no detour: " + shifted.no_detour;
    if (!shifted.patches.empty()) line += "\n  " + patches_text(shifted.patches);
    if (shifted.until)
      line += fmt::format("\n  ends by itself at {}", moment(*shifted.until, false));
  }
  return line + kept_text(shifted.kept);
}

std::string text(const Recovered& recovered, bool verbose) {
  std::string line = fmt::format("recovered {} ({})", recovered.pid, recovered.command);
  if (!recovered.report.kept.empty()) return line + kept_text(recovered.report.kept);
  if (recovered.checked) line += ": " + check_text(*recovered.checked);
  if (recovered.left_bpf) line += ", system calls as before";
  if (recovered.executed) line += "; its vDSO stays hidden until it ends, which costs time only";
  if (recovered.report.bytes_restored && !recovered.only_calls) line += ", bytes as before";
  if (!recovered.report.fake.empty()) line += ", " + unloaded_text(recovered.report);
  if (!recovered.report.unmapped) {
    line += fmt::format(", inert code stays mapped ({})", recovered.report.still_mapped_because);
  }
  if (verbose) {
    line += fmt::format("\n  one thread stopped for {}", milliseconds(recovered.report.stopped));
    if (recovered.report.world_stopped) {
      line += fmt::format(", all for {}", milliseconds(*recovered.report.world_stopped));
    }
  }
  return line;
}

std::string text(const Changed& changed) {
  return fmt::format("{} {}{}: {}, set in {:.1f} us without a stop{}", changed.pid, changed.command,
                     changed.ended ? " has ended; who comes after it" : "",
                     what(changed.clocks, changed.words), microseconds(changed.took),
                     check_text(changed.checked)) +
         kept_text(changed.kept);
}

std::string appeared_text(pid_t pid, const std::string& command, const std::string& selector,
                          bool by_bpf) {
  return fmt::format("{} {} has come by {}{}", pid, command, selector,
                     by_bpf ? ", shifted by bpf from its first instruction on" : "");
}

std::string hidden_time_text(const Shifted& shifted, const SyscallChoice& choice) {
  const bool escapes = shifted.hidden && shifted.clocks.has(CLOCK_REALTIME);
  if (!escapes || choice.no_time.empty()) return "";
  return fmt::format(
      "{} can read the host's time by time(), which BPF cannot shift on this kernel: its vDSO is "
      "hidden, not detoured, because {}",
      shifted.command, shifted.no_detour);
}

std::string escaped_text(uint64_t programs) {
  return fmt::format(
      "{} executed program(s) showed real time: their memory is closed to us (setuid, or not "
      "readable); as root it is open",
      programs);
}

std::string released_text(pid_t pid, const std::string& command) {
  return fmt::format("let go {} ({}): host time from here on, by system calls", pid, command);
}

std::string text(pid_t pid, const syscalls::Counters& counters) {
  std::string line = fmt::format("{}: {} raw clock system calls were shifted, {} could not be", pid,
                                 counters.shifted, counters.failed);
  if (counters.refused != 0) {
    line += fmt::format("; {} call(s) that would have set the machine's clock were refused",
                        counters.refused);
  }
  if (counters.waits != 0) line += fmt::format("; {} deadlines were mapped", counters.waits);
  if (counters.failed_waits != 0) {
    line += fmt::format(
        "; {} deadlines stayed real: no room for more of them at once, or a 32-bit "
        "call of 64-bit code",
        counters.failed_waits);
  }
  if (counters.programs != 0) line += fmt::format("; {} executed program(s)", counters.programs);
  if (counters.failed_programs != 0) line += "; " + escaped_text(counters.failed_programs);
  return line;
}

std::string text(const Carrier& carrier, bool verbose) {
  const tc_clock_page& page = carrier.found.page;
  const std::string who = fmt::format("{} {}", carrier.process.pid(), carrier.process.name());
  if (carrier.found.state == vdso::State::kInert) {
    return who + ": not shifted; inert code of an ended experiment is still mapped";
  }
  if (carrier.found.state == vdso::State::kRemnant) {
    return who +
           ": not shifted; pages of an agent that died are still mapped (time-chaos recover "
           "removes them)";
  }
  const clock::ClockSet clocks(page.clocks);
  if (page.experiment[0] == '\0') return who + ": recovered" + kept_text(clocks);
  const auto owner = living_owner(page);
  std::string line = fmt::format("{}: {}, {}, experiment {}, {}, {}", who, what(carrier),
                                 engines_text(carrier), page.experiment,
                                 owner ? fmt::format("agent {}", *owner)
                                       : (page.owner_pid != 0 ? "its agent is gone" : "detached"),
                                 end_text(page, clocks));
  if (carrier.bpf) line += counts_text(*carrier.bpf, verbose);
  if (!carrier.bpf && page.twin != 0) {
    line += engines_visible() ? ", raw system calls not any more (the BPF engine ended)"
                              : ", its BPF engine is only for root to see";
  }
  if (carrier.found.fake) line += ", raw system calls and executed programs are real";
  if (verbose) line += "\n  " + deadlines_text(raw_calls(carrier), carrier.bpf);
  if (verbose && carrier.found.record.patch_count != 0) {
    line += fmt::format("\n  {}", patches_text(carrier.found.patches()));
  }
  return line;
}

std::string ways_text(const std::vector<Node>& nodes) {
  std::set<pid_t> agents;
  for (const Node& node : nodes) {
    if (const auto owner = living_owner(node.carrier.found.page)) agents.insert(*owner);
  }
  std::string text;
  for (const pid_t agent : agents) {
    for (const std::string& way : published(agent)) {
      text += fmt::format("{}agent {}: {}", text.empty() ? "" : "\n", agent, way);
    }
  }
  return text;
}

namespace {

std::string verdict_text(const Node& node, bool verbose) {
  if (!node.verdict) return "";
  const Verdict& verdict = *node.verdict;
  if (verdict.wrong) return ", CHECK FAILED: " + verdict.why_not;
  if (!verdict.why_not.empty()) {
    return ", not checked" + (verbose ? fmt::format(" ({})", verdict.why_not) : "");
  }
  std::string engines;
  for (const Checked& one : verdict.seen) {
    engines += (engines.empty() ? "" : " and ") + one.engine;
  }
  return ", checked through " + engines;
}

}  // namespace

std::string text(const Node& node, bool verbose) {
  std::string line(2 * static_cast<size_t>(node.depth), ' ');
  if (!node.executed) {
    const std::string carrier = text(node.carrier, verbose);
    // Behind its first line.
    const size_t end = std::min(carrier.find('\n'), carrier.size());
    return line + carrier.substr(0, end) + verdict_text(node, verbose) + carrier.substr(end);
  }
  line += node.executed->page_known
              ? text(node.carrier, verbose)
              : fmt::format("{} {}: syscalls by ptrace, agent {}", node.process().pid(),
                            node.process().name(), node.executed->agent);
  return line + ", executed: its vDSO is hidden" + verdict_text(node, verbose);
}

}  // namespace time_chaos::experiment
