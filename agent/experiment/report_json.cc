// The objects for programs. Times are RFC 3339 in UTC, spans in the unit that the key names.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "agent/clock/duration.h"
#include "agent/experiment/owner.h"
#include "agent/experiment/page_words.h"
#include "agent/experiment/report.h"
#include "agent/experiment/words.h"

namespace time_chaos::experiment {
namespace {

Json functions(const std::vector<payload::PatchRecord>& patches) {
  Json list = Json::array();
  for (const payload::PatchRecord& patch : patches) {
    list.push_back(
        {{"name", payload::function_name(static_cast<payload::Function>(patch.function))},
         {"patch", patch_method(patch)},
         {"entry", fmt::format("{:#x}", patch.entry)}});
  }
  return list;
}

Json name_or_null(const std::string& name) {
  return name.empty() ? Json(nullptr) : Json(name);
}

Json span(const std::optional<std::chrono::nanoseconds>& time) {
  return time ? Json(microseconds(*time)) : Json(nullptr);
}

Json end(const std::optional<clock::Reading>& reading) {
  return reading ? Json(moment(*reading, true)) : Json(nullptr);
}

Json checked(const Checked& seen) {
  return {{"engine", seen.engine},
          {"clock", clock::clock_name(seen.clock)},
          {"target", clock::is_monotonic(seen.clock) ? reading_text(seen.clock, seen.target)
                                                     : moment(seen.target, true)},
          {"host", clock::is_monotonic(seen.clock) ? reading_text(seen.clock, seen.host)
                                                   : moment(seen.host, true)},
          {"offset_ns", seen.offset.count()}};
}

const char* raw_name(RawCalls raw) {
  switch (raw) {
    case RawCalls::kBpf:
      return "bpf";
    case RawCalls::kPtrace:
      return "ptrace";
    case RawCalls::kUntouched:
      break;
  }
  return "off";
}

Json engines(const char* vdso, RawCalls raw) {
  return {{"vdso", vdso}, {"syscalls", raw_name(raw)}};
}
const char* vdso_name(bool plt, bool detoured, bool hidden = false) {
  return plt ? "plt" : detoured ? "detour" : hidden ? "hidden" : "off";
}

Json checked(const std::vector<Checked>& seen) {
  Json list = Json::array();
  for (const Checked& one : seen) list.push_back(checked(one));
  return list;
}

// What the engine did for the experiment's targets so far.
const char* deadlines(const Carrier& carrier) {
  if (carrier.bpf && carrier.bpf->engine->shifts_waits()) return "all";
  return raw_calls(carrier) == RawCalls::kPtrace ? "absolute" : "real";
}

Json bpf(const BpfPlace& place) {
  Json object = {{"hooks", place.engine->hooks()}, {"time", place.engine->shifts_time()}};
  Json clocks = Json::object();
  const auto counts = place.engine->counts(place.page);
  for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
    const tc_bpf_count& count = counts[static_cast<size_t>(clock)];
    if (count.done + count.refused == 0) continue;
    clocks[clock::clock_name(clock)] = {{"shifted", count.done}, {"refused", count.refused}};
  }
  const tc_bpf_count& children = counts[TC_BPF_ROW_CHILDREN];
  const tc_bpf_count& programs = counts[TC_BPF_ROW_EXECS];
  object["programs"] = {{"hidden", programs.done}, {"refused", programs.refused}};
  object["children"] = {{"added", children.done}, {"refused", children.refused}};
  object["clocks"] = clocks;
  const tc_bpf_count& waits = counts[TC_BPF_ROW_WAITS];
  object["waits"] = {{"hooked", place.engine->shifts_waits()},
                     {"shifted", waits.done},
                     {"refused", waits.refused}};
  Json misses = Json::object();
  for (const auto& program : place.engine->misses()) misses[program.program] = program.misses;
  object["recursion_misses"] = misses;
  return object;
}

std::chrono::nanoseconds planned_shift(const PlannedTarget& planned, const ShiftRequest& request) {
  if (request.clocks.offset) return *request.clocks.offset;
  return first_shift(planned.maps.maps, request.clocks.clocks,
                     request.clocks.start.value_or(clock::read_host_clocks()));
}

const char* state_name(const Carrier& carrier, bool over) {
  switch (carrier.found.state) {
    case vdso::State::kInert:
      return "inert";
    case vdso::State::kRemnant:
      return "remnant";
    case vdso::State::kShifted:
      break;
  }
  if (carrier.found.page.experiment[0] == '\0') return "kept";
  return over ? "expired" : "shifted";
}

}  // namespace

