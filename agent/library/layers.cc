#include "agent/library/layers.h"

#include <algorithm>
#include <tuple>

namespace time_chaos::library {
namespace {

using clock::ClockMaps;
using clock::ClockSet;
using clock::HostReadings;

constexpr int kAttempts = 8;
constexpr int kClockCount = TC_CLOCK_COUNT;

bool in_time(const ClockMaps& maps) {
  if (!maps.flip_before) return true;
  return clock::read_host_clocks()[CLOCK_MONOTONIC] < *maps.flip_before;
}

// Puts maps into force for all functions and threads at once.
void flip(tc_clock_page& page, const ClockMaps& maps) {
  const uint32_t latch = tc_next_latch(page.latch);
  const bool second = (latch & TC_COPY_STRIDE) != 0;
  std::copy(maps.begin(), maps.end(), second ? page.maps1 : page.maps0);
  (second ? page.table1 : page.table0) = maps.table;
  __atomic_store_n(&page.latch, latch, __ATOMIC_SEQ_CST);
}

}  // namespace

bool Layer::covers(Function function) const {
  if (is_map) return is_mapped(function);
  switch (function) {
    case Function::kClockGettime:
      return functions.clock_gettime != nullptr;
    case Function::kGettimeofday:
      return functions.gettimeofday != nullptr;
    case Function::kTime:
      return functions.time != nullptr;
    case Function::kClockGetres:
      break;
  }
  return functions.clock_getres != nullptr;
}

Result<Layers> Layers::make(Choice choice) {
  TC_TRY(Detour detour, Detour::lay_out(choice));
  for (const Function function : kFunctions) {
    set_below(function, is_mapped(function) ? detour.mapped_hook(function) : 0);
    detour.lead(function, is_mapped(function) ? detour.mapped_hook(function) : hook(function));
  }
  set_original_clock_gettime(detour.original_clock_gettime());
  return Layers(std::move(detour));
}

const Layer* Layers::topmost(Function function) const {
  const auto found = std::find_if(layers_.rbegin(), layers_.rend(),
                                  [&](const Layer& layer) { return layer.covers(function); });
  return found == layers_.rend() ? nullptr : &*found;
}

bool Layers::is_needed(Function function) const {
  if (function == Function::kClockGettime && !kept_.empty()) return true;
  return topmost(function) != nullptr;
}

ClockMaps Layers::composed() const {
  ClockMaps maps = base_;
  for (const Layer& layer : layers_) {
    if (!layer.is_map) continue;
    for (int c = 0; c < kClockCount; c++) {
      const auto i = static_cast<size_t>(c);
      if (layer.spec.clocks.has(c)) maps[i] = layer.maps[i];
    }
  }
  return maps;
}

// Maps that have to be in force by some moment, and are late, are planned again.
Status Layers::publish(const Planner& plan) {
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    TC_TRY(const ClockMaps maps,
           plan(clock::maps_in_force(detour_.page()), clock::read_host_clocks()));
    if (!in_time(maps)) continue;
    flip(detour_.page(), maps);
    return {};
  }
  return fail(Exit::kFailed, "the machine is too busy to change a monotonic clock in time",
              "try again");
}

// The layer's own maps, and what is in force with them.
Result<ClockMaps> Layers::planned(Layer* layer, const ClockMaps& now,
                                  const HostReadings& host) const {
  TC_TRY(const auto plan, clock::plan_shift(layer->spec, now, host, std::nullopt));
  layer->maps = plan.maps;
  ClockMaps maps = composed();
  maps.flip_before = plan.maps.flip_before;
  return maps;
}

// All functions of a layer lead to what is in force already before it comes into force itself.
Status Layers::prepare(const Layer& added) {
  for (const Function function : kFunctions) {
    if (!added.covers(function)) continue;
    if (auto patched = detour_.patch(function); !patched) {
      (void)withdraw();
      return patched;
    }
  }
  return {};
}

// What nobody covers gets its bytes back.
Status Layers::withdraw() {
  bool any = false;
  for (const Function function : kFunctions) {
    if (is_needed(function)) {
      any = true;
    } else {
      TC_CHECK(detour_.unpatch(function));
    }
  }
  return any ? Status() : detour_.release();
}

// The callbacks that are topmost now. False: one that was has not returned.
Result<bool> Layers::call_back() {
  Table table;
  for (const Function function : kFunctions) {
    const Layer* layer = topmost(function);
    if (layer == nullptr || layer->is_map) continue;
    table.data[index(function)] = layer->data;
    switch (function) {
      case Function::kClockGettime:
        table.functions.clock_gettime = layer->functions.clock_gettime;
        break;
      case Function::kGettimeofday:
        table.functions.gettimeofday = layer->functions.gettimeofday;
        break;
      case Function::kTime:
        table.functions.time = layer->functions.time;
        break;
      case Function::kClockGetres:
        table.functions.clock_getres = layer->functions.clock_getres;
        break;
    }
    detour_.lead(function, hook(function));
  }
  const tc_functions& f = table.functions;
  const bool any = f.clock_gettime != nullptr || f.gettimeofday != nullptr || f.time != nullptr ||
                   f.clock_getres != nullptr;
  if (!any && !calling_) return true;
  TC_TRY(const bool left, exchange(table));
  calling_ = any;
  // Who is in the hook now goes on below, which is the same.
  for (const Function function : kFunctions) {
    const Layer* layer = topmost(function);
    const bool callback = layer != nullptr && !layer->is_map;
    if (!callback && is_mapped(function)) detour_.lead(function, detour_.mapped_hook(function));
  }
  return left;
}

