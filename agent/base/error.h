// What went wrong, why, and what to do about it: the value that every fallible function returns.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace time_chaos {

// The program's exit codes (DESIGN §7). `kind()` of an error becomes the exit code.
enum class Exit : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kNotPermitted = 3,
  kNoTarget = 4,
  kUnsupported = 5,
  kPartial = 6,
};

// A message, an optional remedy, and a chain of causes. Prints as one line:
//   cannot shift 77 (postgres): already traced by gdb (pid 81); detach it and try again
class Error {
 public:
  Error(Exit kind, std::string message, std::string remedy = {});

  // From an errno value: EPERM/EACCES -> kNotPermitted, ESRCH -> kNoTarget, ENOSYS -> kUnsupported,
  // others kFailed. `what` says what was attempted ("open /proc/7/mem").
  static Error from_errno(int error_number, std::string_view what);

  // This error as the cause of a wider failure. The kind and the remedy stay those of the cause.
  [[nodiscard]] Error because_of(std::string_view wider) const;

  [[nodiscard]] Exit kind() const { return kind_; }
  [[nodiscard]] int error_number() const { return errno_; }  // 0 where no system call failed
  [[nodiscard]] const std::string& remedy() const { return remedy_; }
  [[nodiscard]] Error with_remedy(std::string remedy) const;
  [[nodiscard]] Error with_kind(Exit kind) const;

  // The whole chain, outermost first, "a: b: c; remedy". Never contains a newline.
  [[nodiscard]] std::string line() const;
  // The chain without the remedy.
  [[nodiscard]] std::string message() const;

 private:
  Exit kind_;
  int errno_ = 0;
  std::string message_;
  std::string remedy_;
  std::shared_ptr<const Error> cause_;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = tl::expected<void, Error>;

inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}
inline tl::unexpected<Error> fail(Exit kind, std::string message, std::string remedy = {}) {
  return tl::unexpected<Error>(Error(kind, std::move(message), std::move(remedy)));
}
// From errno as it stands now.
tl::unexpected<Error> fail_errno(std::string_view what);

}  // namespace time_chaos

// Hands an error on to the caller. For functions that return Result or Status.
// NOLINTBEGIN(bugprone-macro-parentheses): `decl` is a declaration.
#define TC_CONCAT_(a, b) a##b
#define TC_CONCAT(a, b) TC_CONCAT_(a, b)
#define TC_TRY_(tmp, decl, expr)                                       \
  auto tmp = (expr);                                                   \
  if (!tmp) return ::tl::unexpected<::time_chaos::Error>(tmp.error()); \
  decl = std::move(*tmp)
#define TC_TRY(decl, expr) TC_TRY_(TC_CONCAT(tc_try_, __LINE__), decl, expr)
#define TC_CHECK(expr)                                                \
  do {                                                                \
    if (auto tc_check = (expr); !tc_check)                            \
      return ::tl::unexpected<::time_chaos::Error>(tc_check.error()); \
  } while (0)
// NOLINTEND(bugprone-macro-parentheses)
