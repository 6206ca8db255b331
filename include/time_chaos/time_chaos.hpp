// SPDX-License-Identifier: Apache-2.0
// time-chaos, the library, for C++17: layers that are taken off where their scope ends. What they do,
// and when they may be used, stands in time_chaos.h.
//
//   time_chaos::Freezer clock(when);      // a std::chrono::system_clock::time_point
//   if (!clock) return fail(clock.message());
//   clock.tick(std::chrono::minutes(5));
//
// Nothing here throws: whether a layer is in force is asked of it. One object is not for several
// threads at once; the clock is for all of them.
#ifndef TIME_CHAOS_TIME_CHAOS_HPP
#define TIME_CHAOS_TIME_CHAOS_HPP

#include <chrono>
#include <string>
#include <utility>

#include "time_chaos/time_chaos.h"

namespace time_chaos {

// A layer, whatever it does. Empty ones and those that were refused are not in force.
class Layer {
 public:
  Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;
  Layer(Layer&& other) noexcept
      : id_(std::exchange(other.id_, 0)),
        status_(other.status_),
        message_(std::move(other.message_)) {}
  Layer& operator=(Layer&& other) noexcept {
    if (this == &other) return *this;
    restore();
    id_ = std::exchange(other.id_, 0);
    status_ = other.status_;
    message_ = std::move(other.message_);
    return *this;
  }
  ~Layer() { restore(); }

  // In force.
  explicit operator bool() const { return id_ != 0; }
  // What the last call said: TC_OK or why not.
  tc_status status() const { return status_; }
  const std::string& message() const { return message_; }
  tc_layer id() const { return id_; }

  // Takes it off before its scope ends. Has no effect the second time.
  tc_status restore() {
    if (id_ != 0) note(tc_restore(std::exchange(id_, 0)));
    return status_;
  }

 protected:
  tc_status note(tc_status status) {
    status_ = status;
    message_ = status < 0 ? tc_message() : "";
    return status;
  }
  void install(const tc_clock& clock) { note(tc_install_map(&clock, &id_)); }
  void install(const tc_functions& functions, void* data) {
    note(tc_install(&functions, data, &id_));
  }
  tc_status change(const tc_clock& clock) { return note(tc_change(id_, &clock)); }

 private:
  tc_layer id_ = 0;
  tc_status status_ = TC_OK;
  std::string message_;
};

// Any clock map.
class Map : public Layer {
 public:
  explicit Map(const tc_clock& clock) { install(clock); }
  using Layer::change;
};

// The wall clock, by so much ahead of real time (or behind it).
class Shift : public Layer {
 public:
  explicit Shift(std::chrono::nanoseconds offset) { install(request(offset)); }
  tc_status move_to(std::chrono::nanoseconds offset) { return change(request(offset)); }

 private:
  static tc_clock request(std::chrono::nanoseconds offset) {
    const auto whole = std::chrono::floor<std::chrono::seconds>(offset);
    tc_clock clock = TC_CLOCK_INIT;
    clock.start = TC_BY_OFFSET;
    clock.value.tv_sec = whole.count();
    clock.value.tv_nsec = (offset - whole).count();
    return clock;
  }
};

// The wall clock at another speed, from what it shows.
class Rate : public Layer {
 public:
  explicit Rate(double rate) { install(request(rate)); }
  tc_status change_to(double rate) { return change(request(rate)); }

 private:
  static tc_clock request(double rate) {
    tc_clock clock = TC_CLOCK_INIT;
    clock.rate = rate;
    return clock;
  }
};

// The wall clock stands still, until it is moved.
class Freezer : public Layer {
 public:
  using TimePoint = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

  // Where it is.
  Freezer() {
    tc_clock clock = TC_CLOCK_INIT;
    clock.rate = 0;
    install(clock);
    if (*this) shown_ = std::chrono::system_clock::now();
  }
  explicit Freezer(TimePoint at) : shown_(at) { install(request(at)); }

  tc_status move_to(TimePoint at) {
    const tc_status status = change(request(at));
    if (status >= 0) shown_ = at;
    return status;
  }
  tc_status tick(std::chrono::nanoseconds by = std::chrono::seconds(1)) {
    return move_to(shown_ + by);
  }
  TimePoint shown() const { return shown_; }

 private:
  static tc_clock request(TimePoint at) {
    const auto since = at.time_since_epoch();
    const auto whole = std::chrono::floor<std::chrono::seconds>(since);
    tc_clock clock = TC_CLOCK_INIT;
    clock.start = TC_AT;
    clock.value.tv_sec = whole.count();
    clock.value.tv_nsec = (since - whole).count();
    clock.rate = 0;
    return clock;
  }

  TimePoint shown_;
};

// A function of one's own in place of clock_gettime: anything that can be called, without throwing, as
//   int (clockid_t, timespec&, const tc_original&)
// by all threads at once. It lives in this object, which therefore stays where it is.
template <typename F>
class ClockGettime : public Layer {
 public:
  explicit ClockGettime(F function) : function_(std::move(function)) {
    tc_functions functions{};
    functions.clock_gettime = [](clockid_t clock, timespec* into, const tc_original* original,
                                 void* self) noexcept -> int {
      return static_cast<ClockGettime*>(self)->function_(clock, *into, *original);
    };
    install(functions, this);
  }
  ClockGettime(const ClockGettime&) = delete;
  ClockGettime& operator=(const ClockGettime&) = delete;
  ClockGettime(ClockGettime&&) = delete;
  ClockGettime& operator=(ClockGettime&&) = delete;
  ~ClockGettime() { restore(); }  // before function_ goes

 private:
  F function_;
};

}  // namespace time_chaos

#endif
