#include "agent/vdso/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "agent/vdso/jump.h"
#include "agent/vdso/placement.h"
#include "agent/vdso/plt_table.h"

namespace time_chaos::vdso {
namespace {

using payload::Function;
constexpr uint64_t kPage = payload::kPageSize;
// Behind the payload, in the code page: copies of the prologues of functions patched by five
// bytes, for threads that stand inside them at that moment.
constexpr uint64_t kMovedSlot = 64;

payload::PageRange pages_around(uint64_t address, uint64_t size) {
  const uint64_t start = address & ~(kPage - 1);
  const uint64_t end = (address + size + kPage - 1) & ~(kPage - 1);
  return {start, end - start};
}

class Planner {
 public:
  Planner(AttachPlan plan, Placement placement, Detour detour)
      : plan_(std::move(plan)), placement_(std::move(placement)), detour_(detour) {}

  Result<AttachPlan> make() {
    for (const Function f : {Function::kClockGettime, Function::kGettimeofday, Function::kTime}) {
      TC_CHECK(add_function(f));
    }
    const auto code = placement_.find_near(plan_.vdso, payload::kClockPageOffset + kPage);
    if (!code) {
      return fail(Exit::kUnsupported, "no free page within 1.5 GiB of its vDSO");
    }
    plan_.code = *code;
    if (plan_.plt) TC_CHECK(place_slots());
    TC_CHECK(fill_code_page());
    return std::move(plan_);
  }

 private:
  Status place_slots() {
    // Apart from the code page: mappings that adjoin and are alike become one.
    placement_.reserve({plan_.code - kPage, 4 * kPage});
    const auto place = placement_.find_near(plan_.vdso, payload::kPltSize);
    if (!place) return fail(Exit::kUnsupported, "no free pages within 1.5 GiB of its vDSO");
    plan_.plt->place = *place;
    plan_.pads.push_back({*place, payload::kPltSize});
    return {};
  }

  Status add_function(Function f) {
    const auto symbol = plan_.image.function(payload::function_symbol(f));
    if (!symbol) {
      if (f == Function::kTime) return {};  // some vDSOs have none
      return fail(Exit::kUnsupported,
                  fmt::format("its vDSO has no {}", payload::function_symbol(f)));
    }
    if (symbol->offset + 16 > plan_.image.bytes().size()) {
      return fail(Exit::kUnsupported, "its vDSO is not well-formed");
    }
    TC_CHECK(check_no_branch_into(plan_.image, symbol->offset));
    FunctionPlan function;
    function.function = f;
    function.entry = plan_.vdso + symbol->offset;
    const auto bytes = plan_.image.bytes().subspan(symbol->offset, kJumpSize);
    function.record.function = static_cast<uint32_t>(f);
    function.record.entry = function.entry;
    std::copy(bytes.begin(), bytes.end(), function.record.original);
    if (const auto prologue = read_prologue(plan_.image, symbol->offset)) {
      function.boundaries = prologue->boundaries;
    } else if (f == Function::kClockGettime) {
      return fail(prologue.error());
    }
    take_pad(function, bytes);
    plan_.functions.push_back(function);
    return {};
  }

  // One byte wherever the place at which it happens to land is free.
  void take_pad(FunctionPlan& function, std::span<const uint8_t> bytes) {
    if (detour_ != Detour::kAuto) return;
    const uint64_t landing = punned_target(function.entry, bytes);
    const payload::PageRange range = pages_around(landing, kPadSize);
    const auto same = std::find_if(plan_.pads.begin(), plan_.pads.end(), [&](const auto& pad) {
      return pad.start == range.start && pad.size == range.size;
    });
    if (same != plan_.pads.end()) {
      if (pads_collide(landing)) return;
    } else {
      if (!placement_.usable(range.start, range.size)) return;
      placement_.reserve(range);
      plan_.pads.push_back(range);
    }
    function.method = Method::kOneByte;
    function.pad = landing;
  }

  [[nodiscard]] bool pads_collide(uint64_t landing) const {
    return std::any_of(plan_.functions.begin(), plan_.functions.end(), [&](const auto& other) {
      return other.pad != 0 && landing < other.pad + kPadSize && other.pad < landing + kPadSize;
    });
  }

