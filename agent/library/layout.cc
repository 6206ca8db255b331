// Lays the detour out: decides how each function can be reached, maps the pages and fills them.
// What cannot be had for one function does not keep the others from theirs.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/base/files.h"
#include "agent/clock/clock_maps.h"
#include "agent/library/detour.h"
#include "agent/vdso/jump.h"
#include "agent/vdso/prologue.h"

namespace time_chaos::library {
namespace {

constexpr uint64_t kPage = payload::kPageSize;
constexpr uint64_t kPages = 3 * kPage;
constexpr uint64_t kLandings = 0xe00;  // in the code page, behind where an agent keeps its record
constexpr uint64_t kLandingSize = 64;
constexpr uint64_t kMostOfVdso = 16 * kPage;

constexpr uint8_t kJump = 0xe9;
constexpr uint8_t kBreakpoint = 0xcc;

void* pointer(uint64_t at) {
  return reinterpret_cast<void*>(at);  // NOLINT(performance-no-int-to-ptr)
}

// Pages that are unmapped again unless all went well: nobody can be in them yet.
class Mapped {
 public:
  Mapped() = default;
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  Mapped(Mapped&&) = delete;
  Mapped& operator=(Mapped&&) = delete;
  ~Mapped() {
    for (const auto& range : ranges_) ::munmap(pointer(range.start), range.size);
  }
  void keep() { ranges_.clear(); }

  Status map(uint64_t at, uint64_t size, int protection) {
    void* const mapped = ::mmap(pointer(at), size, protection,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (mapped == MAP_FAILED) return fail_errno("map pages near the vDSO");
    if (mapped != pointer(at)) {  // before Linux 4.17
      ::munmap(mapped, size);
      return fail(Exit::kFailed, "pages near the vDSO are taken");
    }
    ranges_.push_back({at, size});
    // For those who read maps; few kernels keep the names.
    ::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, at, size, "time-chaos");  // NOLINT(*-vararg)
    return {};
  }

 private:
  std::vector<payload::PageRange> ranges_;
};

}  // namespace

class Layout {
 public:
  Layout(Detour* detour, const targets::Mappings& mappings, Choice choice)
      : detour_(*detour), placement_(mappings, vdso::stack_limit_of(::getpid())), choice_(choice) {}

  Status make() {
    const auto code = placement_.find_near(detour_.vdso_.start, kPages);
    if (!code) return fail(Exit::kUnsupported, "no free pages near the vDSO");
    detour_.code_ = *code;
    placement_.reserve({*code, kPages});
    TC_CHECK(map_pages());
    for (const Function function : kFunctions) {
      const auto way = find_way(function);
      if (!way) detour_.why_not_[index(function)] = way.error();
    }
    TC_CHECK(fill());
    mapped_.keep();
    return {};
  }

 private:
  Status map_pages() {
    TC_CHECK(mapped_.map(detour_.code_, kPage, PROT_READ | PROT_EXEC));
    return mapped_.map(detour_.code_ + kPage, kPages - kPage, PROT_READ | PROT_WRITE);
  }

  Status find_way(Function function) {
    const auto symbol = detour_.image_.function(kSymbols[index(function)]);
    if (!symbol) return fail(Exit::kUnsupported, "the vDSO has no such function");
    TC_TRY(const auto all, sites(detour_.image_, symbol->offset));
    const uint8_t first = detour_.image_.bytes()[symbol->offset];
    if (first == kJump || first == kBreakpoint) {
      return fail(Exit::kFailed, "somebody else has replaced it already",
                  "end the experiment of time-chaos, or the debugging, first");
    }
    Status last = fail(Exit::kUnsupported, "no place that its first instructions name is free");
    const auto attempt = [&](const Site& site, bool whole) {
      Status done = whole ? whole_jump(function, site) : one_byte(function, site);
      const bool found = done.has_value();
      if (!found && done.error().kind() != Exit::kUnsupported) last = std::move(done);
      return found;
    };
    // All sites in one way before the other: bytes change without the pages' protection.
    for (const bool whole : {choice_ == Choice::kWords, choice_ != Choice::kWords}) {
      for (const Site& site : all) {
        if (choice_ == Choice::kBehindEntry && site.offset == symbol->offset) continue;
        if (!may_stop_at(function, *symbol, site)) continue;
        if (attempt(site, whole)) return {};
      }
    }
    return last;
  }

  // Nothing else in the vDSO enters the function at the site or behind it, and where the original
  // is called, its first instructions can run elsewhere.
  bool may_stop_at(Function function, const elf::Symbol& symbol, const Site& site) const {
    const elf::VdsoImage& image = detour_.image_;
    if (site.offset != symbol.offset && !vdso::check_no_branch_into(image, site.offset - 1)) {
      return false;
    }
    if (function != Function::kClockGettime) return true;
    return vdso::read_prologue(image, symbol.offset, site.offset + 1 - symbol.offset).has_value();
  }