// `come_into_force` is called when all that it covers leads to us.
Result<tc_layer> Layers::add(Layer layer, const std::function<Status()>& come_into_force) {
  layer.id = last_id_ + 1;
  layers_.push_back(std::move(layer));
  Status done = prepare(layers_.back());
  if (done) done = come_into_force();
  if (!done) {
    layers_.pop_back();
    (void)withdraw();
    return fail(done.error());
  }
  return ++last_id_;
}

Result<tc_layer> Layers::add(const tc_functions& functions, void* data) {
  Layer layer;
  layer.functions = functions;
  layer.data = data;
  return add(std::move(layer), [&]() -> Status {
    TC_CHECK(call_back());
    return {};
  });
}

Result<tc_layer> Layers::add(const clock::ClockSpec& spec) {
  Layer layer;
  layer.is_map = true;
  layer.spec = spec;
  TC_TRY(const tc_layer id, add(std::move(layer), [&] {
           return publish([&](const ClockMaps& now, const HostReadings& host) {
             return planned(&layers_.back(), now, host);
           });
         }));
  // Callbacks below have been covered; the map is in force already.
  TC_CHECK(call_back());
  return id;
}

namespace {

auto find(std::vector<Layer>& layers, tc_layer id) {
  return std::find_if(layers.begin(), layers.end(), [&](const Layer& l) { return l.id == id; });
}

tl::unexpected<Error> no_layer() {
  return fail(Exit::kNoTarget, "there is no such layer", "it may have been restored already");
}

}  // namespace

Status Layers::change(tc_layer id, const clock::ClockSpec& spec) {
  const auto layer = find(layers_, id);
  if (layer == layers_.end()) return no_layer();
  if (!layer->is_map) return fail(Exit::kUsage, "this layer has functions, not a map");
  if (!(layer->spec.clocks == spec.clocks)) {
    return fail(Exit::kUsage, "a layer keeps its clocks; install another layer for others");
  }
  const Layer before = *layer;
  layer->spec = spec;
  auto done = publish(
      [&](const ClockMaps& now, const HostReadings& host) { return planned(&*layer, now, host); });
  if (!done) *layer = before;
  return done;
}

// Monotonic clocks that would show less than they do: the topmost layer that covers one, or else
// the base, keeps them ahead. By when that has to be in force.
std::optional<clock::Reading> Layers::keep_ahead(ClockSet clocks, const ClockMaps& now,
                                                 const HostReadings& host, Outcome* outcome) {
  std::optional<clock::Reading> soon;
  const ClockMaps target = composed();
  const ClockMaps ahead = clock::plan_recover(now, host).maps;
  for (int c = 0; c < kClockCount; c++) {
    const auto i = static_cast<size_t>(c);
    if (!clocks.has(c) || !clock::is_monotonic(c)) continue;
    if (!(clock::apply(target, c, host[i]) < clock::apply(now, c, host[i]))) continue;
    const auto over = std::find_if(layers_.rbegin(), layers_.rend(), [&](const Layer& layer) {
      return layer.is_map && layer.spec.clocks.has(c);
    });
    (over != layers_.rend() ? over->maps : base_)[i] = ahead[i];
    kept_ = kept_ | ClockSet(TC_CLOCK_BIT(c));
    soon = ahead.flip_before;
    *outcome = Outcome::kKept;
  }
  return soon;
}

Result<Outcome> Layers::remove(tc_layer id) {
  const auto found = find(layers_, id);
  if (found == layers_.end()) return no_layer();
  const Layer removed = *found;
  Outcome outcome = Outcome::kDone;
  if (removed.is_map) {
    const auto at = found - layers_.begin();
    const auto before = std::make_tuple(layers_, base_, kept_);
    const auto published =
        publish([&](const ClockMaps& now, const HostReadings& host) -> Result<ClockMaps> {
          std::tie(layers_, base_, kept_) = before;  // from an attempt that was too late
          layers_.erase(layers_.begin() + at);
          std::optional<clock::Reading> soon;
          if (!removed.spec.allow_monotonic_step) {
            soon = keep_ahead(removed.spec.clocks, now, host, &outcome);
          }
          ClockMaps maps = composed();
          maps.flip_before = soon;
          return maps;
        });
    if (!published) {
      std::tie(layers_, base_, kept_) = before;
      return fail(published.error());
    }
  } else {
    layers_.erase(found);
  }
  TC_TRY(const bool left, call_back());
  TC_CHECK(withdraw());
  return left ? outcome : Outcome::kBusy;
}

Result<Outcome> Layers::remove_all() {
  Outcome outcome = Outcome::kDone;
  while (!layers_.empty()) {
    TC_TRY(const Outcome one, remove(layers_.back().id));
    if (one != Outcome::kDone) outcome = one;
  }
  return outcome;
}

}  // namespace time_chaos::library
