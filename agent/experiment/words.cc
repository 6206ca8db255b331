#include "agent/experiment/words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>

namespace time_chaos::experiment {

std::string moment(clock::Reading reading, bool fraction) {
  const auto seconds = static_cast<time_t>(reading.sec);
  tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return fmt::format("@{}", reading.sec);
  std::string text =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1,
                  parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  if (fraction) text += fmt::format(".{:09}", reading.nsec);
  return text + "Z";
}

std::string reading_text(int clock, clock::Reading reading) {
  if (!clock::is_monotonic(clock)) return moment(reading, false);
  return fmt::format("{}.{:03}s", reading.sec, reading.nsec / 1000000);
}

std::string milliseconds(std::chrono::nanoseconds time) {
  return fmt::format("{:.2f} ms", static_cast<double>(time.count()) / 1e6);
}

double microseconds(std::chrono::nanoseconds time) {
  return static_cast<double>(time.count()) / 1e3;
}

std::string patch_method(const payload::PatchRecord& patch) {
  return patch.length == 1 ? "one-byte" : "five-byte";
}

std::string patches_text(const std::vector<payload::PatchRecord>& patches) {
  std::string text;
  for (const payload::PatchRecord& patch : patches) {
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {} at {:#x}",
                        payload::function_name(static_cast<payload::Function>(patch.function)),
                        patch_method(patch), patch.entry);
  }
  return text;
}

std::string fake_text(const std::vector<payload::PatchRecord>& patches,
                      const std::string& library) {
  std::vector<std::string> shown;
  std::vector<std::string> real;
  for (const auto function : {payload::Function::kClockGettime, payload::Function::kGettimeofday,
                              payload::Function::kTime}) {
    const bool led = std::any_of(patches.begin(), patches.end(), [&](const auto& patch) {
      return patch.function == static_cast<uint32_t>(function);
    });
    (led ? shown : real).emplace_back(payload::function_name(function));
  }
  const auto list = [](const std::vector<std::string>& names) {
    if (names.size() < 3) return fmt::format("{}", fmt::join(names, " and "));
    return fmt::format("{}, {} and {}", names[0], names[1], names[2]);
  };
  std::string text = fmt::format("{} by {}", list(shown), library);
  if (real.empty()) return text;
  return text + fmt::format("; real {}: {}", real.size() == 1 ? "is" : "are", list(real));
}

std::string unloaded_text(const vdso::RecoverReport& report) {
  if (!report.unmapped) return fmt::format("{} still loaded", report.fake);
  if (report.fake_stays.empty()) return fmt::format("{} unloaded", report.fake);
  return fmt::format("{} stays loaded, unused ({})", report.fake, report.fake_stays);
}

}  // namespace time_chaos::experiment
