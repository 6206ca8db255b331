// Word of every change of a small file, without looking again and again: also where it is replaced
// by a rename, as editors do, or reached through a symbolic link that is swapped, as ConfigMaps
// are.
#pragma once

#include <optional>
#include <string>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"

namespace time_chaos::settings {

class WatchedFile {
 public:
  // The file has to be there. `known`: what it was last seen to say; if it says something else by
  // now, it has changed.
  static Result<WatchedFile> open(const std::string& path, std::string known);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  // Readable when something happened around the file.
  [[nodiscard]] int fd() const { return early_.valid() ? early_.get() : events_.get(); }
  // The file has another text than before, which text() is from here on. A file that is not there,
  // or not yet, has not changed. An error: it is there, and cannot be read.
  Result<bool> changed();

 private:
  WatchedFile(std::string path, ScopedFd events)
      : path_(std::move(path)), events_(std::move(events)) {}
  Status watch();
  bool news();
  Status note_early_change();

  std::string path_;
  ScopedFd events_;
  ScopedFd early_;  // always readable; there until a change is taken that came before the watch
  std::string text_;
};

}  // namespace time_chaos::settings
