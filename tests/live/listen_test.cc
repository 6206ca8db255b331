// A living agent asked over its sockets.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "agent/base/scoped_fd.h"
#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;
using testing::HasSubstr;
using testing::StartsWith;

std::string socket_path() {
  return fmt::format("{}tc-listen-{}", testing::TempDir(), ::getpid());
}

// A port that nobody has just now.
uint16_t free_port() {
  const ScopedFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), size);
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&at), &size);
  return ntohs(at.sin_port);
}

ScopedFd connect(uint16_t port) {
  ScopedFd socket(::socket(port == 0 ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un path{};
  sockaddr_in at{};
  path.sun_family = AF_UNIX;
  socket_path().copy(path.sun_path, sizeof path.sun_path - 1);
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(port);
  const int failed = port == 0
                         ? ::connect(socket.get(), reinterpret_cast<sockaddr*>(&path), sizeof path)
                         : ::connect(socket.get(), reinterpret_cast<sockaddr*>(&at), sizeof at);
  if (failed != 0) socket.reset();
  return socket;
}

// `port` 0: the socket of the file system.
Result<std::string> ask(uint16_t port, const std::string& method, const std::string& path,
                        const std::string& body = "") {
  const ScopedFd socket = connect(port);
  if (!socket.valid()) return fail(Exit::kFailed, "nobody listens");
  const std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}",
                                       method, path, body.size(), body);
  (void)!::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
  std::string answer;
  for (;;) {
    pollfd waiting{socket.get(), POLLIN, 0};
    if (::poll(&waiting, 1, 5000) != 1) return fail(Exit::kFailed, "no answer: " + answer);
    char buffer[4096];
    const ssize_t got = ::recv(socket.get(), buffer, sizeof buffer, 0);
    if (got <= 0) return answer;
    answer.append(buffer, static_cast<size_t>(got));
  }
}

#define ASSERT_ANSWER(answer, ...) ASSERT_VALUE(const std::string answer, ask(__VA_ARGS__))

Arguments arguments(uint16_t port, const Arguments& more) {
  Arguments list{"agent",    "--json",
                 "--offset", "1h",
                 "--listen", fmt::format("127.0.0.1:{}", port),
                 "--listen", "unix:" + socket_path()};
  list.insert(list.end(), more.begin(), more.end());
  return list;
}

TEST(Listen, SetStatusMetricsAndRecover) {
  const uint16_t port = free_port();
  ASSERT_VALUE(Child target, start_clock_target(clock_target("glibc")));
  ASSERT_VALUE(Agent agent, Agent::start(arguments(port, {"--pid", std::to_string(target.pid()),
                                                          "--engine-syscalls", "ptrace"})));
  ASSERT_VALUE(const auto following, agent.wait_event("following"));
  ASSERT_ANSWER(health, port, "GET", "/healthz");
  EXPECT_THAT(health, StartsWith("HTTP/1.1 200 "));
  ASSERT_ANSWER(ready, port, "GET", "/readyz");
  EXPECT_THAT(ready, StartsWith("HTTP/1.1 200 "));
  EXPECT_STATUS(
      check_shift(target, {.expected = hours{1}, .since = host_mono_ns(), .unshifted = {}}));
  ASSERT_ANSWER(metrics, port, "GET", "/metrics");
  EXPECT_THAT(metrics, HasSubstr("\ntime_chaos_targets 1\n"));
  EXPECT_THAT(metrics, HasSubstr("\ntime_chaos_offset_seconds{clock=\"realtime\"} 3600\n"));
  EXPECT_THAT(metrics,
              HasSubstr("time_chaos_shifted_calls_total{engine=\"ptrace\",clock=\"realtime\"}"));
  EXPECT_THAT(metrics, HasSubstr("time_chaos_attach_stop_seconds_count 1\n"));
  for (const char* path : {"/set", "/recover"}) {
    ASSERT_ANSWER(refused, port, "POST", path, "offset: 2h");
    EXPECT_THAT(refused, StartsWith("HTTP/1.1 403 ")) << "whoever can reach the port";
  }
  ASSERT_ANSWER(stranger, port, "GET", "/status");
  EXPECT_THAT(stranger, StartsWith("HTTP/1.1 403 "));
  ASSERT_ANSWER(changed, 0, "POST", "/set", "{\"offset\": \"-2h\"}");
  EXPECT_THAT(changed, StartsWith("HTTP/1.1 200 "));
  EXPECT_STATUS(
      check_shift(target, {.expected = hours{-2}, .since = host_mono_ns(), .unshifted = {}}));
  for (const char* wrong : {"", "offset: x", "pid: 1", "[", "offset: 1h\nat: @0"}) {
    ASSERT_ANSWER(refused, 0, "POST", "/set", wrong);
    EXPECT_THAT(refused, StartsWith("HTTP/1.1 400 ")) << wrong;
  }
  ASSERT_ANSWER(status, 0, "GET", "/status");
  EXPECT_THAT(status, HasSubstr(fmt::format("\"pid\":{}", target.pid())));
  EXPECT_THAT(status, HasSubstr("\"offset_ns\":-7200000000000"));
  ASSERT_ANSWER(unknown, 0, "GET", "/elsewhere");
  EXPECT_THAT(unknown, StartsWith("HTTP/1.1 404 "));
  ASSERT_ANSWER(method, 0, "GET", "/set");
  EXPECT_THAT(method, StartsWith("HTTP/1.1 405 "));
  ASSERT_ANSWER(recovered, 0, "POST", "/recover");
  EXPECT_THAT(recovered, StartsWith("HTTP/1.1 202 "));
  ASSERT_VALUE(const Outcome outcome, agent.wait());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  EXPECT_STATUS(check_shift(target, {.since = host_mono_ns(), .unshifted = {}}));
  EXPECT_FALSE(std::filesystem::exists(socket_path()));
}

