#include "agent/settings/watched_file.h"

#include <sys/eventfd.h>
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

Result<WatchedFile> WatchedFile::open(const std::string& path, std::string known) {
  ScopedFd events(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!events.valid()) return fail_errno("watch " + path);
  WatchedFile file(path, std::move(events));
  TC_CHECK(file.watch());  // first: what changes while it is read is not missed
  file.text_ = std::move(known);
  TC_TRY(const std::string text, read_settings_file(path));
  if (text != file.text_) TC_CHECK(file.note_early_change());
  return file;
}

Status WatchedFile::note_early_change() {
  early_ = ScopedFd(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!early_.valid()) return fail_errno("watch " + path_);
  return {};
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

Result<bool> WatchedFile::changed() {
  const bool early = early_.valid();
  early_.reset();
  if (!news() && !early) return false;
  (void)watch();
  auto text = read_settings_file(path_);
  if (!text && text.error().error_number() == ENOENT) return false;
  if (!text) return fail(text.error());
  if (*text == text_) return false;
  text_ = std::move(*text);
  return true;
}

}  // namespace time_chaos::settings
