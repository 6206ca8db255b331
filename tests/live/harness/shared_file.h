// A file that a test and a process it starts both map: reports of torture targets, step counts.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"

namespace time_chaos::live {

// T must be plain data that is valid as zeros. The file goes with this object.
template <typename T>
class SharedFile {
 public:
  static Result<SharedFile> make() {
    std::string path = "/tmp/time-chaos-live-XXXXXX";
    const ScopedFd fd(::mkostemp(path.data(), O_CLOEXEC));
    if (!fd.valid() || ::ftruncate(fd.get(), sizeof(T)) != 0) return fail_errno("make " + path);
    void* memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (memory == MAP_FAILED) return fail_errno("mmap " + path);
    return SharedFile(std::move(path), static_cast<T*>(memory));
  }
  SharedFile(SharedFile&&) noexcept = default;
  SharedFile& operator=(SharedFile&&) noexcept = default;
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;
  ~SharedFile() {
    if (memory_) ::unlink(path_.c_str());
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] T* get() const { return memory_.get(); }
  T* operator->() const { return memory_.get(); }

 private:
  struct Unmap {
    void operator()(T* memory) const { ::munmap(memory, sizeof(T)); }
  };
  SharedFile(std::string path, T* memory) : path_(std::move(path)), memory_(memory) {}

  std::string path_;
  std::unique_ptr<T, Unmap> memory_;
};

}  // namespace time_chaos::live
