// time-chaos preview: draws what a target would see against real time. Touches nothing.
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "agent/cli/clock_options.h"
#include "agent/cli/commands.h"
#include "agent/cli/output.h"
#include "agent/cli/plot.h"
#include "agent/clock/plot.h"

namespace time_chaos::cli {
namespace {

constexpr size_t kSvgColumns = 1360;
constexpr size_t kJsonColumns = 200;

struct PreviewOptions {
  ClockOptions clocks;
  OutputOptions output;
  std::optional<std::string> span;
  std::optional<std::string> svg;
};

Status write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (!file) return fail(Exit::kFailed, "cannot write " + path, "name a file that can be written");
  return {};
}

nlohmann::json json(const clock::Plot& plot) {
  nlohmann::json samples = nlohmann::json::array();
  for (const clock::Column& column : plot.columns) {
    samples.push_back({{"after_ns", column.after.count()},
                       {"real", clock::label(plot.clock, column.real)},
                       {"shown", clock::label(plot.clock, column.shown)},
                       {"ahead_ns", clock::minus(column.shown, column.real).count()}});
  }
  return {{"event", "preview"},
          {"map", plot.title},
          {"clock", clock::clock_name(plot.clock)},
          {"span_ns", plot.span.count()},
          {"samples", samples}};
}

Status preview(const PreviewOptions& options) {
  TC_TRY(const clock::ClockSpec spec, options.clocks.parse());
  TC_TRY(const auto span, parse_span(options.span, "--span"));
  const clock::HostReadings now = clock::read_host_clocks();
  TC_TRY(const clock::MapPlan plan,
         clock::plan_shift(spec, clock::identity_maps(), now, std::nullopt));
  const clock::PlotRequest request = plot_request(spec, plan, now, span);
  if (options.svg) {
    TC_CHECK(write_file(*options.svg, clock::svg(clock::sample(request, kSvgColumns))));
  }
  if (options.output.json) {
    say(json(clock::sample(request, kJsonColumns)), options.output);
  } else {
    say(plot_text(request));
  }
  return {};
}

}  // namespace

void add_preview(CLI::App& program, Chosen& chosen) {
  auto options = std::make_shared<PreviewOptions>();
  CLI::App* app = program.add_subcommand(
      "preview", "Draw what a target would see against real time; touch nothing");
  add_clocks(*app, options->clocks);
  app->add_option("--span", options->span, "How much of it (default: as long as something happens)")
      ->type_name("DURATION");
  app->add_option("--svg", options->svg, "Draw it into that file as well")->type_name("FILE");
  add_output(*app, options->output);
  app->callback([options, &chosen] {
    chosen = [options] {
      const Status drawn = preview(*options);
      return drawn ? 0 : report(drawn.error(), options->output);
    };
  });
}

}  // namespace time_chaos::cli
