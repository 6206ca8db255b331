// A process that the benchmarks start, measure in and shift. It is this same program, started with
// --worker and the name of a task, and talks over a pair of pipes: its standard input and output.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"

namespace time_chaos::bench {

class Worker {
 public:
  // `arguments` follow argv[0], which is this program unless `program` names another. `environment`
  // is added to ours.
  static Result<Worker> start(const std::vector<std::string>& arguments,
                              const std::vector<std::string>& environment = {},
                              const std::string& program = "/proc/self/exe");
  Worker(Worker&& other) noexcept;
  Worker& operator=(Worker&&) = delete;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();  // kills it, if it still runs

  [[nodiscard]] pid_t pid() const { return pid_; }

  template <typename T>
  [[nodiscard]] Status send(const T& value) {
    return write_all(&value, sizeof value);
  }
  template <typename T>
  [[nodiscard]] Result<T> receive() {
    T value{};
    TC_CHECK(read_all(&value, sizeof value));
    return value;
  }
  // Its output up to a newline.
  [[nodiscard]] Result<std::string> receive_line();
  // All that is left of its output, and its exit code; 128 and more for a signal.
  [[nodiscard]] Result<std::string> rest();
  [[nodiscard]] Result<int> wait();

 private:
  Worker(pid_t pid, ScopedFd to, ScopedFd from)
      : pid_(pid), to_(std::move(to)), from_(std::move(from)) {}
  Status write_all(const void* data, size_t size);
  Status read_all(void* data, size_t size);

  pid_t pid_;
  ScopedFd to_;
  ScopedFd from_;
};

// In the worker: the same in the other direction. False when the benchmark has gone.
bool worker_read(void* data, size_t size);
bool worker_write(const void* data, size_t size);

}  // namespace time_chaos::bench
