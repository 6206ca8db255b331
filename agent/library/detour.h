// The detour of this process's own vDSO: where its functions can be made to jump, the pages to
// which they jump, and the jumps themselves.
//
// It is laid out once in a process and stays: a thread may be in our pages at any time. Without
// jumps into them they do nothing.
//
//   code page    the payload, with the original clock_gettime; the landings
//   clock page   as everywhere (abi/clock_page.h), but private: a forked child has its own
//   cells        one pointer a function: where its landing goes on
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/elf/vdso_image.h"
#include "agent/library/functions.h"
#include "agent/library/own_code.h"
#include "agent/library/sites.h"
#include "agent/vdso/placement.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::library {

// What one function's detour consists of.
struct Way {
  Site site;
  uint64_t at = 0;   // the address of the site
  uint64_t pad = 0;  // where a jump of one changed byte lands; 0: the whole jump is written
  std::vector<uint8_t> original;
  std::vector<uint8_t> patched;
};

enum class Choice {
  kAuto,  // one byte wherever it can be
  // For the tests:
  kWords,        // whole jumps wherever they can be
  kBehindEntry,  // never at the entry itself
};

class Detour {
 public:
  static Result<Detour> lay_out(Choice choice = Choice::kAuto);

  // Has no effect where it is done already. kUnsupported where the function has no way.
  Status patch(Function function);
  Status unpatch(Function function);
  [[nodiscard]] bool is_patched(Function function) const { return patched_[index(function)]; }
  // The vDSO's own pages again, not our copy: when nothing is patched.
  Status release() const;

  // Where the function goes when it is called.
  void lead(Function function, uint64_t to);
  [[nodiscard]] uint64_t mapped_hook(Function function) const;  // not for clock_getres
  [[nodiscard]] uint64_t original_clock_gettime() const;
  [[nodiscard]] tc_clock_page& page() const;
  [[nodiscard]] const std::optional<Way>& way(Function function) const {
    return ways_[index(function)];
  }

 private:
  explicit Detour(elf::VdsoImage image, payload::PageRange vdso)
      : image_(std::move(image)), vdso_(vdso), code_text_(vdso) {}
  friend class Layout;

  [[nodiscard]] Status write(Function function, bool patched);

  elf::VdsoImage image_;  // as the vDSO was before
  payload::PageRange vdso_;
  OwnCode code_text_;
  uint64_t code_ = 0;
  std::array<std::optional<Way>, kFunctionCount> ways_;
  std::array<std::optional<Error>, kFunctionCount> why_not_;
  [[nodiscard]] Error why_not(Function function) const;
  std::array<bool, kFunctionCount> patched_{};
};

}  // namespace time_chaos::library
