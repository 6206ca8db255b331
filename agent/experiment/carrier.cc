#include "agent/experiment/carrier.h"

#include "agent/experiment/owner.h"

namespace time_chaos::experiment {
namespace {

// A target that only a BPF engine knows.
std::optional<vdso::Found> found_in(const BpfPlace& place) {
  const auto page = place.engine->page(place.page);
  if (page.magic != TC_PAGE_MAGIC) return std::nullopt;
  vdso::Found found;
  found.state = vdso::State::kShifted;
  found.record = {};
  found.page = page;
  return found;
}

Status check_reach(const Carrier& carrier) {
  if (carrier.bpf || carrier.found.page.twin == 0 || engines_visible()) return {};
  return fail(Exit::kNotPermitted, "without CAP_SYS_ADMIN its BPF engine cannot be seen",
              "run as root");
}

}  // namespace

Result<std::optional<Carrier>> carrier_of(targets::Process process, const Engines& engines) {
  const pid_t pid = process.pid();
  auto looked = vdso::find_experiment(pid);
  if (!looked) {
    // Its memory may be closed to us where nothing of ours is in it.
    auto place = place_of(pid, engines);
    if (!place || !was_executed(pid, *place)) return fail(looked.error());
    return carrier_at(std::move(process), std::move(place), true);
  }
  if (auto& found = *looked) {
    auto place = found->code != 0 ? place_of(pid, found->page, engines) : std::nullopt;
    return std::optional(Carrier{std::move(process), std::move(*found), std::move(place), false});
  }
  auto place = place_of(pid, engines);
  if (!place) return std::optional<Carrier>();
  return carrier_at(std::move(process), std::move(place), true);
}

Result<std::optional<Carrier>> carrier_at(targets::Process process, std::optional<BpfPlace> place,
                                          bool only_calls) {
  auto found = std::optional<vdso::Found>();
  if (only_calls) {
    if (place) found = found_in(*place);
  } else {
    TC_TRY(found, vdso::find_experiment(process.pid()));
  }
  if (!found) return std::optional<Carrier>();
  const bool executed = only_calls && was_executed(process.pid(), *place);
  return std::optional(Carrier{std::move(process), std::move(*found), std::move(place), executed});
}

Result<std::shared_ptr<vdso::ClockPage>> open_twin(const Carrier& carrier) {
  TC_CHECK(check_reach(carrier));
  if (!carrier.bpf) return std::shared_ptr<vdso::ClockPage>();
  TC_TRY(auto page, page_at(*carrier.bpf));
  return std::make_shared<vdso::ClockPage>(std::move(page));
}

namespace {

// Where that page is mapped: what a program's parent reads it must go on sharing with it.
struct Holder {
  pid_t pid = 0;
  uint64_t page = 0;
};

std::optional<Holder> holder(const Carrier& carrier) {
  if (const auto& place = carrier.in_agent) return Holder{place->agent, place->address};
  if (carrier.has_pages()) return Holder{carrier.process.pid(), carrier.found.clock_page()};
  if (carrier.found.page.twin == 0) return std::nullopt;
  for (const pid_t pid : processes_of(*carrier.bpf)) {
    const auto found = vdso::find_experiment(pid);
    if (!found || !*found || (*found)->code == 0) continue;
    if ((*found)->page.twin == carrier.found.page.twin) return Holder{pid, (*found)->clock_page()};
  }
  return std::nullopt;
}

}  // namespace

Result<vdso::ClockPage> open_page(const Carrier& carrier) {
  const auto held = holder(carrier);
  if (!held) return page_at(*carrier.bpf);
  TC_TRY(auto twin, open_twin(carrier));
  TC_TRY(auto page, vdso::ClockPage::open(held->pid, held->page));
  page.set_twin(std::move(twin));
  return page;
}

bool is_followed(const Carrier& carrier) {
  const auto owner = living_owner(carrier.found.page);
  const auto status = targets::read_status(carrier.process.pid());
  if (!owner || !status || status->tracer == 0) return false;
  // TracerPid names the tracing thread.
  const auto tracer = targets::read_status(status->tracer);
  return tracer && tracer->tgid == *owner;
}

RawCalls raw_calls(const Carrier& carrier) {
  if (carrier.bpf) return RawCalls::kBpf;
  return is_followed(carrier) ? RawCalls::kPtrace : RawCalls::kUntouched;
}

}  // namespace time_chaos::experiment
