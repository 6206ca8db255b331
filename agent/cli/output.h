// Where the program's words go: answers to stdout, errors to stderr, one line each.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "agent/base/error.h"
#include "agent/cli/options.h"

namespace time_chaos::cli {

void say(const std::string& text);
void say(nlohmann::json object, const OutputOptions& output);  // in a log with its time
// "time-chaos: ..." on stderr; with --json an object on stdout as well. Returns the exit code.
int report(const Error& error, const OutputOptions& output);

// One exit code for many targets: all well, all failed alike, or done in part.
class Tally {
 public:
  void good() { good_++; }
  void bad(const Error& error);
  [[nodiscard]] int exit_code() const;

 private:
  int good_ = 0;
  int bad_ = 0;
  int worst_ = 0;
};

}  // namespace time_chaos::cli
