// The agent's sockets: what it answers, and to whom.
//
//   GET /healthz, /readyz, /metrics      to everybody who can connect
//   GET /status, POST /set, /recover     on sockets of the file system, which only their owner can
//   use
#pragma once

#include <functional>
#include <string>

#include "agent/experiment/control.h"
#include "agent/serve/server.h"

namespace time_chaos::experiment {

class Service : public Asker {
 public:
  // From the options that a client sends (the same as in a file of --config) to clocks.
  using ReadClocks = std::function<Result<clock::ClockSpec>(const std::string& body)>;

  Service(serve::Server server, ReadClocks read_clocks)
      : server_(std::move(server)), read_clocks_(std::move(read_clocks)) {}

  [[nodiscard]] int fd() const override { return server_.fd(); }
  void attend(Control& control) override;
  // For tests, too: what one request is answered.
  serve::Response answer(const serve::Request& request, Control& control) const;

 private:
  serve::Response ask(const serve::Request& request, Control& control) const;
  serve::Response set(const serve::Request& request, Control& control) const;

  serve::Server server_;
  ReadClocks read_clocks_;
};

}  // namespace time_chaos::experiment
