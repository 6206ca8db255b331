#include "agent/clock/schedule_file.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "agent/base/files.h"
#include "agent/clock/date.h"
#include "agent/clock/duration.h"
#include "agent/clock/json_entries.h"
#include "agent/clock/quoted.h"
#include "agent/clock/rate.h"

namespace time_chaos::clock {
namespace {

using std::chrono::nanoseconds;

constexpr size_t kMostSteps = 100'000;
constexpr size_t kMostBytes = 16 << 20;

constexpr const char* kFields =
    "known are at, offset, step, date, rate, drift, freeze, repeat, times";

class Reader {
 public:
  explicit Reader(const std::string& name) : name_(name) {}

  Result<Schedule> read(const std::vector<JsonEntry>& entries) {
    if (entries.empty()) {
      return fail(Exit::kUsage, name_ + ": the list is empty", "give it at least one entry");
    }
    for (const JsonEntry& entry : entries) TC_CHECK(read_entry(entry));
    return std::move(schedule_);
  }

 private:
  Status read_entry(const JsonEntry& entry) {
    entry_ = &entry;
    if (schedule_.loop) {
      return bad(entry.line, "an entry behind one that repeats forever", "give that one \"times\"");
    }
    for (const JsonField& field : entry.fields) TC_CHECK(check_known(field));
    const JsonField* at = find("at");
    if (at == nullptr) return bad(entry.line, R"(there is no "at")", R"(add one: "at": "10s")");
    TC_TRY(const nanoseconds when, span(*at));
    if (when < nanoseconds(0)) return bad(*at, "it is before the start", "use 0s or later");
    if (when < last_ || (when == last_ && any_ && find("repeat") == nullptr)) {
      return bad(
          *at,
          fmt::format("{} does not come after {}", format_duration(when), format_duration(last_)),
          "put the entries in the order of their time");
    }
    if (find("repeat") != nullptr) return read_repeat(when);
    TC_TRY(const Step step, read_step(when));
    schedule_.steps.push_back(step);
    last_ = when;
    any_ = true;
    return {};
  }

  Result<Step> read_step(nanoseconds when) {
    Step step;
    step.at = when;
    TC_TRY(const JsonField* const place, one_of({"offset", "step", "date"}));
    TC_TRY(const JsonField* const motion, one_of({"rate", "drift", "freeze"}));
    if (const JsonField* times = find("times")) {
      return bad(*times, "it is for entries with \"repeat\"", "leave it out");
    }
    if (place != nullptr && place->name == "date") {
      TC_TRY(const std::string text, string(*place, "a date"));
      const auto date = parse_date(text);
      if (!date) return bad(*place, date.error().message(), date.error().remedy());
      step.date = *date;
    } else if (place != nullptr) {
      TC_TRY((place->name == "step" ? step.by : step.offset), span(*place));
    }
    if (motion == nullptr) return step;
    if (motion->name == "freeze") {
      if (std::get_if<bool>(&motion->value) == nullptr || !std::get<bool>(motion->value)) {
        return bad(*motion, "it can only be true", "leave it out for a clock that runs");
      }
      step.rate = 0;
      return step;
    }
    std::string text;
    if (const auto* number = std::get_if<double>(&motion->value)) {
      text = fmt::format("{:.12f}", *number);
    } else {
      TC_TRY(text, string(*motion, "a number"));
    }
    const auto rate = motion->name == "rate" ? parse_rate(text) : parse_drift(text);
    if (!rate) return bad(*motion, rate.error().message(), rate.error().remedy());
    step.rate = *rate;
    return step;
  }

  // From `when` on, what happened since `from`.
  Status read_repeat(nanoseconds when) {
    const JsonField& repeat = *find("repeat");
    for (const JsonField& field : entry_->fields) {
      if (field.name != "at" && field.name != "repeat" && field.name != "times") {
        return bad(field, "it does not go with \"repeat\"", "give it an entry of its own");
      }
    }
    TC_TRY(const nanoseconds from, span(repeat));
    if (from < nanoseconds(0) || from >= when) {
      return bad(repeat, "it is not between the start and this entry",
                 "name the time since which things are repeated");
    }
    const JsonField* times = find("times");
    if (times == nullptr) {
      schedule_.loop = Schedule::Loop{from, when};
      return {};
    }
    const auto* count = std::get_if<double>(&times->value);
    if (count == nullptr || *count != std::floor(*count) || *count < 1 || *count > kMostSteps) {
      return bad(*times, "it is no number of times", fmt::format("use 1 to {}", kMostSteps));
    }
    return unroll(*times, from, when, static_cast<int64_t>(*count));
  }

