// What is said of many samples. Medians, because other processes disturb single ones.
#pragma once

#include <algorithm>
#include <vector>

namespace time_chaos::bench {

// Of `samples`, which must not be empty; `share` in [0, 1]: 0.5 is the median, 1 the maximum.
inline double quantile(std::vector<double> samples, double share) {
  const auto last = static_cast<double>(samples.size() - 1);
  const auto at = static_cast<std::ptrdiff_t>(share * last + 0.5);
  std::nth_element(samples.begin(), samples.begin() + at, samples.end());
  return samples[static_cast<size_t>(at)];
}

inline double median(std::vector<double> samples) {
  return quantile(std::move(samples), 0.5);
}

// Round by round: what was measured against what, in the same round.
inline std::vector<double> ratios(const std::vector<double>& of, const std::vector<double>& to) {
  std::vector<double> result;
  for (size_t i = 0; i < std::min(of.size(), to.size()); ++i) result.push_back(of[i] / to[i]);
  return result;
}

}  // namespace time_chaos::bench