TEST(Listen, AliveButNotReadyWhileItWaits) {
  const uint16_t port = free_port();
  ASSERT_VALUE(Agent agent,
               Agent::start(arguments(port, {"--name", "tc-no-such", "--wait", "20s"})));
  ASSERT_VALUE(const auto waiting, agent.wait_event("waiting"));
  ASSERT_ANSWER(health, port, "GET", "/healthz");
  EXPECT_THAT(health, StartsWith("HTTP/1.1 200 "));
  ASSERT_ANSWER(ready, port, "GET", "/readyz");
  EXPECT_THAT(ready, StartsWith("HTTP/1.1 503 "));
  ASSERT_VALUE(const Outcome outcome, agent.stop(SIGTERM));
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
}

// The sum of what it counted for the wall clock by ptrace.
Result<double> shifted_calls(uint16_t port) {
  TC_TRY(const std::string metrics, ask(port, "GET", "/metrics"));
  const std::string name =
      "\ntime_chaos_shifted_calls_total{engine=\"ptrace\",clock=\"realtime\"} ";
  const size_t at = metrics.find(name);
  if (at == std::string::npos) return 0.0;
  return std::stod(metrics.substr(at + name.size()));
}

// A counter that goes back is a restart for whoever reads it.
TEST(Listen, CountersKeepWhatWasCountedForTargetsThatHaveEnded) {
  const uint16_t port = free_port();
  const std::string name = fmt::format("tccount{}", ::getpid());
  const std::string link = testing::TempDir() + name;
  ::unlink(link.c_str());
  ASSERT_EQ(::symlink(target_path("restarter").c_str(), link.c_str()), 0);
  const auto start = [&] { return Child::spawn({{link, "life", "now"}, {}, false}); };
  std::optional<Agent> agent;
  double before = 0;
  for (int life = 0; life < 5; ++life) {
    SCOPED_TRACE(life);
    ASSERT_VALUE(Child target, start());
    ASSERT_VALUE(const Reading reading, next_reading(target, 0));
    if (!agent) {
      ASSERT_VALUE(agent,
                   Agent::start(arguments(port, {"--name", name, "--engine-syscalls", "ptrace"})));
    }
    ASSERT_VALUE(const auto following, agent->wait_event("following"));
    for (int i = 0; i < 3; ++i) {
      ASSERT_VALUE(const Reading more, next_reading(target, host_mono_ns()));
    }
    ASSERT_VALUE(const double now, shifted_calls(port));
    EXPECT_GT(now, before);
    before = now;
  }
  ASSERT_VALUE(const Outcome outcome, agent->stop());
  ::unlink(link.c_str());
}

// Clients that hold their connections open do not keep it from anything, and when they are gone it
// sleeps: not one voluntary switch in a second.
TEST(Listen, SlowClientsDoNotStopItAndIdleItSleeps) {
  const uint16_t port = free_port();
  ASSERT_VALUE(Child target, start_clock_target(clock_target("glibc")));
  ASSERT_VALUE(Agent agent, Agent::start(arguments(port, {"--pid", std::to_string(target.pid()),
                                                          "--engine-syscalls", "off"})));
  ASSERT_VALUE(const auto shifted, agent.wait_event("shifted"));
  {
    std::vector<ScopedFd> silent;
    for (int i = 0; i < 40; ++i) {
      silent.push_back(connect(port));
      (void)!::send(silent.back().get(), "GET /me", 7, MSG_NOSIGNAL);
    }
    ASSERT_ANSWER(metrics, port, "GET", "/metrics");
    EXPECT_THAT(metrics, HasSubstr("time_chaos_targets 1"));
    ASSERT_PROGRAM(changed, 0, {"set", "--pid", std::to_string(target.pid()), "--offset", "2h"});
  }
  ASSERT_ANSWER(last, port, "GET", "/healthz");
  const auto switches = [&] {
    std::ifstream file(fmt::format("/proc/{}/status", agent.child().pid()));
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("voluntary_ctxt_switches:")) return line;
    }
    return std::string();
  };
  ::usleep(200000);
  const std::string before = switches();
  ::usleep(1000000);
  EXPECT_EQ(switches(), before);
  ASSERT_VALUE(const Outcome outcome, agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
}

TEST(Listen, AnAddressThatIsNoneIsRefusedBeforeAnythingIsDone) {
  ASSERT_VALUE(Child target, start_clock_target(clock_target("glibc")));
  const std::string pid = std::to_string(target.pid());
  for (const char* address : {"9000", "unix:", "10.0.0.1", "unix:/no/such/directory/socket"}) {
    ASSERT_VALUE(const Outcome outcome,
                 run_program({"agent", "--pid", pid, "--offset", "1h", "--listen", address}));
    EXPECT_NE(outcome.status, (ExitStatus{0, 0})) << address;
    EXPECT_TRUE(is_one_error_line(outcome.err)) << outcome.err;
  }
  EXPECT_STATUS(check_shift(target, {.since = host_mono_ns(), .unshifted = {}}));
}

}  // namespace
}  // namespace time_chaos::live
