// The maps of a clock page that are in force, as the agent holds them, and what they show.
#pragma once

#include <array>
#include <chrono>
#include <optional>

#include "agent/clock/reading.h"
#include "time_chaos/abi/clock_map.h"

namespace time_chaos::clock {

// One map a clock id, and the table to which those with a schedule refer.
struct ClockMaps {
  std::array<tc_clock_map, TC_CLOCK_COUNT> maps{};
  tc_clock_table table{};
  // They must be in force before the host's CLOCK_MONOTONIC reads this, or a monotonic clock could
  // step back; who is late plans anew. Not in the page.
  std::optional<Reading> flip_before;

  tc_clock_map& operator[](size_t clock) { return maps[clock]; }
  const tc_clock_map& operator[](size_t clock) const { return maps[clock]; }
  [[nodiscard]] const tc_clock_map& at(size_t clock) const { return maps.at(clock); }
  [[nodiscard]] static constexpr size_t size() { return TC_CLOCK_COUNT; }
  [[nodiscard]] const tc_clock_map* data() const { return maps.data(); }
  auto begin() { return maps.begin(); }
  auto end() { return maps.end(); }
  [[nodiscard]] auto begin() const { return maps.begin(); }
  [[nodiscard]] auto end() const { return maps.end(); }
  void fill(const tc_clock_map& map) { maps.fill(map); }
};

// fake = real + offset, never expiring.
tc_clock_map offset_map(std::chrono::nanoseconds offset);

// Every clock shown as it is, never expiring.
ClockMaps identity_maps();

// The maps of a page that are in force.
ClockMaps maps_in_force(const tc_clock_page& page);

// What a target sees of clock `clock` when the host reads `real`.
Reading apply(const ClockMaps& maps, int clock, Reading real);

// What the map of `clock` adds at `real`: fake - real, saturated to int64 nanoseconds.
std::chrono::nanoseconds shift_at(const ClockMaps& maps, int clock, Reading real);

// The map has expired when the host reads `real`.
bool is_over(const tc_clock_map& map, Reading real);

// The least and the most that `clock` shows while the host reads from `from` to `to`, however often
// a schedule steps in between.
struct Span {
  Reading low;
  Reading high;
};
Span shown_between(const ClockMaps& maps, int clock, Reading from, Reading to);

}  // namespace time_chaos::clock