Json json(const FollowWay& way) {
  const bool looks = way.how == FollowWay::How::kLooks;
  return {{"event", "follows"},
          {"selector", way.selector},
          {"by", way.how == FollowWay::How::kBpf ? "bpf" : (looks ? "looks" : "events")},
          {"period_ms", looks || way.moved_into ? Json(way.period.count()) : Json(nullptr)},
          {"why", way.why}};
}

Json appeared_json(pid_t pid, const std::string& command, const std::string& selector,
                   bool by_bpf) {
  return {{"event", "appeared"},
          {"pid", pid},
          {"command", command},
          {"selector", selector},
          {"by", by_bpf ? "bpf" : "agent"}};
}

Json json(const SyscallChoice& choice) {
  Json object = {{"event", "syscalls"},
                 {"engine", raw_name(choice.engine)},
                 {"why", choice.why},
                 {"chosen_by", choice.by_itself ? "time-chaos" : "user"}};
  if (choice.engine != RawCalls::kBpf) return object;
  object["hooks"] = choice.hooks;
  object["refused"] = choice.refused;
  object["time"] = choice.no_time.empty();
  object["guard"] = choice.no_guard.empty();
  object["waits"] = choice.no_waits.empty();
  if (!choice.no_waits.empty()) object["why_no_waits"] = choice.no_waits;
  object["left_of_waits"] = choice.no_waits.empty() && choice.no_left.empty();
  if (!choice.no_left.empty()) object["why_no_left_of_waits"] = choice.no_left;
  if (!choice.no_guard.empty()) object["why_no_guard"] = choice.no_guard;
  if (!choice.no_time.empty()) object["why_no_time"] = choice.no_time;
  return object;
}

Json json(const PlannedTarget& planned, const ShiftRequest& request, const SyscallChoice& choice) {
  return {{"event", "planned"},
          {"pid", planned.process.pid()},
          {"command", planned.process.name()},
          {"threads", planned.threads},
          {"clocks", request.clocks.clocks.names()},
          {"offset", clock::format_duration(planned_shift(planned, request))},
          {"offset_ns", planned_shift(planned, request).count()},
          {"map", clock::words(request.clocks)},
          {"engines", engines(vdso_name(planned.plt(), !planned.patches.empty()), choice.engine)},
          {"slots", planned.slots},
          {"modules", planned.modules},
          {"fake", request.fake ? Json(request.fake->name()) : Json(nullptr)},
          {"functions", functions(planned.patches)},
          {"recovers", planned.abandoned.empty() ? Json(nullptr) : Json(planned.abandoned)},
          {"stops_all_threads", planned.attach && planned.attach->needs_stopped_world()}};
}

Json json(const Shifted& shifted) {
  return {{"event", "shifted"},
          {"pid", shifted.pid},
          {"command", shifted.command},
          {"threads", shifted.threads},
          {"experiment", shifted.experiment},
          {"clocks", shifted.clocks.names()},
          {"offset", clock::format_duration(shifted.offset)},
          {"offset_ns", shifted.offset.count()},
          {"map", shifted.words},
          {"engines", engines(vdso_name(shifted.plt, !shifted.patches.empty()), shifted.raw_calls)},
          {"slots", shifted.slots},
          {"modules", shifted.modules},
          {"fake", name_or_null(shifted.fake)},
          {"functions", functions(shifted.patches)},
          {"stopped_us", microseconds(shifted.stopped)},
          {"world_stopped_us", span(shifted.world_stopped)},
          {"checked", checked(shifted.checked)},
          {"until", end(shifted.until)}};
}

Json json(const Recovered& recovered) {
  Json object = {{"event", "recovered"},
                 {"pid", recovered.pid},
                 {"command", recovered.command},
                 {"experiment", recovered.experiment},
                 {"bytes", recovered.report.bytes_restored ? "as before" : "patched"},
                 {"mappings", recovered.report.unmapped ? "unmapped" : "kept"},
                 {"kept_clocks", recovered.report.kept.names()},
                 {"stopped_us", microseconds(recovered.report.stopped)},
                 {"world_stopped_us", span(recovered.report.world_stopped)}};
  if (!recovered.report.unmapped) object["why_kept"] = recovered.report.still_mapped_because;
  object["fake"] = name_or_null(recovered.report.fake);
  if (!recovered.report.fake.empty()) {
    const bool gone = recovered.report.unmapped && recovered.report.fake_stays.empty();
    object["library"] = gone ? "unloaded" : "kept";
    if (!recovered.report.fake_stays.empty()) {
      object["why_library_kept"] = recovered.report.fake_stays;
    }
  }
  object["system_calls"] = recovered.left_bpf ? Json("as before") : Json(nullptr);
  if (recovered.checked) object["checked"] = Json::array({checked(*recovered.checked)});
  return object;
}

