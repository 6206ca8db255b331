// The stack of layers, and what follows from it: the table of callbacks, the maps of the clock
// page, and which functions jump.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "agent/clock/map_plan.h"
#include "agent/library/callbacks.h"
#include "agent/library/detour.h"

namespace time_chaos::library {

struct Layer {
  tc_layer id = 0;
  tc_functions functions{};  // of callbacks
  void* data = nullptr;
  clock::ClockSpec spec;  // of a map
  clock::ClockMaps maps;  // those of the spec's clocks count
  bool is_map = false;

  [[nodiscard]] bool covers(Function function) const;
};

enum class Outcome { kDone, kKept, kBusy };

// Not safe for several threads at once: api.cc has the lock.
class Layers {
 public:
  static Result<Layers> make(Choice choice = Choice::kAuto);

  Result<tc_layer> add(const tc_functions& functions, void* data);
  Result<tc_layer> add(const clock::ClockSpec& spec);
  Status change(tc_layer id, const clock::ClockSpec& spec);
  Result<Outcome> remove(tc_layer id);
  Result<Outcome> remove_all();

  [[nodiscard]] const Detour& detour() const { return detour_; }

 private:
  explicit Layers(Detour detour) : detour_(std::move(detour)), base_(clock::identity_maps()) {}

  using Planner = std::function<Result<clock::ClockMaps>(const clock::ClockMaps& now,
                                                         const clock::HostReadings& host)>;
  Status publish(const Planner& plan);
  [[nodiscard]] clock::ClockMaps composed() const;
  Result<clock::ClockMaps> planned(Layer* layer, const clock::ClockMaps& now,
                                   const clock::HostReadings& host) const;
  std::optional<clock::Reading> keep_ahead(clock::ClockSet clocks, const clock::ClockMaps& now,
                                           const clock::HostReadings& host, Outcome* outcome);
  Result<tc_layer> add(Layer layer, const std::function<Status()>& come_into_force);
  Status prepare(const Layer& added);
  Result<bool> call_back();
  Status withdraw();
  [[nodiscard]] bool is_needed(Function function) const;
  [[nodiscard]] const Layer* topmost(Function function) const;

  Detour detour_;
  std::vector<Layer> layers_;
  clock::ClockMaps base_;  // real, but for monotonic clocks that stay ahead
  clock::ClockSet kept_;
  bool calling_ = false;  // a table with callbacks is in force
  tc_layer last_id_ = 0;
};

}  // namespace time_chaos::library
