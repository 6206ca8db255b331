// A small HTTP server without a thread: one descriptor that is readable when there is something to
// do. No client, however slow, silent or many, keeps the agent from its work: reads and writes
// never block, and every connection has a deadline.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"
#include "agent/serve/http.h"
#include "agent/serve/listener.h"

namespace time_chaos::serve {

class Server {
 public:
  static constexpr size_t kMostConnections = 32;
  using Handler = std::function<Response(const Request&)>;

  static Result<Server> start(std::vector<Listener> listeners,
                              std::chrono::milliseconds patience = std::chrono::seconds(5));

  [[nodiscard]] int fd() const { return events_.get(); }
  [[nodiscard]] const std::vector<Listener>& listeners() const { return listeners_; }
  // Does what there is to do now, and calls `handler` for every request that is complete.
  void serve(const Handler& handler);

 private:
  using Moment = std::chrono::steady_clock::time_point;
  struct Connection {
    ScopedFd socket;
    bool trusted = false;
    Moment deadline;
    std::string in;
    std::string out;  // what is still to be sent; empty: no answer yet
  };

  Server(std::vector<Listener> listeners, ScopedFd events, ScopedFd timer,
         std::chrono::milliseconds patience)
      : listeners_(std::move(listeners)),
        events_(std::move(events)),
        timer_(std::move(timer)),
        patience_(patience) {}
  Status watch(int fd, uint32_t what, int operation) const;
  void accept(const Listener& listener);
  // False: it is done with.
  bool receive(Connection& connection, const Handler& handler);
  bool send(Connection& connection) const;
  void end_late();
  void set_timer() const;

  std::vector<Listener> listeners_;
  ScopedFd events_;
  ScopedFd timer_;
  std::chrono::milliseconds patience_;
  std::map<int, Connection> connections_;
};

}  // namespace time_chaos::serve
