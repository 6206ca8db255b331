#include "agent/targets/pick.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <random>

#include "agent/targets/proc_text.h"

namespace time_chaos::targets {
namespace {

// How many of `count`.
Result<size_t> how_many(size_t count, const std::string& mode,
                        const std::optional<std::string>& value, std::mt19937_64& random) {
  const bool wants_value =
      mode == "fixed" || mode == "fixed-percent" || mode == "random-max-percent";
  if (!wants_value) {
    if (mode != "all" && mode != "one") {
      return fail(Exit::kUsage, fmt::format("--mode {} is not known", mode),
                  "use all, one, fixed, fixed-percent or random-max-percent");
    }
    if (value && !value->empty()) {
      return fail(Exit::kUsage, fmt::format("--mode {} wants no --value", mode),
                  "leave out --value, or use fixed, fixed-percent or random-max-percent");
    }
    return mode == "all" ? count : std::min<size_t>(count, 1);
  }
  const auto number = value ? to_number<size_t>(*value) : std::nullopt;
  const bool percent = mode != "fixed";
  if (!number || *number == 0 || (percent && *number > 100)) {
    return fail(Exit::kUsage, fmt::format("--mode {} wants a --value", mode),
                percent ? "give a number from 1 to 100" : "give a number above 0");
  }
  if (!percent) return std::min(count, *number);
  const size_t most = std::max<size_t>(1, count * *number / 100);
  if (mode == "fixed-percent") return std::min(count, most);
  return std::min(count, std::uniform_int_distribution<size_t>(1, most)(random));
}

}  // namespace

Result<std::vector<std::string>> pick(std::vector<std::string> from, const std::string& mode,
                                      const std::optional<std::string>& value) {
  std::mt19937_64 random(std::random_device{}());
  TC_TRY(const size_t count, how_many(from.size(), mode, value, random));
  std::vector<std::string> picked;
  std::sample(std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()),
              std::back_inserter(picked), count, random);
  return picked;
}

}  // namespace time_chaos::targets
