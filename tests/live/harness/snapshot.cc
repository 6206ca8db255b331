// Reading /proc for Snapshot (see snapshot.h; formats in proc(5)).
#include "tests/live/harness/snapshot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <thread>

#include "agent/base/files.h"

namespace time_chaos::live {
namespace {

namespace fs = std::filesystem;

// The value after `key` ("SigBlk:") in a file of lines "Key:\tvalue".
std::string field_of(const std::string& text, const std::string& key) {
  const size_t at = text.find("\n" + key);
  if (at == std::string::npos) return {};
  const size_t begin = text.find_first_not_of(" \t", at + 1 + key.size());
  return text.substr(begin, text.find('\n', begin) - begin);
}

Result<std::string> read_memory(pid_t pid, uint64_t address, uint64_t size) {
  TC_TRY(const ScopedFd memory, open_file(fmt::format("/proc/{}/mem", pid), O_RDONLY));
  std::string bytes(size, '\0');
  const ssize_t n = ::pread(memory.get(), bytes.data(), size, static_cast<off_t>(address));
  if (n != static_cast<ssize_t>(size)) return fail_errno(fmt::format("read vDSO of {}", pid));
  return bytes;
}

int number(const std::string& text) {
  return static_cast<int>(std::strtol(text.c_str(), nullptr, 10));
}

// The stack and the heap grow by themselves.
std::string normalised(const std::string& line) {
  for (const char* name : {"[stack]", "[heap]"}) {
    if (line.ends_with(name)) return name;
  }
  return line;
}

bool is_shared_anonymous(const std::string& line) {
  return line.ends_with("/dev/zero (deleted)");
}

// Anonymous, executable, not writable, at most 64 KiB.
bool is_small_code(const std::string& line) {
  uint64_t begin = 0;
  uint64_t end = 0;
  char perms[5] = {};
  uint64_t inode = 1;
  // NOLINTNEXTLINE(cert-err34-c): the kernel's own format; the count is checked.
  if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %" SCNu64, &begin, &end, perms,
                  &inode) != 4) {
    return false;
  }
  return inode == 0 && line.find('[') == std::string::npos && std::string(perms) == "r-xp" &&
         end - begin <= 65536;
}

uint64_t mask_field(const std::string& status, const std::string& key) {
  return std::strtoull(field_of(status, key).c_str(), nullptr, 16);
}

// What a thread blocks outside its signal handlers. Inside one it blocks the handled signal too,
// and on a busy machine it may wait there for its turn; so a thread that blocks a signal which has
// a handler is looked at for a while, and what it blocked all the time counts.
std::string lasting_mask(const std::string& path, std::string status) {
  uint64_t mask = mask_field(status, "SigBlk:");
  for (int look = 0; look < 40 && (mask & mask_field(status, "SigCgt:")) != 0; ++look) {
    std::this_thread::sleep_for(std::chrono::milliseconds{1 + look / 8});
    const auto again = read_file(path);
    if (!again) break;
    status = *again;
    mask &= mask_field(status, "SigBlk:");
  }
  return fmt::format("{:016x}", mask);
}

void compare_maps(const Snapshot& before, const Snapshot& after, Maps how, std::string& out) {
  for (const std::string& line : after.maps) {
    if (how == Maps::kNoOurs && !is_shared_anonymous(line) && !is_small_code(line)) continue;
    if (std::find(before.maps.begin(), before.maps.end(), line) == before.maps.end()) {
      out += fmt::format("new mapping {}\n", line);
    }
  }
  if (how == Maps::kNoOurs) return;
  for (const std::string& line : before.maps) {
    if (std::find(after.maps.begin(), after.maps.end(), line) == after.maps.end()) {
      out += fmt::format("lost mapping {}\n", line);
    }
  }
}

}  // namespace

Result<Snapshot> Snapshot::take(pid_t pid) {
  Snapshot result;
  TC_TRY(const std::string maps, read_file(fmt::format("/proc/{}/maps", pid)));
  std::istringstream lines{maps};
  for (std::string line; std::getline(lines, line);) {
    result.maps.push_back(normalised(line));
    if (line.ends_with("[vdso]")) {
      char* rest = nullptr;
      const uint64_t begin = std::strtoull(line.c_str(), &rest, 16);
      const uint64_t end = std::strtoull(rest + 1, nullptr, 16);
      TC_TRY(result.vdso, read_memory(pid, begin, end - begin));
    }
  }
  TC_TRY(const std::string smaps, read_file(fmt::format("/proc/{}/smaps", pid)));
  if (const size_t at = smaps.find("[vdso]"); at != std::string::npos) {
    result.vdso_private_kib =
        std::strtoull(field_of(smaps.substr(at), "Anonymous:").c_str(), nullptr, 10);
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/fd", pid), error)) {
    std::error_code gone;
    const fs::path link = fs::read_symlink(entry.path(), gone);
    if (!gone) result.fds[number(entry.path().filename())] = link.string();
  }
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    const std::string path = (entry.path() / "status").string();
    const auto status = read_file(path);
    if (!status) continue;  // the thread is gone
    const pid_t tid = number(entry.path().filename());
    result.masks[tid] = lasting_mask(path, *status);
    if (tid == pid) result.tracer = number(field_of(*status, "TracerPid:"));
  }
  return result;
}

std::string differences(const Snapshot& before, const Snapshot& after, Maps maps) {
  std::string out;
  if (before.vdso.size() != after.vdso.size()) {
    out += fmt::format("vDSO of {} bytes, was {}\n", after.vdso.size(), before.vdso.size());
  } else if (before.vdso != after.vdso) {
    const auto at = std::mismatch(before.vdso.begin(), before.vdso.end(), after.vdso.begin());
    out += fmt::format("vDSO differs, first at offset {:#x}\n", at.first - before.vdso.begin());
  }
  if (maps != Maps::kIgnored) compare_maps(before, after, maps, out);
  for (const auto& [fd, link] : after.fds) {
    const auto old = before.fds.find(fd);
    if (old == before.fds.end() || old->second != link) {
      out += fmt::format("new file descriptor {} -> {}\n", fd, link);
    }
  }
  for (const auto& [fd, link] : before.fds) {
    if (!after.fds.contains(fd)) out += fmt::format("lost file descriptor {} -> {}\n", fd, link);
  }
  for (const auto& [tid, mask] : after.masks) {
    const auto old = before.masks.find(tid);
    // A thread that is just being started has nearly everything blocked.
    if (old == before.masks.end() || old->second.starts_with("ffffffff")) continue;
    if (old->second != mask) {
      out += fmt::format("signal mask of {} is {}, was {}\n", tid, mask, old->second);
    }
  }
  if (after.tracer != before.tracer) out += fmt::format("traced by {}\n", after.tracer);
  return out;
}

Result<std::string> lasting_differences(const Snapshot& before, pid_t pid, Maps maps) {
  std::string found;
  // A thread that is in a handler of its own shows that handler's mask; on a busy machine it may
  // wait there for its turn, look after look.
  for (int look = 0; look < 100; ++look) {
    if (look > 0) std::this_thread::sleep_for(std::chrono::milliseconds{10 + look % 7});
    TC_TRY(const Snapshot now, Snapshot::take(pid));
    found = differences(before, now, maps);
    if (found.empty()) break;
  }
  return found;
}

}  // namespace time_chaos::live
