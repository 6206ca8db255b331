// The C API: one lock, errors as values, and no exception that leaves.
#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <optional>
#include <string>

#include "agent/library/layers.h"
#include "agent/library/request.h"

namespace time_chaos::library {
namespace {

using Message = std::array<char, 256>;
thread_local Message last_message{};

tc_status status_of(Exit kind) {
  switch (kind) {
    case Exit::kUsage:
      return TC_ERROR_INVALID;
    case Exit::kNoTarget:
      return TC_ERROR_NO_LAYER;
    case Exit::kUnsupported:
      return TC_ERROR_UNSUPPORTED;
    case Exit::kNotPermitted:
      return TC_ERROR_PERMISSION;
    case Exit::kOk:
    case Exit::kFailed:
    case Exit::kPartial:
      break;
  }
  return TC_ERROR_FAILED;
}

tc_status refuse(tc_status status, std::string_view message) {
  const size_t length = std::min(message.size(), last_message.size() - 1);
  std::copy_n(message.data(), length, last_message.data());
  last_message[length] = '\0';
  return status;
}

tc_status refuse(const Error& error) {
  return refuse(status_of(error.kind()), error.line());
}

tc_status refuse_null(const char* what) {
  return refuse(TC_ERROR_INVALID, std::string(what) + " is NULL");
}

// This process's stack of layers. A fork waits for a change that is under way, so that the child's
// copy is whole.
class Library {
 public:
  static Library& get() {
    static Library library;
    return library;
  }

  // `change` gets the layers, or what keeps them from being laid out.
  template <typename Change>
  tc_status change(Change change) {
    last_message[0] = '\0';
    if (in_callback()) return refuse(TC_ERROR_BUSY, "called from inside a callback");
    try {
      const std::lock_guard lock(mutex_);
      return change(layers_);
    } catch (const std::exception& e) {
      return refuse(TC_ERROR_FAILED, e.what());
    }
  }

 private:
  Library() {
    ::pthread_atfork([] { get().mutex_.lock(); }, [] { get().mutex_.unlock(); },
                     [] {
                       forget_other_threads();
                       get().mutex_.unlock();
                     });
  }

  std::mutex mutex_;
  std::optional<Layers> layers_;
};

Result<Layers*> layers_of(std::optional<Layers>& layers) {
  if (!layers) {
    TC_TRY(Layers made, Layers::make());
    layers.emplace(std::move(made));
  }
  return &*layers;
}

tc_status outcome_of(const Result<Outcome>& outcome) {
  if (!outcome) return refuse(outcome.error());
  switch (*outcome) {
    case Outcome::kDone:
      return TC_OK;
    case Outcome::kKept:
      return TC_KEPT;
    case Outcome::kBusy:
      break;
  }
  return refuse(TC_ERROR_BUSY,
                "a callback has not returned for 10 s: the layer is gone, its code "
                "and data are still in use");
}

template <typename... What>
tc_status add(tc_layer* layer, const What&... what) {
  return Library::get().change([&](std::optional<Layers>& layers) {
    const auto made = layers_of(layers);
    if (!made) return refuse(made.error());
    const auto added = (*made)->add(what...);
    if (!added) return refuse(added.error());
    *layer = *added;
    return TC_OK;
  });
}

bool is_empty(const tc_functions& f) {
  return f.clock_gettime == nullptr && f.gettimeofday == nullptr && f.time == nullptr &&
         f.clock_getres == nullptr;
}

}  // namespace
}  // namespace time_chaos::library

using namespace time_chaos::library;  // NOLINT(google-build-using-namespace): C names follow

extern "C" {

const char* tc_message(void) {
  return last_message.data();
}

const struct tc_original* tc_originals(void) {
  return &original();
}

tc_status tc_install(const struct tc_functions* functions, void* data, tc_layer* layer) {
  if (functions == nullptr) return refuse_null("functions");
  if (layer == nullptr) return refuse_null("layer");
  if (is_empty(*functions)) return refuse(TC_ERROR_INVALID, "all functions are NULL");
  return add(layer, *functions, data);
}

tc_status tc_install_map(const struct tc_clock* clock, tc_layer* layer) {
  if (clock == nullptr) return refuse_null("clock");
  if (layer == nullptr) return refuse_null("layer");
  const auto spec = checked(*clock);
  return spec ? add(layer, *spec) : refuse(spec.error());
}

tc_status tc_change(tc_layer layer, const struct tc_clock* clock) {
  if (clock == nullptr) return refuse_null("clock");
  const auto spec = checked(*clock);
  if (!spec) return refuse(spec.error());
  return Library::get().change([&](std::optional<Layers>& layers) {
    if (!layers) return refuse(TC_ERROR_NO_LAYER, "there is no layer at all");
    const auto changed = layers->change(layer, *spec);
    return changed ? TC_OK : refuse(changed.error());
  });
}

tc_status tc_restore(tc_layer layer) {
  return Library::get().change([&](std::optional<Layers>& layers) {
    if (!layers) return refuse(TC_ERROR_NO_LAYER, "there is no layer at all");
    return outcome_of(layers->remove(layer));
  });
}

tc_status tc_restore_all(void) {
  return Library::get().change([&](std::optional<Layers>& layers) {
    return layers ? outcome_of(layers->remove_all()) : TC_OK;
  });
}

}  // extern "C"
