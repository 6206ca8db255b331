#include "agent/clock/date.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>

#include "agent/clock/quoted.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::clock {
namespace {

// What is left of a text; every take that does not fit makes it bad.
class Rest {
 public:
  explicit Rest(std::string_view text) : text_(text) {}

  // Exactly `digits` of them.
  int number(size_t digits) {
    int value = 0;
    for (size_t i = 0; i < digits; i++) {
      if (text_.empty() || text_.front() < '0' || text_.front() > '9') {
        good_ = false;
        return 0;
      }
      value = value * 10 + (text_.front() - '0');
      text_.remove_prefix(1);
    }
    return value;
  }
  bool take(std::string_view any_of) {
    if (text_.empty() || any_of.find(text_.front()) == std::string_view::npos) return false;
    text_.remove_prefix(1);
    return true;
  }
  void must_take(std::string_view any_of) { good_ = take(any_of) && good_; }
  // ".25", if it is there; below a nanosecond it is dropped.
  int64_t nanoseconds() {
    if (!take(".")) return 0;
    int64_t value = 0;
    int64_t unit = TC_NSEC_PER_SEC;
    size_t digits = 0;
    for (; !text_.empty() && text_.front() >= '0' && text_.front() <= '9'; digits++) {
      if (unit > 1) {
        unit /= 10;
        value += (text_.front() - '0') * unit;
      }
      text_.remove_prefix(1);
    }
    if (digits == 0) good_ = false;
    return value;
  }
  [[nodiscard]] std::string_view text() const { return text_; }
  [[nodiscard]] bool good_to_the_end() const { return good_ && text_.empty(); }
  [[nodiscard]] bool good() const { return good_; }

 private:
  std::string_view text_;
  bool good_ = true;
};

tl::unexpected<Error> bad(std::string_view text, const std::string& why) {
  return fail(Exit::kUsage, "bad date " + quoted(text) + ": " + why,
              "write it like 2030-01-01T00:00:00Z, 2030-01-01T02:00:00+02:00 or @1893456000");
}

Result<Reading> in_range(std::string_view text, Reading reading) {
  if (reading.sec < 0) {
    return fail(Exit::kUsage,
                "the date " + quoted(text) + " is before 1970, to which no clock can be set",
                "use 1970-01-01T00:00:00Z or later");
  }
  if (reading.sec > TC_LAST_SEC) {
    return fail(Exit::kUsage,
                "the date " + quoted(text) + " is after 2262: as nanoseconds it leaves 64 bits",
                "use " + format_date({TC_LAST_SEC, 0}) + " or earlier");
  }
  return reading;
}

// "@1893456000.25"
Result<Reading> parse_unix(std::string_view text) {
  Rest rest(text.substr(1));
  const bool negative = rest.take("-");
  int64_t seconds = 0;
  size_t digits = 0;
  while (!rest.text().empty() && rest.text().front() >= '0' && rest.text().front() <= '9') {
    if (++digits > 18) return bad(text, "it is too large");
    seconds = seconds * 10 + rest.number(1);
  }
  const int64_t nsec = rest.nanoseconds();
  if (digits == 0 || !rest.good_to_the_end()) return bad(text, "a number is missing");
  if (negative && (seconds != 0 || nsec != 0)) return in_range(text, {-1, 0});
  return in_range(text, {seconds, nsec});
}

}  // namespace

Result<Reading> parse_date(std::string_view text) {
  if (!text.empty() && text.front() == '@') return parse_unix(text);
  Rest rest(text);
  const int year = rest.number(4);
  rest.must_take("-");
  const int month = rest.number(2);
  rest.must_take("-");
  const int day = rest.number(2);
  if (!rest.good()) return bad(text, "there is no day like 2030-01-01 in it");
  rest.must_take("Tt ");
  const int hour = rest.number(2);
  rest.must_take(":");
  const int minute = rest.number(2);
  rest.must_take(":");
  const int second = rest.number(2);
  const int64_t nsec = rest.nanoseconds();
  if (!rest.good()) return bad(text, "there is no time like 00:00:00 in it");
  int64_t zone = 0;
  if (!rest.take("Zz")) {
    const bool west = rest.take("-");
    if (!west) rest.must_take("+");
    const int hours = rest.number(2);
    rest.must_take(":");
    const int minutes = rest.number(2);
    if (!rest.good() || hours > 23 || minutes > 59) return bad(text, "its zone is missing");
    zone = (hours * 60 + minutes) * (west ? -60 : 60);
  }
  if (!rest.good_to_the_end()) return bad(text, "there is something behind it");
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) {
    return bad(text, "there is no such day or time");
  }
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return in_range(text, {days * 86'400 + hour * 3600 + minute * 60 + second - zone, nsec});
}

std::string format_date(Reading reading) {
  const auto days = std::chrono::floor<std::chrono::days>(std::chrono::seconds(reading.sec));
  const std::chrono::year_month_day date{std::chrono::sys_days(days)};
  const int64_t second = reading.sec - std::chrono::seconds(days).count();
  std::string text =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  second / 3600, second / 60 % 60, second % 60);
  if (reading.nsec != 0) {
    text += fmt::format(".{:09}", reading.nsec);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text + "Z";
}

}  // namespace time_chaos::clock
