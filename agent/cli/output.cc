#include "agent/cli/output.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/experiment/report.h"

namespace time_chaos::cli {

void say(const std::string& text) {
  fmt::print("{}\n", text);
  std::fflush(stdout);
}

void say(nlohmann::json object, const OutputOptions& output) {
  if (output.log) {
    const auto now =
        std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    object["time"] = fmt::format("{:%FT%T}Z", now);
  }
  // Process names are bytes, not always UTF-8.
  say(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

int report(const Error& error, const OutputOptions& output) {
  if (output.json) say(experiment::json(error), output);
  if (!output.log) fmt::print(stderr, "time-chaos: {}\n", error.line());
  return static_cast<int>(error.kind());
}

void Tally::bad(const Error& error) {
  bad_++;
  worst_ = static_cast<int>(error.kind());
}

int Tally::exit_code() const {
  if (bad_ == 0) return static_cast<int>(Exit::kOk);
  return good_ > 0 ? static_cast<int>(Exit::kPartial) : worst_;
}

}  // namespace time_chaos::cli
