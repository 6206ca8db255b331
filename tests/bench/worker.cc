#include "tests/bench/worker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>

namespace time_chaos::bench {
namespace {

bool read_fully(int fd, void* data, size_t size) {
  auto* at = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t got = ::read(fd, at, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

bool write_fully(int fd, const void* data, size_t size) {
  const auto* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t put = ::write(fd, at, size);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    at += put;
    size -= static_cast<size_t>(put);
  }
  return true;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

Result<Worker> Worker::start(const std::vector<std::string>& arguments,
                             const std::vector<std::string>& environment,
                             const std::string& program) {
  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC) != 0) return fail_errno("pipe");
  ScopedFd in_read(in[0]), in_write(in[1]);
  if (::pipe2(out, O_CLOEXEC) != 0) return fail_errno("pipe");
  ScopedFd out_read(out[0]), out_write(out[1]);

  std::vector<std::string> words{program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> variables = environment;
  for (char** at = environ; *at != nullptr; ++at) variables.emplace_back(*at);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in_read.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out_write.get(), STDOUT_FILENO);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, program.c_str(), &actions, nullptr, pointers(words).data(),
                                  pointers(variables).data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail(Error::from_errno(error, "start " + program));
  return Worker(pid, std::move(in_write), std::move(out_read));
}

Worker::Worker(Worker&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      to_(std::move(other.to_)),
      from_(std::move(other.from_)) {}

Worker::~Worker() {
  if (pid_ == 0) return;
  // It ends by itself when nobody asks any more, as libfaketime would like to: killed, it leaves
  // its shared memory to the machine.
  to_.reset();
  int status = 0;
  for (int i = 0; i < 100; i++) {
    if (::waitpid(pid_, &status, WNOHANG) == pid_) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ::kill(pid_, SIGKILL);
  (void)wait();
}

Status Worker::write_all(const void* data, size_t size) {
  if (write_fully(to_.get(), data, size)) return {};
  return fail(Exit::kFailed, "a worker of the benchmark has died");
}

Status Worker::read_all(void* data, size_t size) {
  if (read_fully(from_.get(), data, size)) return {};
  return fail(Exit::kFailed, "a worker of the benchmark has died");
}

Result<std::string> Worker::receive_line() {
  std::string line;
  for (;;) {
    TC_TRY(const char c, receive<char>());
    if (c == '\n') return line;
    line += c;
  }
}

Result<std::string> Worker::rest() {
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(from_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read a worker's output");
    if (got == 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

Result<int> Worker::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) return fail_errno("wait for a worker");
  }
  pid_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool worker_read(void* data, size_t size) {
  return read_fully(STDIN_FILENO, data, size);
}
bool worker_write(const void* data, size_t size) {
  return write_fully(STDOUT_FILENO, data, size);
}

}  // namespace time_chaos::bench
