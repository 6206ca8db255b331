#include "agent/experiment/followed_page.h"

#include <sys/mman.h>
#include <unistd.h>

#include "agent/base/scoped_fd.h"
#include "agent/vdso/recover.h"

namespace time_chaos::experiment {
namespace {

Result<vdso::ClockPage> page_of_our_own(const tc_clock_page& content) {
  const ScopedFd file(::memfd_create("time-chaos", MFD_CLOEXEC));
  if (!file.valid() || ::ftruncate(file.get(), TC_PAGE_SIZE) != 0) return fail_errno("make a page");
  if (::pwrite(file.get(), &content, sizeof content, 0) != sizeof content) {
    return fail_errno("write a page");
  }
  return vdso::ClockPage::over(file.get(), 0);
}

}  // namespace

Result<std::shared_ptr<FollowedPage>> FollowedPage::open(pid_t pid, const vdso::Found& found) {
  TC_TRY(auto page, vdso::ClockPage::open(pid, found.clock_page()));
  return std::shared_ptr<FollowedPage>(new FollowedPage(std::move(page), found));
}

Status FollowedPage::move() {
  if (own_) return fail(Exit::kFailed, "the clock page cannot be read");
  for (const pid_t pid : vdso::sharers(identity_)) {
    const auto found = vdso::find_experiment(pid);
    if (!found || !*found || (*found)->page_identity != identity_) continue;
    auto page = vdso::ClockPage::open(pid, (*found)->clock_page());
    if (!page || !page->read()) continue;
    page_ = std::move(*page);
    return {};
  }
  TC_TRY(page_, page_of_our_own(last_));
  own_ = true;
  return {};
}

Result<tc_clock_page> FollowedPage::read() {
  const std::lock_guard lock(mutex_);
  auto now = page_.read();
  if (!now) {
    TC_CHECK(move());
    now = page_.read();
  }
  TC_TRY(last_, std::move(now));
  return last_;
}

Result<clock::ClockMaps> FollowedPage::maps() {
  TC_TRY(const tc_clock_page page, read());
  return clock::maps_in_force(page);
}

Status FollowedPage::renew(std::optional<std::chrono::nanoseconds> lease,
                           const clock::Programs& programs) {
  TC_CHECK(maps());  // it is where it can be written
  const std::lock_guard lock(mutex_);
  return page_.update([&](clock::ClockMaps& maps, tc_clock_page& header) {
    maps = clock::renewed(maps, clock::ClockSet(header.clocks), clock::read_host_clocks(), lease,
                          programs);
    return Status();
  });
}

Result<Changed> FollowedPage::change(const clock::ClockSpec& spec) {
  TC_CHECK(maps());
  const std::lock_guard lock(mutex_);
  return experiment::change(page_, spec);
}

Status FollowedPage::put_clocks_back() {
  TC_CHECK(maps());
  const std::lock_guard lock(mutex_);
  TC_TRY(const auto kept, vdso::put_clocks_back(page_));
  (void)kept;  // whoever recovers the target says so
  return {};
}

}  // namespace time_chaos::experiment
