// What libbpf and the kernel's verifier say, kept for the cause of an error. libbpf would print it
// on standard error; its printer is one for the whole process, so this collects for one thread at a
// time.
#pragma once

#include <string>

namespace time_chaos::syscalls {

class BpfLog {
 public:
  BpfLog();
  ~BpfLog();
  BpfLog(const BpfLog&) = delete;
  BpfLog& operator=(const BpfLog&) = delete;
  BpfLog(BpfLog&&) = delete;
  BpfLog& operator=(BpfLog&&) = delete;

  // All of it so far.
  [[nodiscard]] const std::string& text() const { return text_; }
  void clear() { text_.clear(); }

 private:
  std::string text_;
};

// The one line of a log that says most: the verifier's verdict, else libbpf's last complaint.
std::string telling_line(const std::string& log);

}  // namespace time_chaos::syscalls
