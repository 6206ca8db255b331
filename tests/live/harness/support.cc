// See support.h.
#include "tests/live/harness/support.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace time_chaos::live {

void PrintTo(const ExitStatus& status, std::ostream* out) {
  *out << text(status);
}

pid_t pid_in(const std::string& label) {
  const size_t blank = label.find(' ');
  if (blank == std::string::npos) return 0;
  return static_cast<pid_t>(std::strtol(label.c_str() + blank, nullptr, 10));
}

testing::AssertionResult is_ok(const Status& status) {
  if (status) return testing::AssertionSuccess();
  return testing::AssertionFailure() << status.error().line();
}

Repetitions::Repetitions(const char* name, int otherwise, int divisor, std::chrono::seconds limit)
    : name_(name), wanted_(otherwise) {
  if (const char* value = std::getenv(name); value != nullptr) {
    wanted_ = static_cast<int>(std::strtol(value, nullptr, 10));
  } else {
    end_ = std::chrono::steady_clock::now() + limit;
  }
  wanted_ = std::max(1, wanted_ / divisor);
}

Repetitions::~Repetitions() {
  if (done_ == wanted_) return;
  fmt::print("[   NOTE   ] {} of {} repetitions; set {} for all of them\n", done_, wanted_, name_);
}

bool Repetitions::next() {
  if (done_ == wanted_ || (end_ && std::chrono::steady_clock::now() > *end_)) return false;
  ++done_;
  return true;
}

testing::AssertionResult is_one_error_line(const std::string& err) {
  if (!err.starts_with("time-chaos: ")) {
    return testing::AssertionFailure() << "does not begin with \"time-chaos: \": \"" << err << "\"";
  }
  if (err.find('\n') != err.size() - 1) {
    return testing::AssertionFailure() << "is not one line: \"" << err << "\"";
  }
  return testing::AssertionSuccess();
}

testing::AssertionResult unchanged(const Snapshot& before, pid_t pid, Maps maps) {
  const auto found = lasting_differences(before, pid, maps);
  if (!found) return testing::AssertionFailure() << found.error().line();
  if (!found->empty()) return testing::AssertionFailure() << *found;
  return testing::AssertionSuccess();
}

}  // namespace time_chaos::live
