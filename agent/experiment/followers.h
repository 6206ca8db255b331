// Followers: processes that come under a selected name or into a selected control group while the
// agent is there. Who is to be looked at, when, and what they are to be shown.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "agent/experiment/bpf_place.h"
#include "agent/experiment/followed_page.h"
#include "agent/experiment/request.h"
#include "agent/targets/arrivals.h"
#include "agent/targets/process.h"

namespace time_chaos::experiment {

class Followers {
 public:
  using Moment = std::chrono::steady_clock::time_point;

  // Listens from here on. `selectors`: the selection's.
  static Followers listen(const Selection& selection, std::vector<targets::Selector> selectors);

  [[nodiscard]] const targets::Arrivals& arrivals() const { return arrivals_; }
  // Whoever executes something under a name becomes a target without us: it need not be looked for.
  void leave_names_to_bpf() { names_by_bpf_ = true; }
  // For poll(2); -1: nothing to wait for.
  [[nodiscard]] int fd() const { return arrivals_.fd(); }
  // When somebody is to be looked for even if fd() says nothing.
  [[nodiscard]] std::optional<Moment> due() const;

  struct Candidate {
    targets::Process process;
    size_t selector = 0;
  };
  // Nobody is left, and nobody will come any more: every container is gone, and has not been
  // started again for `wait`. `lonely`: no target lives.
  bool over(bool lonely, std::optional<std::chrono::nanoseconds> wait);
  // Who has come, and is to be shifted or refused; each until it is settled.
  std::vector<Candidate> look();
  // Its case is closed, until it executes another program.
  void settle(const targets::Process& process);
  // It could not be shifted. True: it is refused for good. A process that has just been executed
  // may not be ready: where the error can be of that kind, it is a candidate once more.
  bool refuse(const targets::Process& process, const Error& error);

  // Where to see what targets show: the latest that came by the selector.
  struct Model {
    std::shared_ptr<FollowedPage> page;  // else
    std::optional<BpfPlace> place;
    std::shared_ptr<const clock::Program> program;
  };
  void set_model(size_t selector, Model model);
  // Nobody shows any more what those are to show who come.
  void forget_models() { models_.clear(); }
  [[nodiscard]] bool has_model(size_t selector) const { return models_.contains(selector); }
  // What followers are to show; nothing: what the request says. Monotonic clocks begin anew in
  // every process.
  std::optional<Continued> shown(size_t selector, const std::string& experiment);

 private:
  Followers(targets::Arrivals arrivals, bool ends) : arrivals_(std::move(arrivals)), ends_(ends) {}

  // A process, and the program that it runs: where its stack began.
  using Identity = std::tuple<pid_t, uint64_t, uint64_t>;
  static Identity identity(const targets::Process& process);
  [[nodiscard]] std::optional<std::chrono::milliseconds> period() const;
  void forget_ended();

  targets::Arrivals arrivals_;
  bool ends_;  // when all are gone
  bool names_by_bpf_ = false;
  std::optional<Moment> lonely_since_;
  Moment next_look_ = Moment::min();
  std::set<Identity> settled_;
  std::set<Identity> refused_;
  struct Doubt {
    size_t selector = 0;
    int failures = 0;
    Moment again = Moment::max();
  };
  std::map<Identity, Doubt> doubts_;
  std::map<size_t, Model> models_;
};

}  // namespace time_chaos::experiment
