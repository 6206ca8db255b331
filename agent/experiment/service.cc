#include "agent/experiment/service.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "agent/experiment/report.h"

namespace time_chaos::experiment {
namespace {

using serve::Request;
using serve::Response;

struct Route {
  const char* path;
  const char* method;
  bool trusted;  // only through a socket that nobody else can use
};
constexpr std::array kRoutes = {Route{"/healthz", "GET", false}, Route{"/readyz", "GET", false},
                                Route{"/metrics", "GET", false}, Route{"/status", "GET", true},
                                Route{"/set", "POST", true},     Route{"/recover", "POST", true}};

Response plain(int status, const std::string& text) {
  return {status, "text/plain; charset=utf-8", text + "\n"};
}

Response as_json(int status, const Json& object) {
  return {status, "application/json",
          object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"};
}

int status_of(const Error& error) {
  switch (error.kind()) {
    case Exit::kUsage:
      return 400;
    case Exit::kNotPermitted:
      return 403;
    case Exit::kNoTarget:
      return 404;
    default:
      return 500;
  }
}

Response status_now(const std::string& experiment) {
  Selection selection;
  selection.experiments.push_back(experiment);
  auto nodes = select_tree(selection);
  Json list = Json::array();
  if (!nodes && nodes.error().kind() != Exit::kNoTarget) {
    return as_json(status_of(nodes.error()), json(nodes.error()));
  }
  if (nodes) {
    check_all(*nodes);
    for (const Node& node : *nodes) list.push_back(json(node));
  }
  return as_json(200, {{"experiment", experiment}, {"targets", list}});
}

}  // namespace

void Service::attend(Control& control) {
  server_.serve([&](const Request& request) { return answer(request, control); });
}

Response Service::answer(const Request& request, Control& control) const {
  for (const Route& route : kRoutes) {
    if (request.path != route.path) continue;
    if (request.method != route.method) {
      return plain(405, fmt::format("{} takes {}", route.path, route.method));
    }
    if (route.trusted && !request.trusted) {
      return plain(403, fmt::format("{} is served on --listen unix:PATH only", route.path));
    }
    return ask(request, control);
  }
  return plain(404, "there are /healthz /readyz /metrics, and on unix: /status /set /recover");
}

Response Service::ask(const Request& request, Control& control) const {
  if (request.path == "/healthz") return plain(200, "ok");
  if (request.path == "/set") return set(request, control);
  if (request.path == "/recover") {
    control.end();
    return as_json(202, {{"event", "recovering"}});
  }
  const Telemetry telemetry = control.telemetry();
  if (request.path == "/readyz") {
    return telemetry.in_force ? plain(200, "shifted") : plain(503, "no target is shifted");
  }
  if (request.path == "/status") return status_now(telemetry.experiment);
  return {200, "text/plain; version=0.0.4; charset=utf-8", prometheus(telemetry)};
}

Response Service::set(const Request& request, Control& control) const {
  const auto spec = read_clocks_(request.body);
  if (!spec) return as_json(status_of(spec.error()), json(spec.error()));
  const Control::Outcome outcome = control.set(*spec);
  Json object{{"changed", Json::array()}, {"failed", Json::array()}};
  for (const Changed& changed : outcome.changed) object["changed"].push_back(json(changed));
  for (const Error& error : outcome.failed) object["failed"].push_back(json(error));
  const bool none = outcome.changed.empty() && !outcome.failed.empty();
  return as_json(none ? status_of(outcome.failed.front()) : 200, object);
}

}  // namespace time_chaos::experiment