  Status one_byte(Function function, const Site& site) {
    const auto bytes = detour_.image_.bytes();
    if (site.offset + vdso::kJumpSize > bytes.size()) return fail(Exit::kUnsupported, "too short");
    const auto here = bytes.subspan(site.offset, vdso::kJumpSize);
    Way way = way_at(site, 1);
    way.pad = vdso::punned_target(way.at, here);
    way.patched = {vdso::punned_entry(here)[0]};
    const uint64_t start = way.pad & ~(kPage - 1);
    const uint64_t end = (way.pad + kPadRoom + kPage - 1) & ~(kPage - 1);
    if (!placement_.usable(start, end - start)) return fail(Exit::kUnsupported, "taken");
    TC_TRY(std::vector<uint8_t> landing, landing_code(function, site, way.pad));
    TC_CHECK(mapped_.map(start, end - start, PROT_READ | PROT_EXEC));
    placement_.reserve({start, end - start});
    TC_CHECK(write_code(way.pad, landing));
    detour_.ways_[index(function)] = std::move(way);
    return {};
  }

  // All five bytes are of one instruction, and of one word.
  Status whole_jump(Function function, const Site& site) {
    Way way = way_at(site, vdso::kJumpSize);
    if (site.length < vdso::kJumpSize || !in_one_word(way.at, vdso::kJumpSize)) {
      return fail(Exit::kUnsupported, "no instruction is long enough");
    }
    const uint64_t landing = detour_.code_ + kLandings + index(function) * kLandingSize;
    const auto jump = vdso::near_jump(way.at, landing);
    if (!jump) return fail(Exit::kUnsupported, "the code page is too far from the vDSO");
    way.patched = *jump;
    TC_TRY(const auto code, landing_code(function, site, landing));
    TC_CHECK(write_code(landing, code));
    detour_.ways_[index(function)] = std::move(way);
    return {};
  }

  [[nodiscard]] Way way_at(const Site& site, uint64_t length) const {
    Way way;
    way.site = site;
    way.at = detour_.vdso_.start + site.offset;
    const auto bytes = detour_.image_.bytes().subspan(site.offset, length);
    way.original.assign(bytes.begin(), bytes.end());
    return way;
  }

  [[nodiscard]] Result<std::vector<uint8_t>> landing_code(Function function, const Site& site,
                                                          uint64_t at) const {
    std::vector<uint8_t> code = site.undo;
    const uint64_t cell = detour_.code_ + 2 * kPage + index(function) * sizeof(uint64_t);
    TC_TRY(const auto jump, jump_through(at + code.size(), cell));
    code.insert(code.end(), jump.begin(), jump.end());
    return code;
  }

  Status fill() {
    const uint64_t code = detour_.code_;
    TC_CHECK(write_code(code, payload::code()));
    const auto& way = detour_.ways_[index(Function::kClockGettime)];
    if (!way) return fail(detour_.why_not(Function::kClockGettime));
    const uint64_t entry = detour_.image_.function(kSymbols[0])->offset;
    TC_TRY(const auto prologue,
           vdso::read_prologue(detour_.image_, entry,
                               std::max(vdso::kJumpSize, way->site.offset + 1 - entry)));
    const uint64_t original = code + payload::original_offset();
    TC_TRY(const auto moved, vdso::relocated(prologue, detour_.vdso_.start + entry, original));
    if (moved.size() > payload::kOriginalSlotSize) {
      return fail(Exit::kUnsupported, "a prologue of the vDSO is too long");
    }
    TC_CHECK(write_code(original, moved));
    tc_clock_page& page = detour_.page();
    const clock::ClockMaps real = clock::identity_maps();
    std::copy(real.begin(), real.end(), page.maps0);
    std::copy(real.begin(), real.end(), page.maps1);
    timeval now{};
    struct timezone zone {};
    ::gettimeofday(&now, &zone);
    page.tz_minuteswest = zone.tz_minuteswest;
    page.tz_dsttime = zone.tz_dsttime;
    page.magic = TC_PAGE_MAGIC;
    page.version = TC_PAGE_VERSION;
    for (const Function function : kFunctions) {
      if (is_mapped(function)) detour_.lead(function, detour_.mapped_hook(function));
    }
    return {};
  }

  static constexpr uint64_t kPadRoom = 64;
  Detour& detour_;
  vdso::Placement placement_;
  Choice choice_;
  Mapped mapped_;
};

Result<Detour> Detour::lay_out(Choice choice) {
  TC_TRY(const std::string text, read_file("/proc/self/maps"));
  TC_TRY(const auto mappings, targets::Mappings::parse(text));
  const targets::Mapping* const mapping = mappings.find("[vdso]");
  if (mapping == nullptr) {
    return fail(Exit::kUnsupported,
                "this process has no vDSO (the kernel was started with vdso=0?)");
  }
  if (mapping->size() > kMostOfVdso) return fail(Exit::kUnsupported, "an unusually large vDSO");
  const auto* const bytes =
      reinterpret_cast<const uint8_t*>(mapping->start);  // NOLINT(performance-no-int-to-ptr)
  TC_TRY(auto image, elf::VdsoImage::parse({bytes, bytes + mapping->size()}));
  Detour detour(std::move(image), {mapping->start, mapping->size()});
  TC_CHECK(Layout(&detour, mappings, choice).make());
  return detour;
}

}  // namespace time_chaos::library
