#include "agent/experiment/follow_way.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <filesystem>

#include "agent/base/files.h"
#include "agent/clock/duration.h"

namespace time_chaos::experiment {
namespace {

constexpr const char* kName = "time-chaos follows";
constexpr size_t kMost = 65536;  // of another process, and not trusted

}  // namespace

std::string text(const FollowWay& way) {
  const char* moved = way.moved_into ? "; what is moved into it is found within 1s" : "";
  switch (way.how) {
    case FollowWay::How::kBpf:
      return fmt::format("{} is followed by bpf, from the first instruction on{}", way.selector,
                         moved);
    case FollowWay::How::kEvents:
      return fmt::format("{} is followed by kernel events{}", way.selector, moved);
    case FollowWay::How::kLooks:
      break;
  }
  return fmt::format("{} is looked for every {}: {}", way.selector,
                     clock::format_duration(way.period), way.why);
}

ScopedFd publish(const std::vector<FollowWay>& ways) {
  ScopedFd file(::memfd_create(kName, MFD_CLOEXEC));
  std::string lines;
  for (const FollowWay& way : ways) lines += text(way) + "\n";
  if (file.valid()) (void)!::write(file.get(), lines.data(), lines.size());
  return file;
}

std::vector<std::string> published(pid_t agent) {
  namespace fs = std::filesystem;
  std::vector<std::string> list;
  std::error_code error;
  const std::string link = fmt::format("/memfd:{} (deleted)", kName);
  for (fs::directory_iterator it(fmt::format("/proc/{}/fd", agent), error), end;
       !error && it != end; it.increment(error)) {
    std::error_code unreadable;
    if (fs::read_symlink(it->path(), unreadable) != link) continue;
    const auto text = read_file(it->path(), kMost);
    if (!text) continue;
    std::string line;
    for (const char c : *text) {
      if (c != '\n') {
        line += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
        continue;
      }
      list.push_back(line);
      line.clear();
    }
  }
  return list;
}

}  // namespace time_chaos::experiment
