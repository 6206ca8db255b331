// Where in the agent's own address space a mirror of a target fits.
#pragma once

#include "agent/base/error.h"
#include "agent/targets/mappings.h"
#include "agent/vdso/mirror_child.h"
#include "agent/vdso/mirror_image.h"

namespace time_chaos::vdso {

// Everything of `image` is moved by one common distance, because all jumps but those of far
// landing pads are relative; those are written anew. `own`: this process's mappings, of which
// `report` is one. kUnsupported when no distance makes everything free.
Result<MirrorJob> lay_out(const MirrorImage& image, const targets::Mappings& own,
                          MirrorReport* report);

}  // namespace time_chaos::vdso
