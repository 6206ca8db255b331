#include "agent/settings/watched_file.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "agent/settings/setting.h"

namespace time_chaos::settings {
namespace {

namespace fs = std::filesystem;

// Not IN_MODIFY: it is read when whoever writes it has finished.
constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR;

}  // namespace

Result<WatchedFile> WatchedFile::open(const std::string& path) {
  ScopedFd events(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!events.valid()) return fail_errno("watch " + path);
  WatchedFile file(path, std::move(events));
  TC_CHECK(file.watch());  // first: what changes while it is read is not missed
  TC_TRY(file.text_, read_settings_file(path));
  return file;
}

// The directory that holds the file or the link to it, and the one that holds what the links lead
// to.
Status WatchedFile::watch() {
  const fs::path given(path_);
  const fs::path directory = given.has_parent_path() ? given.parent_path() : fs::path(".");
  if (::inotify_add_watch(events_.get(), directory.c_str(), kEvents) < 0) {
    return fail_errno("watch " + directory.string());
  }
  std::error_code error;
  const fs::path real = fs::canonical(given, error);
  if (!error) (void)::inotify_add_watch(events_.get(), real.parent_path().c_str(), kEvents);
  return {};
}

// What is created is written first, and closed then; but a link is there at once.
bool WatchedFile::news() {
  bool any = false;
  alignas(inotify_event) char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(events_.get(), buffer, sizeof buffer);
    if (got <= 0) return any;
    for (const char* at = buffer; at < buffer + got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof *event + event->len;
      std::error_code error;
      any = any || (event->mask & IN_CREATE) == 0 ||
            fs::is_symlink(fs::path(path_).parent_path() / event->name, error);
    }
  }
}

bool WatchedFile::changed() {
  if (!news()) return false;
  (void)watch();
  auto text = read_settings_file(path_);
  if (!text || *text == text_) return false;
  text_ = std::move(*text);
  return true;
}

}  // namespace time_chaos::settings