  Status unroll(const JsonField& times, nanoseconds from, nanoseconds end, int64_t count) {
    std::vector<Step> round;
    Step first;
    first.at = from;
    for (const Step& step : schedule_.steps) {
      if (step.at < from) first.rate = step.rate;
      if (step.at >= from) round.push_back(step);
    }
    if (round.empty() || round.front().at != from) round.insert(round.begin(), first);
    if (schedule_.steps.size() + round.size() * static_cast<size_t>(count) > kMostSteps) {
      return bad(times, fmt::format("that makes more than {} steps", kMostSteps),
                 "repeat less often, or forever");
    }
    nanoseconds later = end - from;
    for (int64_t i = 0; i < count; i++) {
      for (Step step : round) {
        int64_t at = 0;
        if (__builtin_add_overflow(step.at.count(), later.count(), &at)) {
          return bad(times, "that takes more than 292 years", "repeat less often");
        }
        step.at = nanoseconds(at);
        schedule_.steps.push_back(step);
      }
      int64_t sum = 0;
      if (__builtin_add_overflow(later.count(), (end - from).count(), &sum) ||
          sum > INT64_MAX - from.count()) {
        return bad(times, "that takes more than 292 years", "repeat less often");
      }
      later = nanoseconds(sum);
    }
    // The next entry may begin where the last round ends.
    last_ = from + later;
    any_ = false;
    return {};
  }

  Status check_known(const JsonField& field) const {
    constexpr std::string_view kKnown[] = {"at",    "offset", "step",   "date", "rate",
                                           "drift", "freeze", "repeat", "times"};
    const bool known =
        std::find(std::begin(kKnown), std::end(kKnown), field.name) != std::end(kKnown);
    if (known) return {};
    return fail(Exit::kUsage,
                fmt::format("{}:{}: there is no field {}", name_, field.line, quoted(field.name)),
                kFields);
  }

  [[nodiscard]] const JsonField* find(std::string_view name) const {
    for (const JsonField& field : entry_->fields) {
      if (field.name == name) return &field;
    }
    return nullptr;
  }

  [[nodiscard]] Result<const JsonField*> one_of(
      std::initializer_list<std::string_view> names) const {
    const JsonField* found = nullptr;
    for (const std::string_view name : names) {
      const JsonField* field = find(name);
      if (field == nullptr) continue;
      if (found != nullptr) {
        return bad(*field, fmt::format("it does not go with \"{}\"", found->name),
                   "leave out one of them");
      }
      found = field;
    }
    return found;
  }

  [[nodiscard]] Result<std::string> string(const JsonField& field, const char* what) const {
    if (const auto* text = std::get_if<std::string>(&field.value)) return *text;
    return bad(field, fmt::format("it is not {}", what), "write it in quotes");
  }

  [[nodiscard]] Result<nanoseconds> span(const JsonField& field) const {
    TC_TRY(const std::string text, string(field, "a duration"));
    const auto duration = parse_duration(text);
    if (!duration) return bad(field, duration.error().message(), duration.error().remedy());
    return *duration;
  }

  [[nodiscard]] tl::unexpected<Error> bad(size_t line, const std::string& what,
                                          const std::string& remedy) const {
    return fail(Exit::kUsage, fmt::format("{}:{}: {}", name_, line, what), remedy);
  }
  [[nodiscard]] tl::unexpected<Error> bad(const JsonField& field, const std::string& what,
                                          const std::string& remedy) const {
    return bad(field.line, fmt::format("\"{}\": {}", field.name, what), remedy);
  }

  const std::string& name_;
  const JsonEntry* entry_ = nullptr;
  Schedule schedule_;
  nanoseconds last_{0};
  bool any_ = false;
};

}  // namespace

Result<Schedule> parse_schedule(std::string_view text, const std::string& name) {
  TC_TRY(const auto entries, parse_entries(text, name));
  return Reader(name).read(entries);
}

Result<Schedule> read_schedule(const std::string& path) {
  auto text = read_file(path);
  if (!text) return fail(text.error());
  if (text->size() > kMostBytes) {
    return fail(Exit::kUsage, path + " is too large for a schedule", "use a file below 16 MiB");
  }
  return parse_schedule(*text, path);
}

}  // namespace time_chaos::clock
