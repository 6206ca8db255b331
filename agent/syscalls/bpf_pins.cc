#include "agent/syscalls/bpf_pins.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>

namespace time_chaos::syscalls {
namespace {

constexpr const char* kBpfFs = "/sys/fs/bpf";
constexpr const char* kOurs = "/sys/fs/bpf/time-chaos";

std::string directory_of(uint32_t engine) {
  return fmt::format("{}/{}", kOurs, engine);
}

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("make " + path);
  return {};
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::vector<std::string> files_in(const std::string& path) {
  std::vector<std::string> files;
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path.c_str()));
  if (!directory) return files;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") files.push_back(path + "/" + std::string(name));
  }
  return files;
}

}  // namespace

Status pins_possible() {
  struct statfs facts {};
  if (::statfs(kBpfFs, &facts) == 0 && facts.f_type == BPF_FS_MAGIC) return {};
  return fail(Exit::kUnsupported, fmt::format("no bpffs is mounted at {}", kBpfFs),
              fmt::format("mount -t bpf bpf {}", kBpfFs));
}

Status pin_links(uint32_t engine, const std::vector<BpfLink>& links) {
  TC_CHECK(pins_possible());
  TC_CHECK(make_directory(kOurs));
  TC_CHECK(make_directory(directory_of(engine)));
  for (const BpfLink& link : links) {
    const std::string path = directory_of(engine) + "/" + link.program;
    if (::bpf_obj_pin(link.fd.get(), path.c_str()) != 0) {
      auto failed = fail_errno("pin " + path);
      (void)unpin(engine);
      return failed;
    }
  }
  return {};
}

Status unpin(uint32_t engine) {
  std::vector<std::string> files = files_in(directory_of(engine));
  // What changes a target's memory before what puts it back (bpf_waits.cc).
  std::stable_partition(files.begin(), files.end(), [](const std::string& file) {
    const std::string name = file.substr(file.rfind('/') + 1);
    return name == "tchaos_wait" || name.rfind("tchaos_wait-", 0) == 0;
  });
  for (const std::string& file : files) {
    if (::unlink(file.c_str()) != 0 && errno != ENOENT) return fail_errno("remove " + file);
  }
  if (::rmdir(directory_of(engine).c_str()) != 0 && errno != ENOENT && errno != ENOTDIR) {
    return fail_errno("remove " + directory_of(engine));
  }
  ::rmdir(kOurs);  // if it was the last one
  return {};
}

bool is_pinned(uint32_t engine) {
  return !files_in(directory_of(engine)).empty();
}

}  // namespace time_chaos::syscalls
