#include "agent/serve/server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace time_chaos::serve {
namespace {

using std::chrono::steady_clock;

constexpr int kMostEvents = 16;
constexpr size_t kRead = 4096;

}  // namespace

Result<Server> Server::start(std::vector<Listener> listeners, std::chrono::milliseconds patience) {
  ScopedFd events(::epoll_create1(EPOLL_CLOEXEC));
  if (!events.valid()) return fail_errno("epoll_create1");
  ScopedFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.valid()) return fail_errno("timerfd_create");
  Server server(std::move(listeners), std::move(events), std::move(timer), patience);
  TC_CHECK(server.watch(server.timer_.get(), EPOLLIN, EPOLL_CTL_ADD));
  for (const Listener& listener : server.listeners_) {
    TC_CHECK(server.watch(listener.fd(), EPOLLIN, EPOLL_CTL_ADD));
  }
  return server;
}

Status Server::watch(int fd, uint32_t what, int operation) const {
  epoll_event event{};
  event.events = what;
  event.data.fd = fd;
  if (::epoll_ctl(events_.get(), operation, fd, &event) != 0) return fail_errno("epoll_ctl");
  return {};
}

void Server::serve(const Handler& handler) {
  std::array<epoll_event, kMostEvents> events{};
  const int count = ::epoll_wait(events_.get(), events.data(), kMostEvents, 0);
  for (int i = 0; i < count; i++) {
    const int fd = events[static_cast<size_t>(i)].data.fd;
    if (fd == timer_.get()) {
      uint64_t times = 0;
      (void)!::read(timer_.get(), &times, sizeof times);
      continue;
    }
    const auto listener = std::find_if(listeners_.begin(), listeners_.end(),
                                       [&](const Listener& l) { return l.fd() == fd; });
    if (listener != listeners_.end()) {
      accept(*listener);
      continue;
    }
    const auto found = connections_.find(fd);
    if (found == connections_.end()) continue;
    Connection& connection = found->second;
    const bool goes_on = connection.out.empty() ? receive(connection, handler) : send(connection);
    if (!goes_on) connections_.erase(found);
  }
  end_late();
  set_timer();
}

// One at a time: the others are announced again.
void Server::accept(const Listener& listener) {
  ScopedFd socket(::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) return;
  if (connections_.size() >= kMostConnections) {  // whoever has waited longest has had his time
    const auto oldest = std::min_element(
        connections_.begin(), connections_.end(),
        [](const auto& a, const auto& b) { return a.second.deadline < b.second.deadline; });
    connections_.erase(oldest);
  }
  const int fd = socket.get();
  if (!watch(fd, EPOLLIN, EPOLL_CTL_ADD)) return;
  connections_.emplace(fd, Connection{std::move(socket), listener.trusted(),
                                      steady_clock::now() + patience_, "", ""});
}

bool Server::receive(Connection& connection, const Handler& handler) {
  std::array<char, kRead> buffer{};
  const ssize_t got = ::recv(connection.socket.get(), buffer.data(), buffer.size(), 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  connection.in.append(buffer.data(), static_cast<size_t>(got));
  Parsed parsed = parse_request(connection.in);
  if (std::holds_alternative<std::monostate>(parsed)) return true;
  bool head_only = false;
  if (auto* request = std::get_if<Request>(&parsed)) {
    request->trusted = connection.trusted;
    head_only = request->method == "HEAD";
    if (head_only) request->method = "GET";
    parsed = handler(*request);
  }
  connection.out = written(std::get<Response>(parsed), head_only);
  return send(connection);
}

bool Server::send(Connection& connection) const {
  const int fd = connection.socket.get();
  const ssize_t sent = ::send(fd, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
  if (sent > 0) connection.out.erase(0, static_cast<size_t>(sent));
  if (!connection.out.empty()) return watch(fd, EPOLLOUT, EPOLL_CTL_MOD).has_value();
  // What it has sent too much would otherwise turn our close into a reset that takes the answer
  // away.
  ::shutdown(fd, SHUT_WR);
  std::array<char, kRead> rest{};
  (void)!::recv(fd, rest.data(), rest.size(), MSG_DONTWAIT);
  return false;
}

void Server::end_late() {
  const auto now = steady_clock::now();
  std::erase_if(connections_, [&](const auto& entry) { return entry.second.deadline <= now; });
}

// Not set while nobody is connected: an idle agent does not wake up.
void Server::set_timer() const {
  itimerspec when{};
  for (const auto& [fd, connection] : connections_) {
    const auto left = std::max<std::chrono::nanoseconds>(connection.deadline - steady_clock::now(),
                                                         std::chrono::milliseconds(1));
    const std::chrono::nanoseconds set = std::chrono::seconds(when.it_value.tv_sec) +
                                         std::chrono::nanoseconds(when.it_value.tv_nsec);
    if (set.count() != 0 && set <= left) continue;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    when.it_value.tv_sec = seconds.count();
    when.it_value.tv_nsec = (left - seconds).count();
  }
  ::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

}  // namespace time_chaos::serve