Json json(const Changed& changed) {
  return {{"event", "set"},
          {"pid", changed.pid},
          {"command", changed.command},
          {"experiment", changed.experiment},
          {"clocks", changed.clocks.names()},
          {"offset", clock::format_duration(changed.offset)},
          {"offset_ns", changed.offset.count()},
          {"map", changed.words},
          {"ended", changed.ended},
          {"took_us", microseconds(changed.took)},
          {"kept_clocks", changed.kept.names()},
          {"checked", checked(changed.checked)}};
}

Json json(const Carrier& carrier) {
  const tc_clock_page& page = carrier.found.page;
  const clock::ClockSet clocks(page.clocks);
  const clock::ClockMaps maps = clock::maps_in_force(page);
  const auto now = clock::read_host_clocks();
  const auto until = end_of(maps, clocks);
  const InForce map = in_force(page, now);
  const auto owner = living_owner(page);
  return {{"pid", carrier.process.pid()},
          {"command", carrier.process.name()},
          {"experiment", carrier.experiment()},
          {"state", state_name(carrier, until && *until <= now[0])},
          {"clocks", clocks.names()},
          {"offset_ns", map.shift.count()},
          {"map",
           {{"kind", map.kind},
            {"words", map.words},
            {"rate", map.rate},
            {"clock", clock::clock_name(map.clock)},
            {"shows", clock::is_monotonic(map.clock) ? reading_text(map.clock, map.shown)
                                                     : moment(map.shown, true)}}},
          {"engines", engines(vdso_name(carrier.found.slots.has_value(),
                                        carrier.found.record.patch_count != 0, carrier.executed),
                              raw_calls(carrier))},
          {"slots", carrier.found.led},
          {"deadlines", deadlines(carrier)},
          {"fake", carrier.found.fake ? Json(carrier.found.fake->name()) : Json(nullptr)},
          {"functions", functions(carrier.found.patches())},
          {"bpf", carrier.bpf ? bpf(*carrier.bpf) : Json(nullptr)},
          {"until", end(until)},
          {"agent", owner ? Json(*owner) : Json(nullptr)},
          {"follows", owner ? Json(published(*owner)) : Json::array()}};
}

Json json(const Node& node) {
  Json object = json(node.carrier);
  object["parent"] = node.parent != 0 ? Json(node.parent) : Json(nullptr);
  object["executed"] = node.executed.has_value() || node.carrier.executed;
  object["checked"] = node.verdict ? checked(node.verdict->seen) : Json::array();
  const bool open = node.verdict && !node.verdict->why_not.empty();
  object["why_not_checked"] = open ? Json(node.verdict->why_not) : Json(nullptr);
  if (!node.executed) return object;
  object["engines"] = {{"vdso", "hidden"}, {"syscalls", "ptrace"}};
  object["agent"] = node.executed->agent;
  if (!node.executed->page_known) {
    for (const char* key : {"experiment", "clocks", "offset_ns", "until"}) object[key] = nullptr;
    object["state"] = "shifted";
  }
  return object;
}

Json released_json(pid_t pid, const std::string& command) {
  return {{"event", "released"}, {"pid", pid}, {"command", command}};
}

Json json(pid_t pid, const syscalls::Counters& counters) {
  return {{"event", "followed"},
          {"pid", pid},
          {"engine", "ptrace"},
          {"shifted_calls", counters.shifted},
          {"failed_calls", counters.failed},
          {"refused_calls", counters.refused},
          {"mapped_deadlines", counters.waits},
          {"failed_deadlines", counters.failed_waits},
          {"programs", counters.programs},
          {"failed_programs", counters.failed_programs}};
}

Json json(const Error& error) {
  return {{"event", "error"},
          {"message", error.message()},
          {"remedy", error.remedy()},
          {"exit", static_cast<int>(error.kind())}};
}

}  // namespace time_chaos::experiment
