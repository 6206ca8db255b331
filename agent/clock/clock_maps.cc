#include "agent/clock/clock_maps.h"

#include <algorithm>
#include <vector>

namespace time_chaos::clock {
namespace {

using std::chrono::nanoseconds;

void widen(Span& span, Reading shown) {
  span.low = std::min(span.low, shown);
  span.high = std::max(span.high, shown);
}

// Instants since the anchor, within [from, to], at which the clock may turn or step. Where a loop
// runs through more than once in that time, those of one round are enough: the caller looks at both
// ends as well, and `gain` is in between.
std::vector<int64_t> turns(const tc_clock_table& table, int64_t from, int64_t to) {
  std::vector<int64_t> list;
  const auto add = [&](uint64_t at) {
    if (at == TC_NO_SEGMENT) return;
    const auto turn = static_cast<int64_t>(at);
    if (turn >= from && turn <= to) list.push_back(turn);
  };
  for (const tc_segment& segment : table.segments) add(segment.at);
  add(table.horizon);
  if (table.period == 0 || to < 0) return list;
  const uint64_t first =
      std::max<uint64_t>(table.loop_at, static_cast<uint64_t>(std::max<int64_t>(from, 0)));
  const uint64_t round = (first - table.loop_at) / table.period;
  for (uint64_t r = round; r <= round + 2; r++) {
    const uint64_t begin = table.loop_at + r * table.period;
    add(begin);
    for (const tc_segment& segment : table.segments) {
      if (segment.at == TC_NO_SEGMENT || segment.at < table.loop_at) continue;
      add(segment.at + r * table.period);
    }
  }
  return list;
}

}  // namespace

tc_clock_map offset_map(nanoseconds offset) {
  const Reading added = as_reading(offset);
  tc_clock_map map{};
  map.kind = TC_MAP_OFFSET;
  map.fake_sec = added.sec;
  map.fake_nsec = added.nsec;
  map.carry_nsec = static_cast<uint32_t>(TC_NSEC_PER_SEC - added.nsec);
  map.until_sec = TC_NEVER;
  return map;
}

ClockMaps identity_maps() {
  ClockMaps maps;
  maps.fill(offset_map(nanoseconds(0)));
  return maps;
}

ClockMaps maps_in_force(const tc_clock_page& page) {
  ClockMaps maps;
  const uint32_t latch = page.latch;
  std::copy_n(tc_page_maps(&page, latch), TC_CLOCK_COUNT, maps.begin());
  maps.table = *tc_page_table(&page, latch);
  return maps;
}

Reading apply(const ClockMaps& maps, int clock, Reading real) {
  if (clock < 0 || clock >= TC_CLOCK_COUNT) return real;
  tc_map_apply(&maps[static_cast<size_t>(clock)], &maps.table, &real.sec, &real.nsec);
  return real;
}

nanoseconds shift_at(const ClockMaps& maps, int clock, Reading real) {
  return minus(apply(maps, clock, real), real);
}

bool is_over(const tc_clock_map& map, Reading real) {
  return real >= Reading{map.until_sec, map.until_nsec};
}

Span shown_between(const ClockMaps& maps, int clock, Reading from, Reading to) {
  const Reading first = apply(maps, clock, from);
  Span span{first, first};
  widen(span, apply(maps, clock, to));
  const tc_clock_map& map = maps[static_cast<size_t>(clock)];
  if (map.kind == TC_MAP_OFFSET) return span;
  const Reading anchor{map.real_sec, map.real_nsec};
  const auto look_at = [&](Reading real) {
    if (real >= from && real <= to) widen(span, apply(maps, clock, real));
  };
  look_at(anchor);
  if (map.kind != TC_MAP_SCHEDULE) return span;
  nanoseconds slack{0};
  if (maps.table.jitter_shift != 0) slack = nanoseconds(maps.table.jitter_span);
  const int64_t begin = minus(plus(from, -slack), anchor).count();
  const int64_t end = minus(plus(to, slack), anchor).count();
  tc_clock_table plain = maps.table;
  plain.jitter_shift = 0;
  ClockMaps straight = maps;
  straight.table = plain;
  // With jitter an instant near by may be shown as well.
  if (slack != nanoseconds(0)) {
    widen(span, apply(straight, clock, plus(from, -slack)));
    widen(span, apply(straight, clock, plus(to, slack)));
  }
  for (const int64_t turn : turns(plain, begin, end)) {
    widen(span, apply(straight, clock, plus(anchor, nanoseconds(turn))));
    widen(span, apply(straight, clock, plus(anchor, nanoseconds(turn - 1))));
  }
  return span;
}

}  // namespace time_chaos::clock
