// The server among clients that are slow, silent, greedy and many.
#include "agent/serve/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>

namespace time_chaos::serve {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Serving : public testing::Test {
 protected:
  Serving() : path_(testing::TempDir() + "tc-serve-" + std::to_string(::getpid())) {
    std::filesystem::remove(path_);
  }

  void start(milliseconds patience) {
    std::vector<Listener> listeners;
    for (const std::string& where : {std::string("127.0.0.1:0"), "unix:" + path_}) {
      auto listener = Listener::open(where);
      ASSERT_TRUE(listener) << listener.error().line();
      listeners.push_back(std::move(*listener));
    }
    auto server = Server::start(std::move(listeners), patience);
    ASSERT_TRUE(server) << server.error().line();
    server_.emplace(std::move(*server));
  }

  [[nodiscard]] ScopedFd connect_port() const {
    const std::string address = server_->listeners()[0].address();
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    ::inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    ScopedFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    return socket;
  }
  [[nodiscard]] ScopedFd connect_unix() const {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    path_.copy(to.sun_path, sizeof to.sun_path - 1);
    ScopedFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    return socket;
  }
  // As the agent's loop does it; false: there was nothing to do for so long.
  bool turn(int wait_ms) {
    pollfd waiting{server_->fd(), POLLIN, 0};
    if (::poll(&waiting, 1, wait_ms) != 1) return false;
    server_->serve(handler_);
    return true;
  }
  // What the server says until it closes the connection.
  std::string answer(const ScopedFd& socket) {
    std::string text;
    for (const auto end = steady_clock::now() + milliseconds(3000); steady_clock::now() < end;) {
      turn(5);
      char buffer[4096];
      const ssize_t got = ::recv(socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (got == 0) return text;
      if (got > 0) text.append(buffer, static_cast<size_t>(got));
    }
    return text + "(never closed)";
  }
  static void send(const ScopedFd& socket, const std::string& text) {
    EXPECT_EQ(::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }

  std::string path_;
  std::optional<Server> server_;
  std::vector<Request> asked_;
  Server::Handler handler_ = [this](const Request& request) {
    asked_.push_back(request);
    return Response{200, "text/plain", "for " + request.path + "\n"};
  };
};

TEST_F(Serving, AnswersAndKnowsWhoIsTrusted) {
  start(milliseconds(5000));
  const ScopedFd stranger = connect_port();
  send(stranger, "GET /a HTTP/1.1\r\n\r\n");
  EXPECT_THAT(answer(stranger), HasSubstr("\r\n\r\nfor /a\n"));
  const ScopedFd owner = connect_unix();
  send(owner, "POST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi");
  EXPECT_THAT(answer(owner), StartsWith("HTTP/1.1 200 OK\r\n"));
  ASSERT_EQ(asked_.size(), 2U);
  EXPECT_FALSE(asked_[0].trusted);
  EXPECT_TRUE(asked_[1].trusted);
  EXPECT_EQ(asked_[1].body, "hi");
}

TEST_F(Serving, TheSocketIsItsOwnersAndGoesWithTheServer) {
  start(milliseconds(5000));
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  const auto taken = Listener::open("unix:" + path_);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().line(), HasSubstr("somebody listens"));
  server_.reset();
  EXPECT_NE(::stat(path_.c_str(), &status), 0);
}

TEST_F(Serving, ASocketThatWasLeftBehindIsReplacedAndNothingElse) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path_.copy(at.sun_path, sizeof at.sun_path - 1);
  {
    const ScopedFd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  }
  EXPECT_TRUE(Listener::open("unix:" + path_));
  std::filesystem::create_directory(path_);
  EXPECT_FALSE(Listener::open("unix:" + path_));
  EXPECT_TRUE(std::filesystem::is_directory(path_));
  std::filesystem::remove(path_);
}

TEST_F(Serving, ASlowClientStopsNobodyAndIsLetGo) {
  start(milliseconds(150));
  const ScopedFd silent = connect_port();
  const ScopedFd slow = connect_port();
  send(slow, "GET /slow HT");
  const ScopedFd quick = connect_port();
  send(quick, "GET /quick HTTP/1.1\r\n\r\n");
  EXPECT_THAT(answer(quick), HasSubstr("for /quick"));
  EXPECT_EQ(answer(slow), "") << "closed without an answer, in time";
  EXPECT_EQ(answer(silent), "");
  EXPECT_FALSE(turn(200)) << "nobody is there: nothing wakes the agent";
}

TEST_F(Serving, AByteAtATime) {
  start(milliseconds(5000));
  const ScopedFd client = connect_port();
  for (const char c : std::string("GET /drop HTTP/1.1\r\nHost: x\r\n\r\n")) {
    send(client, std::string(1, c));
    turn(100);
  }
  EXPECT_THAT(answer(client), HasSubstr("for /drop"));
}

TEST_F(Serving, WhatIsNotReadIsNotWaitedFor) {
  start(milliseconds(300));
  handler_ = [](const Request&) { return Response{200, "text/plain", std::string(32 << 20, 'x')}; };
  const ScopedFd greedy = connect_port();
  send(greedy, "GET / HTTP/1.1\r\n\r\n");
  const auto before = steady_clock::now();
  while (steady_clock::now() - before < milliseconds(600)) turn(50);
  EXPECT_FALSE(turn(100)) << "it has been let go";
}

TEST_F(Serving, TooManyAreLetGoFromTheOldestOn) {
  start(milliseconds(5000));
  std::vector<ScopedFd> many;
  for (size_t i = 0; i < Server::kMostConnections + 8; i++) {
    many.push_back(connect_port());
    turn(100);
  }
  send(many.back(), "GET /last HTTP/1.1\r\n\r\n");
  EXPECT_THAT(answer(many.back()), HasSubstr("for /last"));
  EXPECT_EQ(answer(many.front()), "");
}

TEST(Listeners, NeedAnAddress) {
  for (const char* where : {"", "9000", "localhost:9000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
                            "127.0.0.1:70000", "unix:", "::1:9000x"}) {
    const auto listener = Listener::open(where);
    ASSERT_FALSE(listener) << where;
    EXPECT_EQ(listener.error().kind(), Exit::kUsage) << where;
  }
  EXPECT_FALSE(Listener::open("unix:" + std::string(200, 'x')));
  const auto six = Listener::open("[::1]:0");
  EXPECT_TRUE(!six || six->address().starts_with("[::1]:"));
}

}  // namespace
}  // namespace time_chaos::serve
