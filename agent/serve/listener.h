// Where the agent can be asked: a port, or a socket in the file system that only its owner may use.
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"

namespace time_chaos::serve {

class Listener {
 public:
  // "127.0.0.1:9000", "[::1]:9000", "unix:/run/time-chaos.sock". kUsage for anything else; a socket
  // that nobody listens to any more is replaced.
  static Result<Listener> open(const std::string& where);

  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&&) = delete;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();  // takes the socket out of the file system

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] bool trusted() const { return !path_.empty(); }
  // With the port that it has got where 0 was asked for: "127.0.0.1:40123".
  [[nodiscard]] std::string address() const;

 private:
  Listener(ScopedFd socket, std::string path)
      : socket_(std::move(socket)), path_(std::move(path)) {}
  static Result<Listener> open_unix(const std::string& path);
  static Result<Listener> open_port(const std::string& where);

  ScopedFd socket_;
  std::string path_;  // of a socket in the file system
};

}  // namespace time_chaos::serve
