#include "agent/syscalls/bpf_log.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <string_view>
#include <vector>

namespace time_chaos::syscalls {
namespace {

constexpr size_t kLimit = size_t{1} << 20;

thread_local std::string* collecting = nullptr;

// Verifier logs are the size of a novel; its end is what is read.
int collect(libbpf_print_level level, const char* format, va_list arguments) {
  if (collecting == nullptr || level == LIBBPF_DEBUG) return 0;
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (length <= 0) return 0;
  std::string line(static_cast<size_t>(length) + 1, '\0');
  std::vsnprintf(line.data(), line.size(), format, arguments);
  line.pop_back();
  if (line.size() > kLimit) line.erase(0, line.size() - kLimit);
  if (collecting->size() + line.size() > kLimit) collecting->clear();
  *collecting += line;
  return 0;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

bool starts_with(std::string_view line, std::string_view prefix) {
  return line.substr(0, prefix.size()) == prefix;
}

}  // namespace

BpfLog::BpfLog() {
  collecting = &text_;
  libbpf_set_print(collect);
}

BpfLog::~BpfLog() {
  collecting = nullptr;
}

std::string telling_line(const std::string& log) {
  const auto lines = lines_of(log);
  std::string_view last;
  for (size_t i = 0; i < lines.size(); i++) {
    if (lines[i].find("END PROG LOAD LOG") != std::string_view::npos) {
      // Behind the verdict stands a line of statistics.
      for (size_t j = i; j-- > 0;) {
        if (lines[j].empty() || starts_with(lines[j], "processed ") ||
            starts_with(lines[j], "verification time") || starts_with(lines[j], "stack depth")) {
          continue;
        }
        return std::string(lines[j]);
      }
    }
    // What follows a failure is about the failure's consequences.
    const bool consequence = lines[i].find("failed to load object") != std::string_view::npos ||
                             lines[i].find("failed to load BPF skeleton") != std::string_view::npos;
    if (starts_with(lines[i], "libbpf: ") && !consequence) last = lines[i].substr(8);
  }
  return std::string(last);
}

}  // namespace time_chaos::syscalls
