#include "agent/serve/listener.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace time_chaos::serve {
namespace {

constexpr int kBacklog = 16;

// The socket's addresses are all passed as the same type.
const sockaddr* as_address(const void* address) {
  return static_cast<const sockaddr*>(address);
}

tl::unexpected<Error> unusable(const std::string& where) {
  return fail(Exit::kUsage, fmt::format("--listen {} is no address", where),
              "use --listen 127.0.0.1:PORT or --listen unix:PATH");
}

// A socket that an agent left behind when it was killed.
Status remove_if_dead(const sockaddr_un& address, socklen_t size) {
  struct stat status {};
  if (::lstat(address.sun_path, &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return fail(Exit::kUsage, fmt::format("{} is there, and no socket", address.sun_path),
                "name another path");
  }
  const ScopedFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(probe.get(), as_address(&address), size) == 0 || errno != ECONNREFUSED) {
    return fail(Exit::kFailed, fmt::format("somebody listens to {} already", address.sun_path),
                "end it, or name another path");
  }
  ::unlink(address.sun_path);
  return {};
}

}  // namespace

Listener::Listener(Listener&& other) noexcept
    : socket_(std::move(other.socket_)), path_(std::exchange(other.path_, "")) {}

Listener::~Listener() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

Result<Listener> Listener::open(const std::string& where) {
  constexpr std::string_view kUnix = "unix:";
  if (where.starts_with(kUnix)) return open_unix(where.substr(kUnix.size()));
  return open_port(where);
}

Result<Listener> Listener::open_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return unusable("unix:" + path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  TC_CHECK(remove_if_dead(address, sizeof address));
  ScopedFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return fail_errno("make a socket");
  // From its first moment on: nobody else may connect.
  const mode_t before = ::umask(0177);
  const int bound = ::bind(socket.get(), as_address(&address), sizeof address);
  const int error = errno;
  ::umask(before);
  if (bound != 0) return fail(Error::from_errno(error, "make the socket " + path));
  Listener listener(std::move(socket), path);
  if (::listen(listener.fd(), kBacklog) != 0) return fail_errno("listen to " + path);
  return listener;
}

Result<Listener> Listener::open_port(const std::string& where) {
  const size_t colon = where.rfind(':');
  if (colon == std::string::npos) return unusable(where);
  uint16_t port = 0;
  const char* const last = where.data() + where.size();
  const auto [end, error] = std::from_chars(where.data() + colon + 1, last, port);
  if (error != std::errc() || end != last) return unusable(where);
  std::string host = where.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  sockaddr_in four{};
  sockaddr_in6 six{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  const bool is_four = ::inet_pton(AF_INET, host.c_str(), &four.sin_addr) == 1;
  if (!is_four && ::inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) != 1) return unusable(where);
  ScopedFd socket(
      ::socket(is_four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return fail_errno("make a socket");
  const int yes = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const void* address = is_four ? static_cast<const void*>(&four) : &six;
  const socklen_t size = is_four ? sizeof four : sizeof six;
  if (::bind(socket.get(), as_address(address), size) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return fail_errno("listen on " + where);
  }
  return Listener(std::move(socket), "");
}

std::string Listener::address() const {
  if (trusted()) return "unix:" + path_;
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
    return fmt::format("{}:{}", text, ntohs(four.sin_port));
  }
  const auto& six = reinterpret_cast<const sockaddr_in6&>(address);
  ::inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
  return fmt::format("[{}]:{}", text, ntohs(six.sin6_port));
}

}  // namespace time_chaos::serve