  Status fill_code_page() {
    plan_.code_page.assign(kPage, 0xcc);
    const auto code = payload::code();
    std::copy(code.begin(), code.end(), plan_.code_page.begin());

    const auto cg = std::find_if(plan_.functions.begin(), plan_.functions.end(), [](const auto& f) {
      return f.function == Function::kClockGettime;
    });
    TC_TRY(const Prologue prologue, read_prologue(plan_.image, cg->entry - plan_.vdso));
    TC_CHECK(place(prologue, cg->entry, payload::original_offset(), payload::kOriginalSlotSize));

    payload::CodeRecord record;
    record.vdso = plan_.vdso;
    record.vdso_size = plan_.image.bytes().size();
    std::copy(plan_.pads.begin(), plan_.pads.end(), record.pads);
    if (plan_.plt) record.plt = plan_.plt->place;
    if (detour_ == Detour::kNone || plan_.plt) plan_.functions.clear();
    uint64_t slot = (code.size() + kMovedSlot - 1) & ~(kMovedSlot - 1);
    for (FunctionPlan& function : plan_.functions) {
      TC_CHECK(finish_record(function, slot));
      slot += kMovedSlot;
      record.patches[record.patch_count++] = function.record;
    }
    std::memcpy(plan_.code_page.data() + payload::kRecordOffset, &record, sizeof record);
    return {};
  }

  Status finish_record(FunctionPlan& function, uint64_t slot) {
    payload::PatchRecord& record = function.record;
    record.hook = plan_.code + payload::hook_offset(function.function);
    record.pad = function.pad;
    if (function.method == Method::kOneByte) {
      record.length = kPunLength;
      const auto patched = punned_entry({record.original, kJumpSize});
      std::copy(patched.begin(), patched.end(), record.patched);
      return {};
    }
    record.length = kJumpSize;
    const auto jump = near_jump(function.entry, record.hook);
    if (!jump) return fail(Exit::kFailed, "the code page is too far from the vDSO");
    std::copy(jump->begin(), jump->end(), record.patched);
    if (function.boundaries.empty()) return {};
    TC_TRY(const Prologue prologue, read_prologue(plan_.image, function.entry - plan_.vdso));
    function.moved = plan_.code + slot;
    return place(prologue, function.entry, slot, kMovedSlot);
  }

  Status place(const Prologue& prologue, uint64_t entry, uint64_t offset, uint64_t room) {
    TC_TRY(const auto bytes, relocated(prologue, entry, plan_.code + offset));
    if (bytes.size() > room || offset + room > payload::kRecordOffset) {
      return fail(Exit::kUnsupported, "a prologue of its vDSO is too long");
    }
    std::copy(bytes.begin(), bytes.end(),
              plan_.code_page.begin() + static_cast<std::ptrdiff_t>(offset));
    return {};
  }

  AttachPlan plan_;
  Placement placement_;
  Detour detour_;
};

}  // namespace

bool AttachPlan::needs_stopped_world() const {
  if (plt) return !plt->scan.slots.empty();
  return std::any_of(functions.begin(), functions.end(),
                     [](const auto& f) { return f.method == Method::kFiveBytes; });
}

Result<Vdso> read_vdso(const targets::Mappings& mappings, const tracee::Memory& memory) {
  const targets::Mapping* mapping = mappings.find("[vdso]");
  if (mapping == nullptr) {
    return fail(Exit::kUnsupported,
                "it has no vDSO (the kernel was started with vdso=0, or the program hid it)",
                "this version cannot shift it");
  }
  if (mapping->size() > 16 * kPage) return fail(Exit::kUnsupported, "its vDSO is unusually large");
  TC_TRY(auto bytes, memory.read(mapping->start, mapping->size()));
  TC_TRY(auto image, elf::VdsoImage::parse(std::move(bytes)));
  const StubPlace stub{mapping->start + image.content_end(), image.tail().size()};
  return Vdso{mapping->start, std::move(image), stub};
}

Result<AttachPlan> make_plan(pid_t pid, const tracee::Memory& memory, Detour detour,
                             const std::vector<std::string>& modules) {
  TC_TRY(const targets::Mappings mappings, targets::Mappings::read(pid));
  TC_TRY(Vdso vdso, read_vdso(mappings, memory));
  AttachPlan plan{std::move(vdso.image), vdso.start, 0, {}, {}, {}, vdso.stub};
  if (detour == Detour::kPlt) {
    TC_CHECK(table_names(modules));
    TC_TRY(SlotScan scan, scan_slots(pid, memory, modules));
    plan.plt = PltPlan{0, std::move(scan)};
  }
  return Planner(std::move(plan), Placement(mappings, stack_limit_of(pid)), detour).make();
}

}  // namespace time_chaos::vdso
