// /proc/PID/maps. On the path of every attach, and a process may have 65530 mappings
// (vm.max_map_count) or more: one pass over one text, no stream, no copy but the result's.
#include "agent/targets/mappings.h"

#include <algorithm>
#include <charconv>

#include "agent/targets/proc_text.h"

namespace time_chaos::targets {
namespace {

// 64 KiB: vm.mmap_min_addr is 65536 on Debian. 47 bits less a page: TASK_SIZE_MAX of x86-64 with
// four-level page tables, and what mmap(2) stays below with five unless asked.
constexpr uint64_t kUserBegin = 0x10000;
constexpr uint64_t kUserEnd = 0x7ffffffff000;
// 262144 mappings (a common vm.max_map_count) of 1 KiB each.
constexpr size_t kTextLimit = size_t{256} << 20;

// Reads one line from left to right. After the first thing that does not fit nothing else is read.
class LineReader {
 public:
  explicit LineReader(std::string_view line) : at_(line.data()), end_(at_ + line.size()) {}

  uint64_t number(int base) {
    uint64_t value = 0;
    const auto [next, error] = std::from_chars(at_, end_, value, base);
    if (error != std::errc{}) good_ = false;
    if (good_) at_ = next;
    return value;
  }
  void expect(char c) {
    if (!good_ || at_ == end_ || *at_ != c) {
      good_ = false;
    } else {
      ++at_;
    }
  }
  std::string_view until_blank() {
    const char* begin = at_;
    while (at_ != end_ && *at_ != ' ') ++at_;
    return {begin, static_cast<size_t>(at_ - begin)};
  }
  std::string_view after_blanks() {
    while (at_ != end_ && *at_ == ' ') ++at_;
    return {at_, static_cast<size_t>(end_ - at_)};
  }
  [[nodiscard]] bool at_end() const { return at_ == end_; }
  [[nodiscard]] bool good() const { return good_; }

 private:
  const char* at_;
  const char* end_;
  bool good_ = true;
};

// "rwxp": each letter or '-', the last 'p' or 's'.
bool is_perms(std::string_view text) {
  return text.size() == 4 && (text[0] == 'r' || text[0] == '-') &&
         (text[1] == 'w' || text[1] == '-') && (text[2] == 'x' || text[2] == '-') &&
         (text[3] == 'p' || text[3] == 's');
}

// "564d4808e000-564d48090000 r--p 00000000 fe:00 247134        /usr/bin/cat"
// (show_map_vma, fs/proc/task_mmu.c). A newline in a path is written as \012; a deleted file ends
// in " (deleted)". Both stay as they are.
Status parse_into(std::string_view line, Mapping& mapping) {
  LineReader reader(line);
  mapping.start = reader.number(16);
  reader.expect('-');
  mapping.end = reader.number(16);
  reader.expect(' ');
  const std::string_view perms = reader.until_blank();
  reader.expect(' ');
  mapping.offset = reader.number(16);
  reader.expect(' ');
  const std::string_view device = reader.until_blank();
  reader.expect(' ');
  mapping.inode = reader.number(10);
  if (!reader.at_end()) reader.expect(' ');
  if (!reader.good() || mapping.start >= mapping.end || !is_perms(perms) || device.empty()) {
    return fail(Exit::kFailed,
                "memory map: unexpected line \"" + std::string(line.substr(0, 80)) + "\"");
  }
  mapping.perms = perms;
  mapping.device = device;
  mapping.path = reader.after_blanks();
  return {};
}

}  // namespace

Result<Mapping> parse_mapping(std::string_view line) {
  Mapping mapping;
  TC_CHECK(parse_into(line, mapping));
  return mapping;
}

Result<Mappings> Mappings::parse(std::string_view text) {
  Mappings result;
  result.mappings_.reserve(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1);
  uint64_t last_end = 0;
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    Mapping& mapping = result.mappings_.emplace_back();
    TC_CHECK(parse_into(line, mapping));
    // proc_pid_maps(5) promises it even while the process maps and unmaps; at() relies on it.
    if (mapping.start < last_end) {
      return fail(Exit::kFailed, "memory map: addresses do not ascend");
    }
    last_end = mapping.end;
  }
  return result;
}

Result<Mappings> Mappings::read(pid_t pid) {
  TC_TRY(const std::string text, read_process_file(pid, "maps", kTextLimit));
  return parse(text);
}

const Mapping* Mappings::find(std::string_view path) const {
  const auto found = std::find_if(mappings_.begin(), mappings_.end(),
                                  [&](const Mapping& mapping) { return mapping.path == path; });
  return found == mappings_.end() ? nullptr : &*found;
}

const Mapping* Mappings::at(uint64_t address) const {
  // The first that ends behind the address is the only one that can hold it.
  const auto found = std::upper_bound(
      mappings_.begin(), mappings_.end(), address,
      [](uint64_t wanted, const Mapping& mapping) { return wanted < mapping.end; });
  return found == mappings_.end() || found->start > address ? nullptr : &*found;
}

bool Mappings::is_free(uint64_t address, uint64_t size) const {
  if (size == 0 || address < kUserBegin || address >= kUserEnd) return false;
  if (size > kUserEnd - address) return false;
  const auto next = std::upper_bound(
      mappings_.begin(), mappings_.end(), address,
      [](uint64_t wanted, const Mapping& mapping) { return wanted < mapping.end; });
  return next == mappings_.end() || next->start >= address + size;
}

}  // namespace time_chaos::targets
