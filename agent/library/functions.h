// The four clock functions of a vDSO that a program can replace in itself.
#pragma once

#include <array>
#include <cstddef>

namespace time_chaos::library {

enum class Function : size_t { kClockGettime = 0, kGettimeofday, kTime, kClockGetres };

inline constexpr size_t kFunctionCount = 4;
inline constexpr std::array kFunctions = {Function::kClockGettime, Function::kGettimeofday,
                                          Function::kTime, Function::kClockGetres};
inline constexpr std::array<const char*, kFunctionCount> kSymbols = {
    "__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_clock_getres"};

constexpr size_t index(Function function) {
  return static_cast<size_t>(function);
}
// Those that a clock map changes: clock_getres shows no time.
constexpr bool is_mapped(Function function) {
  return function != Function::kClockGetres;
}

}  // namespace time_chaos::library
