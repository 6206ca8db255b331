// The kernel's own word that a process has executed a program or changed its name: the process
// events connector (drivers/connector/cn_proc.c). It tells the initial namespaces only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"

namespace time_chaos::targets {

// One message of the connector, as far as it is looked at.
struct ProcessEvent {
  enum class Kind { kAnswer, kExec, kName } kind = Kind::kAnswer;
  pid_t pid = 0;         // of the process
  uint32_t answers = 0;  // kAnswer: the number of the request
  uint32_t error = 0;    // kAnswer: errno, 0: granted
};
// Nothing for other kinds of events, for threads that are not their process, and for what is cut
// short.
std::optional<ProcessEvent> parse_process_event(std::span<const uint8_t> message);

class ProcessEvents {
 public:
  // Listens from here on. kUnsupported and kNotPermitted say why the kernel does not tell us.
  static Result<ProcessEvents> listen();

  ProcessEvents(ProcessEvents&&) = default;
  ProcessEvents& operator=(ProcessEvents&&) = default;
  ProcessEvents(const ProcessEvents&) = delete;
  ProcessEvents& operator=(const ProcessEvents&) = delete;
  ~ProcessEvents();

  // Readable when there is news.
  [[nodiscard]] int fd() const { return socket_.get(); }
  struct News {
    std::vector<pid_t> pids;  // ascending, each once
    bool lost = false;        // there were more than the kernel could keep for us
  };
  News take();

 private:
  explicit ProcessEvents(ScopedFd socket) : socket_(std::move(socket)) {}
  ScopedFd socket_;
};

}  // namespace time_chaos::targets
