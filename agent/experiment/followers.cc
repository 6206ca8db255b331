#include "agent/experiment/followers.h"

#include <algorithm>
#include <cstring>

#include "agent/clock/clock_set.h"
#include "agent/experiment/page_words.h"

namespace time_chaos::experiment {
namespace {

using std::chrono::steady_clock;

// A program is in place some microseconds after its name is, on a busy machine some more.
constexpr std::chrono::milliseconds kAgain{200};
constexpr int kAttempts = 3;
constexpr size_t kManySettled = 4096;
// A container that has ended is started again in that time, or not at all. Of one in a pod we see
// whether the pod is still there.
constexpr std::chrono::seconds kContainerEnds{30};
constexpr std::chrono::seconds kPodEnds{3};

}  // namespace

Followers Followers::listen(const Selection& selection, std::vector<targets::Selector> selectors) {
  return Followers(targets::Arrivals(std::move(selectors)), selection.ends());
}

Followers::Identity Followers::identity(const targets::Process& process) {
  return {process.pid(), process.start_time(),
          targets::read_stack_start(process.pid()).value_or(0)};
}

std::optional<std::chrono::milliseconds> Followers::period() const {
  const auto& selectors = arrivals_.selectors();
  const bool only_names = std::all_of(selectors.begin(), selectors.end(),
                                      [](const auto& selector) { return selector.by_name(); });
  if (names_by_bpf_ && only_names) return std::nullopt;
  if (lonely_since_ && ends_) return targets::Arrivals::kContainerPeriod;
  return arrivals_.period();
}

bool Followers::over(bool lonely, std::optional<std::chrono::nanoseconds> wait) {
  if (!ends_) return false;
  const auto now = steady_clock::now();
  if (!lonely) lonely_since_.reset();
  if (!lonely) return false;
  if (!lonely_since_) {
    lonely_since_ = now;
    next_look_ = now;
  }
  std::optional<bool> pod_lives;
  for (const targets::Selector& selector : arrivals_.selectors()) {
    const auto lives = selector.containers->pod_lives();
    if (lives) pod_lives = pod_lives.value_or(false) || *lives;
  }
  if (pod_lives.value_or(false)) lonely_since_ = now;
  const auto patience = wait.value_or(pod_lives ? kPodEnds : kContainerEnds);
  return now - *lonely_since_ >= patience;
}

std::optional<Followers::Moment> Followers::due() const {
  std::optional<Moment> due;
  if (period()) due = next_look_;
  for (const auto& [identity, doubt] : doubts_) {
    if (doubt.again != Moment::max() && (!due || doubt.again < *due)) due = doubt.again;
  }
  return due;
}

std::vector<Followers::Candidate> Followers::look() {
  const auto now = steady_clock::now();
  const bool all = next_look_ == Moment::min() || (period() && now >= next_look_);
  std::vector<targets::Arrival> list = arrivals_.take(all);
  if (all) next_look_ = now + period().value_or(targets::Arrivals::kPeriod);
  for (auto& [who, doubt] : doubts_) {
    if (now < doubt.again) continue;
    list.push_back({std::get<0>(who), doubt.selector, false});
    doubt.again = Moment::max();
  }
  if (all || settled_.size() + refused_.size() > kManySettled) forget_ended();
  std::vector<Candidate> candidates;
  std::set<pid_t> seen;
  for (const targets::Arrival& arrival : list) {
    if (!seen.insert(arrival.pid).second) continue;
    auto process = targets::Process::open(arrival.pid);
    if (!process || !process->alive()) continue;
    const Identity who = identity(*process);
    // The event may be older than the look that found it: one line for one refusal.
    if (refused_.contains(who)) continue;
    if (arrival.executed) {
      settled_.erase(who);
      doubts_.erase(who);
    }
    if (settled_.contains(who)) continue;
    const auto doubt = doubts_.find(who);
    const bool later = doubt != doubts_.end() && doubt->second.again != Moment::max();
    if (later && now < doubt->second.again) continue;
    doubts_[who].selector = arrival.selector;
    candidates.push_back({std::move(*process), arrival.selector});
  }
  return candidates;
}

void Followers::settle(const targets::Process& process) {
  const Identity who = identity(process);
  doubts_.erase(who);
  settled_.insert(who);
}

bool Followers::refuse(const targets::Process& process, const Error& error) {
  const bool final = error.kind() == Exit::kNotPermitted || error.kind() == Exit::kUsage;
  Doubt& doubt = doubts_[identity(process)];
  if (!final && ++doubt.failures < kAttempts) {
    doubt.again = steady_clock::now() + kAgain;
    return false;
  }
  doubts_.erase(identity(process));
  refused_.insert(identity(process));
  return true;
}

void Followers::forget_ended() {
  const auto ended = [](const Identity& who) {
    const auto start = targets::read_start_time(std::get<0>(who));
    return !start || *start != std::get<1>(who);
  };
  std::erase_if(doubts_, [&](const auto& entry) { return ended(entry.first); });
  std::erase_if(settled_, ended);
  std::erase_if(refused_, ended);
}

void Followers::set_model(size_t selector, Model model) {
  models_[selector] = std::move(model);
}

std::optional<Continued> Followers::shown(size_t selector, const std::string& experiment) {
  const auto found = models_.find(selector);
  if (found == models_.end()) return std::nullopt;
  const Model& model = found->second;
  tc_clock_page page{};
  if (model.page) {
    const auto read = model.page->read();
    if (read) page = *read;
  } else if (model.place) {
    page = model.place->engine->page(model.place->page);
  }
  // Recovered by somebody, or out of reach.
  const std::string name(page.experiment, ::strnlen(page.experiment, sizeof page.experiment));
  if (page.magic != TC_PAGE_MAGIC || name != experiment) return std::nullopt;
  const clock::ClockSet clocks(page.clocks);
  for (int c = 0; c < TC_CLOCK_COUNT; c++) {
    if (clocks.has(c) && clock::is_monotonic(c)) return std::nullopt;
  }
  clock::Programs programs;
  if (model.program) programs.push_back(model.program);
  const clock::ClockMaps maps = clock::renewed(clock::maps_in_force(page), clocks,
                                               clock::read_host_clocks(), std::nullopt, programs);
  return Continued{clocks, maps, read_words(page), model.program};
}

}  // namespace time_chaos::experiment
