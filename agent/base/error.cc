#include "agent/base/error.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace time_chaos {
namespace {

std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  return text;
}

Exit kind_of(int error_number) {
  switch (error_number) {
    case EPERM:
    case EACCES:
      return Exit::kNotPermitted;
    case ESRCH:
      return Exit::kNoTarget;
    case ENOSYS:
    case EOPNOTSUPP:
      return Exit::kUnsupported;
    default:
      return Exit::kFailed;
  }
}

}  // namespace

Error::Error(Exit kind, std::string message, std::string remedy)
    : kind_(kind), message_(one_line(std::move(message))), remedy_(one_line(std::move(remedy))) {}

Error Error::from_errno(int error_number, std::string_view what) {
  Error error(kind_of(error_number), std::string(what) + ": " + std::strerror(error_number));
  error.errno_ = error_number;
  return error;
}

Error Error::because_of(std::string_view wider) const {
  Error error(kind_, std::string(wider), remedy_);
  error.errno_ = errno_;
  error.cause_ = std::make_shared<const Error>(*this);
  return error;
}

Error Error::with_remedy(std::string remedy) const {
  Error error = *this;
  error.remedy_ = one_line(std::move(remedy));
  return error;
}

Error Error::with_kind(Exit kind) const {
  Error error = *this;
  error.kind_ = kind;
  return error;
}

std::string Error::message() const {
  return cause_ ? message_ + ": " + cause_->message() : message_;
}

std::string Error::line() const {
  return remedy_.empty() ? message() : message() + "; " + remedy_;
}

tl::unexpected<Error> fail_errno(std::string_view what) {
  return tl::unexpected<Error>(Error::from_errno(errno, what));
}

}  // namespace time_chaos
